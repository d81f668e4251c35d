# make book and make test set up .venv by themselves; make help lists every target.
VENV   ?= .venv
PYTHON ?= $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)
BIN    := $(VENV)/bin

# Kernels start in notebooks/, so the path has to be absolute.
export PYTHONPATH := $(CURDIR)
# One thread per process: chapters run side by side, and sums keep their last digit.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
# Packages are installed uncompiled; Python must be allowed to compile what it imports, or every import is slow.
unexport PYTHONDONTWRITEBYTECODE
# Data sets that are already on this machine, beside the checkout.
ifndef QRGMM_DATA
ifneq ($(wildcard $(CURDIR)/../shared/data),)
export QRGMM_DATA := $(abspath $(CURDIR)/../shared/data)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test notebooks results bench look clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

book: $(VENV)/.ok ## execute every chapter afresh and build the book: build/html/index.html
	$(BIN)/python notebooks/execute.py --output build/notebooks
	$(BIN)/python book/build.py

test: $(VENV)/.ok ## ruff, unit tests, doctests, and the committed outputs of every chapter against fresh ones
	$(BIN)/ruff check --quiet .
	$(BIN)/python -m pytest -q -n logical --dist loadfile

notebooks: $(VENV)/.ok ## for authors: execute the chapters and update the committed notebooks (CHAPTERS="03 04" for some)
	$(BIN)/python notebooks/execute.py $(CHAPTERS)

results: $(VENV)/.ok ## for authors: run and record all studies, resumable (DASK=tcp://... for a cluster instead of all cores)
	$(BIN)/python -m qrgmm.experiments all --size tiny
	$(BIN)/python -m qrgmm.experiments all --size paper $(if $(DASK),--address $(DASK),--jobs -1)

bench: $(VENV)/.ok ## the side-by-side benchmark
	$(BIN)/python benchmarks/run.py

look: $(VENV)/.ok ## open every built page in headless Chromium, check it, and photograph it into build/screenshots
	$(BIN)/python book/look.py

clean: ## remove what was built (the environment stays)
	rm -rf build .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ok: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "qrgmm needs Python 3.11, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt -c constraints.txt
	@touch $@
