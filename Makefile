# The first call of any target makes the environment; later calls reuse it.
#   make PYTHON=python3.12 …   another Python (3.10 to 3.13)
#   make VENV=/path/to/venv …  another place
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = mms_ocr configs tools projects tests requirements docs setup.py
SITE = docs/_build/html
# Tests in as many processes as there are cores, at most four.
PARALLEL = -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help env demo test test-slow coverage test-slurm test-web web zoo-check lint format docs notebooks test-docs clean

help:
	@echo "make demo       pretrain a small encoder on rendered words, with pictures; read words with the bundled one"
	@echo "make test       all tests but the slow ones; make test-slow: those"
	@echo "make coverage   the same tests, and the share of lines that they run"
	@echo "make test-slurm training over a real slurm, installed by apt where it lacks, and two networks"
	@echo "make web        a web page that reads, cuts out, sharpens and masks words; make test-web: test it in a browser"
	@echo "make zoo-check  measure the scores of the bundled weights again; MMS_OCR_DATA=/path/to/test/sets"
	@echo "make lint       ruff, mypy, imports, spelling; make format: let ruff rewrite the files"
	@echo "make docs       the documentation site, $(SITE)/index.html; make test-docs: run its commands and code"
	@echo "make notebooks  execute the notebooks of docs/notebooks, and store their outputs"
	@echo "make env        only the environment, $(VENV)"
	@echo "make clean      remove the environment, work_dirs/demo and all caches"

env:
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: no $(PYTHON) here: install Python 3.10 to 3.13, or make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit((3, 10) > v or v > (3, 13))' || { \
		echo "make: mms_ocr's environment needs Python 3.10 to 3.13, and $(PYTHON) is" \
		"$$($(PYTHON) -c 'import platform; print(platform.python_version())'): make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) requirements/make_env.py $(VENV)

demo: env
	$(BIN)/python tools/demo.py --work-dir work_dirs/demo

test: env
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: env
	$(BIN)/python -m pytest -m "slow and not cluster and not browser"

coverage: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with web
	$(BIN)/python -m pytest --cov

# What cannot run on this machine is skipped, and the end of the report says why.
test-slurm: env
	@$(BIN)/python tests/faults/local_slurm.py --install || true
	$(BIN)/python -m pytest -m "cluster and not slow" tests/cluster

web: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with web
	@$(BIN)/mms-ocr web

test-web: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with web --with browser
	@$(BIN)/python tests/helpers/browser_program.py --install || true
	$(BIN)/python -m pytest -m "browser or not browser" tests/browser tests/apis/web

zoo-check: env
	$(BIN)/python tools/zoo_check.py

lint: env
	$(BIN)/python -m ruff check $(wildcard $(SOURCES))
	$(BIN)/python -m ruff format --check $(wildcard $(SOURCES))
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell -D - -D .codespell.txt $(wildcard $(SOURCES) *.md *.cff Makefile Dockerfile .github/*.* .github/*/*.yml)

format: env
	$(BIN)/python -m ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/python -m ruff format $(wildcard $(SOURCES))

# Every warning fails the build: broken links, unknown references, names without a docstring.
docs: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with docs
	$(BIN)/python -m sphinx -c docs -E -W --keep-going -q . $(SITE)
	@echo "$(SITE)/index.html"

notebooks: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with docs
	$(BIN)/jupyter execute --inplace docs/notebooks/*.ipynb

test-docs: env
	@$(PYTHON) requirements/make_env.py $(VENV) --with docs
	$(BIN)/python -m pytest -m "slow or not slow" tests/docs

clean:
	rm -rf $(VENV) docs/_build work_dirs/demo build dist *.egg-info mms_ocr/.mim
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find mms_ocr configs tools projects tests requirements docs -name __pycache__ -prune -exec rm -rf {} +
