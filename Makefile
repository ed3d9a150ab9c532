# Everything from one word; the tools that do the work are pip, Snakemake, Jupyter Book and pytest.

PYTHON ?= python3
PRESET ?= digits
PORT ?= 8000
# fewer than all cores: make sweep CORES=2
CORES ?= all
# train also where the record is there already: make sweep AGAIN=1
AGAIN ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet $(addprefix -c ,$(wildcard constraints.txt))
# --nolock: a killed run leaves Snakemake's lock behind, and nothing here needs it: records and notebooks are renamed
# into place when whole. --rerun-incomplete takes up what the kill cut short.
FLAGS := --cores $(CORES) --nolock --rerun-incomplete --keep-going --quiet rules host reason

# common is what they share; other_tools needs packages that are not among ours
BENCHMARKS := $(filter-out common other_tools,$(basename $(notdir $(wildcard benchmarks/*.py))))

.DEFAULT_GOAL := help
.PHONY: help book sweep ledger readme test bench faults lint serve clean distclean

help:
	@echo "make book                 set up .venv, run the default sweep, build the site in _build/html"
	@echo "make serve                show the site at http://127.0.0.1:$(PORT)"
	@echo "make sweep PRESET=mnist   run the sweep of a preset ($(basename $(notdir $(wildcard config/*.yaml)))) or of a YAML file"
	@echo "                          or a study ($(basename $(notdir $(wildcard config/studies/*.yaml))));"
	@echo "                          CORES=2 for fewer cores, AGAIN=1 to train also where there are records"
	@echo "make test                 set up .venv and run the tests; PYTEST='-k name' for some of them"
	@echo "make bench                measure what it costs, into benchmarks/results; nothing else should run meanwhile"
	@echo "make faults               kill, fill up and damage runs by hundreds, into benchmarks/results; an hour on a busy machine"
	@echo "make ledger readme        write the ledger, and the README's results, from the records that are shipped"
	@echo "make lint                 ruff and mypy"
	@echo "make clean                remove the site and the pages of runs; make distclean also the runs and .venv"

book: $(BIN)/.book
	$(BIN)/snakemake book $(FLAGS) --config preset=digits

sweep: $(BIN)/.book
	$(BIN)/snakemake sweep $(FLAGS) $(if $(AGAIN),--forcerun run) --config preset=$(PRESET) $(if $(AGAIN),again=True)

ledger readme: $(BIN)/.book
	cd book && ../$(BIN)/python -m report.$@

test: $(BIN)/.test
	$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST)

# One after another, since each takes the whole machine; one that fails does not stop those behind it.
bench: $(BIN)/.book
	@failed=; for name in $(BENCHMARKS); do echo "benchmarks/$$name.py"; \
		$(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; done; \
	test -z "$$failed" || { echo "These benchmarks failed:$$failed"; exit 1; }

# The tests have a short version of it. As root it also fills disks and limits memory.
faults: $(BIN)/.book
	cd benchmarks && PYTHONPATH=../book ../$(BIN)/python -m faults

lint: $(BIN)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve:
	@test -f _build/html/index.html || { echo "There is no site yet: make book builds it."; exit 1; }
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

clean:
	rm -rf _build book/runs book/_data

distclean: clean
	rm -rf .venv .snakemake results/digits results/runs results/*/notebooks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "resperturb needs Python 3.11 or later, but $(PYTHON) is no such Python; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# What is installed follows the files that say so; the packages of the tests include those of the book.
$(BIN)/.book: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	@echo 'Installing into .venv; the first time takes some minutes.'
	$(PIP) -e '.[book]'
	@touch $@

$(BIN)/.test: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	@echo 'Installing into .venv; the first time takes some minutes.'
	$(PIP) -e '.[test]'
	@touch $(BIN)/.book $@
