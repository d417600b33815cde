# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, pinned by
# constraints.txt. They need Python 3.11 or newer, make, gcc and git, and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# One more than there are cores: tests of actors and crashes spend much of their time waiting.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test lint clean

demo: $(READY)
	$(BIN)/guardedit demo --report demo.json $(DEMO)

# A file's tests share costly fixtures, so they run in one process; long files come first, as collected.
# (`loadgroup` of pytest-xdist 3.8 does nothing under pytest 9.2, without a word.)
test: $(READY) lint
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --maxprocesses 5 --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# torch first and pinned: the index's newest build would bring several gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info demo.json demo.png
