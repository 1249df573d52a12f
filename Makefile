PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: build test lint sample clean

build: $(STAMP)  ## set up and build a release from the bundled sample dump into build/release
	$(BIN)/polyfact build --out build --facts 2000

test: $(STAMP)  ## set up and pass the tests
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

sample: $(STAMP)  ## make the bundled sample dump from its tables
	$(BIN)/python -m polyfact_dataset.sample.make

clean:
	rm -rf build $(VENV)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
