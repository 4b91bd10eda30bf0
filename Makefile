# make demo    train on digits, export, compile, simulate, run and bench on the emulated KV260
# make test    every test, then those that a board can run on Python 3.10 with pynq 3.0.1, where that interpreter exists
# make lint    ruff, clang-format and hls/lint.py, changing nothing;  make format lets the first two change
# make docs    the site, build/docs/index.html
# make wheel   dist/*.whl;  make clean   removes what the other targets made, the environments included
#
# Variables: PYTHON (3.11 or 3.12), PYTHON310, TORCH_ARGS (pip arguments that choose a torch wheel), PYTEST_ARGS, DEMO

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test test-host test-board310 lint format docs wheel clean install help

# An interpreter counts if it runs: pyenv's shims exist for versions that are not selected.
runs = $(shell for p in $(1); do $$p -c "import sys; sys.exit(sys.version_info[:2] not in ($(2),))" 2>/dev/null && echo $$p && break; done)
PYENV_VERSIONS := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
PYTHON ?= $(call runs,python3.11 python3.12 python3 $(PYENV_VERSIONS)/3.11.*/bin/python $(PYENV_VERSIONS)/3.12.*/bin/python,(3,11),(3,12))
PYTHON310 ?= $(call runs,python3.10 $(PYENV_VERSIONS)/3.10.*/bin/python,(3,10))

VENV := .venv
BIN := $(VENV)/bin
HOST_CONSTRAINTS = constraints/host-py$(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])').txt
# PyTorch's own index has CPU wheels, PyPI's for Linux bring several GB of CUDA. Where the index cannot be reached, pip
# goes on after one try and takes what its other sources have.
TORCH_ARGS ?= --retries 1 --timeout 20 --extra-index-url https://download.pytorch.org/whl/cpu

BOARD_VENV := .venv-board310
BOARD_BIN := $(BOARD_VENV)/bin
BOARD_CONSTRAINTS := constraints/board-py310.txt

PACKAGING := setup.py pyproject.toml
# pynq is a source distribution: without build isolation it is built by the pinned setuptools.
PIP_INSTALL = -m pip install --disable-pip-version-check --no-build-isolation --quiet

DEMO ?= runs/demo
PYTEST_ARGS ?=

help:
	@sed -n '/^#/!q;s/^# \?//p' Makefile

install: $(VENV)/installed

$(VENV)/installed: $(PACKAGING) $(wildcard constraints/host-*.txt)
	@test -f "$(HOST_CONSTRAINTS)" || { echo "Python 3.11 or 3.12 is needed: apt-get install python3 python3-venv, or make PYTHON=..."; exit 1; }
	@command -v g++ >/dev/null || { echo "g++ is needed: apt-get install g++"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv"; exit 1; }
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) setuptools wheel
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) --no-deps $(TORCH_ARGS) torch
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) -e '.[board,train,notebook,boards,video,docs,dev]'
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) --no-deps hls4ml
	touch $@

$(BOARD_VENV)/installed: $(PACKAGING) $(BOARD_CONSTRAINTS)
	$(PYTHON310) -m venv $(BOARD_VENV)
	$(BOARD_BIN)/python $(PIP_INSTALL) -c $(BOARD_CONSTRAINTS) setuptools wheel
	$(BOARD_BIN)/python $(PIP_INSTALL) -c $(BOARD_CONSTRAINTS) -e '.[board]' pytest hypothesis
	$(BOARD_BIN)/python $(PIP_INSTALL) -c $(BOARD_CONSTRAINTS) --no-deps hls4ml
	touch $@

demo: $(VENV)/installed
	$(BIN)/pynq-qsnn train --output-dir $(DEMO) --epochs 8 --resume
	$(BIN)/pynq-qsnn export $(DEMO) -o $(DEMO)/digits.qsnn
	$(BIN)/pynq-qsnn compile $(DEMO)/digits.qsnn -o $(DEMO)/digits.qprog
	$(BIN)/pynq-qsnn simulate $(DEMO)/digits.qsnn
	$(BIN)/pynq-qsnn run $(DEMO)/digits.qprog
	$(BIN)/pynq-qsnn bench $(DEMO)/digits.qsnn --json $(DEMO)/bench.json

test: test-host test-board310

test-host: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTEST_ARGS)

# What needs torch, scikit-learn or a notebook skips itself here, as it would on a board. The benches of tests/hls are
# C++ and have been run.
ifneq ($(PYTHON310),)
test-board310: test-host $(BOARD_VENV)/installed
	PATH="$(CURDIR)/$(BOARD_BIN):$$PATH" $(BOARD_BIN)/python -m pytest --ignore=tests/training --ignore=tests/hls $(PYTEST_ARGS)
else
test-board310: test-host
	@echo "NOT RUN: the board tests on Python 3.10 with pynq 3.0.1; no Python 3.10 was found (make test PYTHON310=...)"
endif

CPP_FILES = $(shell git ls-files '*.cpp' '*.cc' '*.hpp' '*.h' | grep -v '^hls/include/hw_spec.hpp$$')

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(CPP_FILES),$(BIN)/clang-format --dry-run --Werror $(CPP_FILES))
	$(BIN)/python hls/lint.py

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(if $(CPP_FILES),$(BIN)/clang-format -i $(CPP_FILES))

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -b html -q docs build/docs
	@echo "build/docs/index.html"

wheel: $(VENV)/installed
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf $(VENV) $(BOARD_VENV) $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
