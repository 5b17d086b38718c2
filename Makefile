# Everything a person or CI runs. Needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := configs/requirements.lock
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-long chaos check format bench clean

help:                ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

$(VENV)/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; run make PYTHON=/path/to/it")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

setup: $(VENV)/.installed  ## .venv of this checkout from the lock

demo: setup          ## train and predict once on generated signals, stay up until Ctrl-C (DEMO_ONCE=1: end after the table)
	$(BIN)/python -m cluster.demo $(if $(DEMO_ONCE),--once)

run: setup           ## start the service on this machine and stay in the foreground
	$(BIN)/rfuav up

test: setup          ## all tests but the long ones
	$(PYTEST) -m "not long"

test-long: setup     ## the big sizes
	$(PYTEST) -m "long and not chaos"

chaos: setup         ## a service under 60 faults, about 10 minutes (CHAOS_SEED=N draws others)
	$(PYTEST) -m chaos -s tests/chaos

check: setup         ## format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup        ## rewrite the code as the formatter wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup         ## print the figures of tests/benchmarks
	for script in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do echo "== $$script"; $(BIN)/python -m tests.benchmarks.$$script || exit 1; done

clean:               ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
