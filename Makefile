PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EVAL := $(VENV)/.installed-eval

.PHONY: build test lint sample clean

build: $(STAMP)  ## set up and build a release from the bundled sample dump into build/release
	$(BIN)/polyfact build --out build --facts 2000

test: $(EVAL)  ## set up, with the extra `eval`, and pass the tests
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

sample: $(STAMP)  ## make the bundled sample dump from its tables
	$(BIN)/python -m polyfact_dataset.sample.make

clean:
	rm -rf build $(VENV)

# PyTorch first and by its exact version: a range would bring in several gigabytes for accelerators.
$(EVAL): $(STAMP)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,eval]"
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
