#!/bin/sh
# install-environment.sh ENVIRONMENT WHEELS: makes a Python environment of exactly these wheels.
#
# One at a time: a play that was interrupted may still have its own running on the host, and the
# next play waits for that. What is whole has a mark; anything else is made anew.
set -eu
environment=$1 wheels=$2
exec 9> "$environment.lock"
flock 9
test ! -e "$environment/.complete" || exit 0
rm -rf "$environment"
python3 -m venv "$environment"
"$environment/bin/python" -m pip --disable-pip-version-check install --quiet --no-index \
    --require-hashes --find-links "$wheels" --requirement "$wheels/requirements.txt"
cp "$wheels/requirements.txt" "$environment/.complete.new"
sync -f "$environment"
mv "$environment/.complete.new" "$environment/.complete"
