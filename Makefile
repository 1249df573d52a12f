PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EVAL := $(VENV)/.installed-eval

.PHONY: build test test-baselines lint sample clean

build: $(STAMP)  ## set up and build a release from the bundled sample dump into build/release
	$(BIN)/polyfact build --out build --facts 2000

test: $(STAMP)  ## set up and pass the tests; those of the baselines skip where the extras `eval` and `train` are not installed
	$(BIN)/python -m pytest

test-baselines: $(EVAL)  ## set up the extras `eval` and `train` and pass the tests of the baselines
	$(BIN)/python -m pytest tests/baselines

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

sample: $(STAMP)  ## make the bundled sample dump from its tables
	$(BIN)/python -m polyfact_dataset.sample.make

clean:
	rm -rf build $(VENV)

# PyTorch first and by its exact version: a range would bring in several gigabytes for accelerators.
$(EVAL): $(STAMP)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,eval,train]"
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
