# demo   a teacher becomes a 75 %, a 50 % and a 25 % student (runs/demo)
# test   the tests
# check  format, lint, types, tests: what CI runs
# fix    what format and lint can mend by themselves
# settings  docs/settings.md and docs/objectives.md, from the classes they tell of and
#           the last ablation of objectives
# build  dist/*.tar.gz and, from it, dist/*.whl

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= runs/demo

# a test uses one thread, and as many run side by side as there are cores
TESTS   := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n logical --maxprocesses 4 \
	--dist worksteal
PIP     := $(VENV)/bin/python -m pip install --quiet -c constraints.txt
# the last ablation of objectives, which their page ends with
MEASURED := $(lastword $(sort $(wildcard benchmarks/results/*-objectives.json)))
SOURCES := setup.cfg pyproject.toml constraints.txt

.DEFAULT_GOAL := check
.PHONY: demo test check fix settings build clean

# The stamps: written last, so that an install that was cut off is done again.
$(VENV)/installed: $(SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tinyclip needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	@touch $@

# A run that is already there is resumed; a finished one prints its table again.
demo: $(VENV)/installed
	@if [ -e $(RUN)/recipe.yaml ]; then resume=--resume; recipe=; \
	else resume=; recipe=demo; fi; \
	echo "tinyclip compress $$recipe $$resume --out $(RUN)"; \
	$(VENV)/bin/tinyclip compress $$recipe $$resume --out $(RUN)

test: $(VENV)/installed-dev
	$(TESTS)

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(TESTS)

fix: $(VENV)/installed-dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

settings: $(VENV)/installed
	$(VENV)/bin/python -m tinyclip.cli.settings > docs/settings.md
	$(VENV)/bin/python -m tinyclip.cli.objectives > docs/objectives.md
	$(VENV)/bin/python benchmarks/objectives.py --page $(MEASURED) >> docs/objectives.md

# A stale build/ would ship files that were renamed, under both names.
build: $(VENV)/installed-dev
	rm -rf build dist
	$(VENV)/bin/python -m build

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
