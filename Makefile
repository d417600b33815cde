# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, pinned by
# constraints.txt. They need Python 3.11 or newer, make, gcc and git, and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# One more than there are cores: tests of actors and crashes spend much of their time waiting.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test lint promtool clean

demo: $(READY)
	$(BIN)/guardedit demo --report demo.json $(DEMO)

# A file's tests share costly fixtures, so they run in one process; long files come first, as collected.
# (`loadgroup` of pytest-xdist 3.8 does nothing under pytest 9.2, without a word.)
test: $(READY) lint promtool
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses $(PROCESSES) --maxprocesses 5 --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Debian's package is unpacked and not installed: that needs no root, and starts no server. Where it is not to
# be had, tests that need promtool are skipped with the reason, and fail in CI.
promtool: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH"; if command -v promtool || ! command -v apt-get; then exit 0; fi >/dev/null; \
	if [ "$$(id -u)" = 0 ]; then apt-get -qq update; fi; \
	mkdir -p $(VENV)/deb && cd $(VENV)/deb && apt-get -qq download prometheus && dpkg -x prometheus_*.deb . \
	&& mv usr/bin/promtool ../bin/ || echo "promtool cannot be had by apt-get"; rm -rf "$(CURDIR)/$(VENV)/deb"

# torch first and pinned: the index's newest build would bring several gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info demo.json demo.png
