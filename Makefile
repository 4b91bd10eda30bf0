# make demo    train on digits, export, compile, simulate, run and bench on the emulated KV260
# make test    every test, then the driver's tests on each Python and pynq of constraints/board-*.txt
# make lint    ruff, clang-format and hls/lint.py, changing nothing;  make format lets the first two change
# make docs    the site, build/docs/index.html
# make wheel   dist/*.whl;  make dist   the sdist, and the wheel built from it
# make clean   removes what the other targets made, the environments included
#
# Variables: PYTHON (3.11 or 3.12), PYTHON310, PYTHON311 and PYTHON312 (of the driver's tests), DEMO, PYTEST_ARGS,
# TORCH_ARGS (pip arguments that choose a torch wheel)

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test test-host test-boards lint format docs wheel dist clean install help

# An interpreter counts if it runs: pyenv's shims exist for versions that are not selected.
runs = $(shell for p in $(1); do $$p -c "import sys; sys.exit(sys.version_info[:2] not in ($(2),))" 2>/dev/null && echo $$p && break; done)
PYENV_VERSIONS := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
PYTHON ?= $(call runs,python3.11 python3.12 python3 $(PYENV_VERSIONS)/3.11.*/bin/python $(PYENV_VERSIONS)/3.12.*/bin/python,(3,11),(3,12))

VENV := .venv
BIN := $(VENV)/bin
HOST_CONSTRAINTS = constraints/host-py$(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])').txt
# PyTorch's own index has CPU wheels, PyPI's for Linux bring several GB of CUDA. Where the index cannot be reached, pip
# goes on after one try and takes what its other sources have.
TORCH_ARGS ?= --retries 1 --timeout 20 --extra-index-url https://download.pytorch.org/whl/cpu

# One environment for each constraints/board-*.txt; py310-pynq301, say, which Kria-PYNQ installs. It runs all that needs
# neither PyTorch nor a checkout's tools; the benches of tests/hls are C++ and have been run. The others run what differs
# between versions of Python and pynq.
BOARDS := $(patsubst constraints/board-%.txt,%,$(wildcard constraints/board-*.txt))
WIDE_BOARD := py310-pynq301
HOST_TESTS := tests/docs tests/hls tests/interop tests/notebooks tests/search tests/training \
    tests/packaging/test_archives.py tests/test_house.py tests/test_results.py
WIDE_TESTS := $(HOST_TESTS:%=--ignore=%)
DRIVER_TESTS := tests/board tests/doctor tests/packaging/test_installed.py tests/power tests/remote
board_minor = $(patsubst py3%,%,$(firstword $(subst -, ,$(1))))
board_python = $(or $(PYTHON3$(board_minor)),$(call runs,python3.$(board_minor) $(PYENV_VERSIONS)/3.$(board_minor).*/bin/python,(3,$(board_minor))))
BOARD_RESULTS := build/boards

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
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) -e '.[board,train,notebook,boards,search,video,compare,interop,docs,dev]'
	$(BIN)/python $(PIP_INSTALL) -c $(HOST_CONSTRAINTS) --no-deps hls4ml spikingjelly
	touch $@

.PRECIOUS: .venv-board-%/installed
.venv-board-%/installed: constraints/board-%.txt $(PACKAGING)
	$(call board_python,$*) -m venv $(@D)
	$(@D)/bin/python $(PIP_INSTALL) -c $< setuptools wheel
	$(@D)/bin/python $(PIP_INSTALL) --no-deps -r $<
	$(@D)/bin/python $(PIP_INSTALL) --no-index -e '.[board]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/pynq-qsnn train --output-dir $(DEMO) --epochs 8 --resume
	$(BIN)/pynq-qsnn export $(DEMO) -o $(DEMO)/digits.qsnn
	$(BIN)/pynq-qsnn compile $(DEMO)/digits.qsnn -o $(DEMO)/digits.qprog
	$(BIN)/pynq-qsnn simulate $(DEMO)/digits.qsnn
	$(BIN)/pynq-qsnn run $(DEMO)/digits.qprog
	$(BIN)/pynq-qsnn bench $(DEMO)/digits.qsnn --json $(DEMO)/bench.json

test: test-host
	$(MAKE) --no-print-directory test-boards

test-host: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTEST_ARGS)

# All of them, also after a failure, and at the end what each came to.
test-boards:
	@rm -rf $(BOARD_RESULTS); mkdir -p $(BOARD_RESULTS); failed=; \
	for board in $(BOARDS); do $(MAKE) --no-print-directory test-board-$$board || failed=yes; done; \
	cat $(BOARD_RESULTS)/*.txt; test -z "$$failed"

test-board-%:
	@mkdir -p $(BOARD_RESULTS); echo "$*: FAILED, see above" > $(BOARD_RESULTS)/$*.txt
	@$(if $(call board_python,$*),$(MAKE) --no-print-directory run-board-$*,\
	    echo "$*: NOT RUN, no Python 3.$(call board_minor,$*) was found (PYTHON3$(call board_minor,$*)=...)" | tee $(BOARD_RESULTS)/$*.txt)

run-board-%: .venv-board-%/installed
	set -o pipefail; PATH="$(CURDIR)/$(<D)/bin:$$PATH" $(<D)/bin/python -m pytest \
	    $(if $(filter $*,$(WIDE_BOARD)),$(WIDE_TESTS),$(DRIVER_TESTS)) $(PYTEST_ARGS) | tee $(BOARD_RESULTS)/$*.log
	@echo "$*: $$(tail -n 1 $(BOARD_RESULTS)/$*.log)" > $(BOARD_RESULTS)/$*.txt

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

dist: $(VENV)/installed
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) $(BOARDS:%=.venv-board-%) $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
