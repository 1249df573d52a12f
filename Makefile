PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EVAL := $(VENV)/.installed-eval
# The tests of a file run in one process, in the order of tests/conftest.py; tiny models are faster on one thread each.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
export OMP_NUM_THREADS ?= 1
# Where containers forbid bytecode, each command that the tests start would compile everything again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: build quick test test-slow test-baselines coverage lint vulnerabilities sample clean

build: $(STAMP)  ## set up and build a release from the bundled sample dump into build/release
	$(BIN)/polyfact build --out build --facts 2000

test: $(STAMP)  ## set up and pass the tests; those of the baselines skip where the extras `eval` and `train` are not installed
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(STAMP)  ## the same with the tests that are marked slow, as before a release: half an hour
	$(BIN)/python -m pytest $(PARALLEL) --slow

quick: $(STAMP)  ## the tests that need no whole build and take little time, of every room: a minute on two cores
	$(BIN)/python -m pytest $(PARALLEL) --quick

test-baselines: $(EVAL)  ## set up the extras `eval` and `train` and pass the tests of the baselines
	$(BIN)/python -m pytest $(PARALLEL) tests/baselines

coverage: $(STAMP)  ## the tests of the factory, and which lines and branches of it they reach; fails below what pyproject.toml asks
	$(BIN)/python -m pytest --ignore tests/baselines --cov --cov-report=term

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

vulnerabilities:  ## known vulnerabilities of the pinned dependencies; asks the Python Package Index
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet "pip-audit>=2.10,<3"
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

sample: $(STAMP)  ## make the bundled sample dump from its tables
	$(BIN)/python -m polyfact_dataset.sample.make

clean:
	rm -rf build $(VENV) $(VENV)-audit

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
