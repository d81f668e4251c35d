# make book and make test set up .venv by themselves; make help lists every target.
IN_RANGE := import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 15))
VENV     ?= .venv
# The python3 at hand, and where that is too old or too new the newest that fits.
PYTHON   ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  $$python -c '$(IN_RANGE)' 2>/dev/null && { echo $$python; exit; }; done; echo python3)
BIN      := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# This checkout's qrgmm, even where .venv is shared with another one; then what the caller names.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
# One thread per process: chapters run side by side, and sums keep their last digit.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
# Packages are installed uncompiled; Python must be allowed to compile what it imports, or every import is slow.
unexport PYTHONDONTWRITEBYTECODE
# Data sets that are already on this machine, beside the checkout. The shell knows paths with spaces; make doesn't.
ifndef QRGMM_DATA
export QRGMM_DATA := $(shell cd ../shared/data 2>/dev/null && pwd)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pdf test machines lab slides assignments grades notebooks results bench look clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: $(VENV)/.ok ## execute every chapter afresh and build the book: build/html/index.html
	$(BIN)/python notebooks/execute.py --output build/notebooks
	$(BIN)/python book/build.py

pdf: $(VENV)/.ok ## the book for A4 paper, from the chapters that make book has executed (needs TeX): build/pdf/
	$(BIN)/python book/pdf.py

test: $(VENV)/.ok ## ruff, types, unit tests, doctests, and the committed outputs of every chapter against fresh ones
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/python -m pytest -q -n logical --dist loadfile

machines: $(VENV)/.ok ## records and chapters under three sets of processor instructions (MACHINES=old CHAPTERS="03 07" for some)
	$(BIN)/python tests/machines.py $(MACHINES) $(if $(CHAPTERS),--chapters $(CHAPTERS))

lab: $(VENV)/.ok ## open the chapters in JupyterLab, which it installs when first asked
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt jupyterlab
	$(BIN)/python -m jupyterlab --notebook-dir notebooks

slides: $(VENV)/.ok ## for teachers: slides of every chapter from the built book: build/slides/index.html
	$(BIN)/python book/slides.py

assignments: $(VENV)/.ok ## for teachers: assignments of a class (SEED=...), with a grader, which it installs when first asked
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt otter-grader
	$(BIN)/python book/assignments.py build --seed $(SEED)

grades: ## for teachers: grade what came back (FOLDER=..., which holds STUDENT/NN_topic.ipynb): build/assignments/grades.csv
	$(BIN)/python book/assignments.py grade $(FOLDER)

notebooks: $(VENV)/.ok ## for authors: execute the chapters and update the committed notebooks (CHAPTERS="03 04" for some)
	$(BIN)/python notebooks/execute.py $(CHAPTERS)

results: $(VENV)/.ok ## for authors: run and record all studies, resumable (DASK=tcp://... for a cluster instead of all cores)
	$(BIN)/python -m qrgmm.studies all --size tiny
	$(BIN)/python -m qrgmm.studies all --size paper $(if $(DASK),--address $(DASK),--jobs -1)

bench: $(VENV)/.ok ## the side-by-side benchmark
	$(BIN)/python benchmarks/run.py

look: $(VENV)/.ok ## open every built page in headless Chromium, check it, and photograph it into build/screenshots
	$(BIN)/python book/look.py

clean: ## remove what was built (the environment stays)
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/.ok: requirements.txt constraints.txt
	@$(PYTHON) -c '$(IN_RANGE)' || \
	  { echo "qrgmm needs Python 3.11.5 to 3.14, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements.txt --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
