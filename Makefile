# What a person types: make setup, make triage, make test.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INCIDENT ?=
JOBS ?= 2

# The code that is shipped to hosts.
HOST_CODE = plugins/modules plugins/module_utils src/wkcollect src/wkreplay

# The locks name every package. What a triage imports is compiled on all cores, the rest when it is
# used (numpy and scipy judge experiments, and compiling them takes longer than all the others).
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra build

.PHONY: help setup triage test lint lint-ruff lint-mypy lint-imports lint-hosts lint-yaml lint-ansible format docs lock wheel clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.dev ## Make .venv with the locked dependencies

triage: $(VENV)/.run ## Triage a recorded incident, no Docker needed: make triage [INCIDENT=kill-node1]
	@$(BIN)/ansible-playbook -i inventory/replay triage.yml -e fail_on=never \
	  $(if $(INCIDENT),-e incident=$(INCIDENT))

test: $(VENV)/.dev ## Run every gate and every test that this machine can run
	@gates=0; $(MAKE) --no-print-directory lint || gates=1; \
	  $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS) && exit $$gates

lint: $(VENV)/.dev ## Run the static gates: ruff, mypy, rooms, yamllint, ansible-lint
	@$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) --output-sync=target \
	  lint-ansible lint-mypy lint-ruff lint-imports lint-hosts lint-yaml

lint-ruff:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-mypy:
	$(BIN)/mypy

lint-imports:
	$(BIN)/lint-imports

lint-hosts: # What runs on hosts must run on their Python.
	$(BIN)/vermin --quiet --no-tips --violations --target=3.8- $(HOST_CODE)

lint-yaml:
	$(BIN)/yamllint --strict .

lint-ansible:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint -q

format: $(VENV)/.dev ## Put Python files into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Write the generated pages again: role READMEs, docs/reference
	$(BIN)/python tools/gen_docs.py

lock: $(VENV)/.dev ## Resolve the dependencies again, newest that pyproject.toml allows
	$(COMPILE) --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --extra dev --output-file requirements-dev.lock

wheel: $(VENV)/.run ## Build dist/*.whl, which runs without a checkout: pipx install dist/*.whl
	$(BIN)/hatchling build --target wheel

clean: ## Remove what make setup and the tests made (runs/ stays)
	rm -rf $(VENV) .cache .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-build-isolation -e .
	$(BIN)/python -m compileall -q -j 0 -x '/(tests|numpy|scipy)/' $(VENV)/lib
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
