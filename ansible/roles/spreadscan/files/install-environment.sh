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
# Without a pip of its own: nobody installs anything into it later. The distribution's does it now,
# from the wheel that python3-venv brings.
python3 -m venv --without-pip "$environment"
pip=$(echo /usr/share/python-wheels/pip-*.whl)/pip
"$environment/bin/python" "$pip" --disable-pip-version-check \
    install --quiet --no-compile --no-index --require-hashes \
    --find-links "$wheels" --requirement "$wheels/requirements.txt"
# The programs may not write there, so what they import is compiled here. Tests of libraries and the
# languages that a terminal could colour are half of it all, and imported by nobody.
"$environment/bin/python" -m compileall -q -x '/(tests|pygments/lexers)/' "$environment/lib"
cp "$wheels/requirements.txt" "$environment/.complete.new"
sync -f "$environment"
mv "$environment/.complete.new" "$environment/.complete"
