# make demo    the whole platform on this machine, with shelves that sell; Ctrl-C stops it
# make test    everything that a change must pass
# make check   the same without tests that need processes: style, types, layers, dependencies
# make bench   throughput against the raw COPY of the same rows, in one run
# make client  a Python client of the API, generated into build/client
# make lock    pin the dependencies anew (needs uv)
# make clean   remove what these made

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
# Options for `shelfpulse up --demo`, for instance: make demo ARGS="--for 60s --json"
ARGS ?=
# Options for pytest, for instance: make test PYTEST="-k supervisor"
PYTEST ?=
CODE := contracts edge_agent stream platform_api simulators deploy tests

.PHONY: help demo test check bench client lock clean system

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.runs
	@exec $(BIN)/shelfpulse up --demo $(ARGS)

# Tests start hundreds of processes, which shall find our modules compiled.
test: export PYTHONDONTWRITEBYTECODE :=
# Each worker begins with whole modules, whose fixtures are then made once, and takes from the others at the end. Many
# tests wait for what processes do: four workers keep two cores busy, three where each test starts a dozen processes.
test: PARALLEL := -n 4 --dist worksteal
test: system check
	$(BIN)/pytest $(PARALLEL) tests/unit tests/conformance tests/integration $(PYTEST)
	$(BIN)/pytest -n 3 --dist worksteal tests/system $(PYTEST)
	$(BIN)/pytest -n 2 --dist loadfile tests/browser $(PYTEST)

check: $(VENV)/.develops
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench: $(VENV)/.runs
	$(BIN)/shelfpulse bench e2e $(ARGS)

client: $(VENV)/.runs
	mkdir -p build
	$(BIN)/shelfpulse api document > build/openapi.json
	PYTHON=$(BIN)/python .ci/make-client build/client-venv build/openapi.json build/client

system:
	@.ci/system-packages

# What the demo needs, and no more.
$(VENV)/.runs: requirements/all.txt pyproject.toml
	.ci/make-venv $(VENV) requirements/all.txt
	touch $@

# With it comes what the tests need.
$(VENV)/.develops: requirements/dev.txt pyproject.toml
	.ci/make-venv $(VENV) requirements/dev.txt
	touch $@ $(VENV)/.runs

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet

lock:
	command -v uv > /dev/null || { echo "make lock needs uv" >&2; exit 1; }
	for extra in edge stream api all; do
		$(LOCK) --extra $$extra --group build pyproject.toml -o requirements/$$extra.txt
	done
	$(LOCK) --all-extras --group dev -c requirements/all.txt pyproject.toml -o requirements/dev.txt
	echo 'openapi-python-client>=0.29,<0.30' | $(LOCK) - -o requirements/client.txt

clean:
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
