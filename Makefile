# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, pinned by
# constraints.txt. They need Python 3.11 or newer, make, gcc and git, and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CORES  := $(shell getconf _NPROCESSORS_ONLN)
# One more than there are cores: tests of actors and crashes spend much of their time waiting.
PROCESSES := $(shell expr $(CORES) + 1)
# A file's tests share costly fixtures, so they run in one process; long files come first, as collected.
# (`loadgroup` of pytest-xdist 3.8 does nothing under pytest 9.2, without a word.)
PYTEST := $(BIN)/python -m pytest --maxprocesses 5 --dist loadfile --no-loadscope-reorder --tb short -rfEs
# Targets side by side. Nothing is held back, so that a run that is cut off has said what it knew.
BESIDE := $(MAKE) --no-print-directory --jobs $(CORES)

.PHONY: demo demo-real check test nightly lint fast whole style types floors docs picture page-check others-check \
	publish-check promtool clean

demo: $(READY)
	$(BIN)/guardedit demo --report demo.json $(DEMO)

# The same on a language model and public facts. It is fetched once; its prepared files come with the project.
demo-real: $(READY)
	$(BIN)/guardedit model show smollm2 >/dev/null 2>&1 || $(BIN)/guardedit model add smollm2
	$(BIN)/guardedit demo --model smollm2 --report demo-real.json $(DEMO)

# What to run before every commit: lint, types and the fast tests.
check: $(READY)
	$(BESIDE) lint fast

# Everything, as CI runs it. When something fails, lint speaks once more: its first words are far above.
test: $(READY)
	$(BESIDE) lint whole || { $(MAKE) --no-print-directory lint; false; }

# Also the full products of methods with families and odd facts, and many more examples of each property.
nightly: $(READY)
	GUARDEDIT_TESTS=whole $(BESIDE) lint whole

lint: style floors types

style: $(READY)
	$(BIN)/ruff format --quiet --check .
	$(BIN)/ruff check --quiet .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports --no-cache

# The documentation as a site in build/docs. The pages made from code are renewed first. Needs no network.
docs: $(READY)
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .mkdocs.yml --site-dir build/docs

# The packages, their files and imports as a drawing.
picture: $(READY)
	$(BIN)/python docs/house.py docs/house.svg

# The operators' page in a real browser. Needs Chromium: `apt-get install chromium`.
page-check: $(READY)
	$(BIN)/pip install --quiet playwright axe-playwright-python
	$(BIN)/python -m pytest tests/unit/gateway/admin/test_page.py

# guardedit inside other programs: LiteLLM's proxy, and retrievers for LangChain and LlamaIndex. They need other
# versions of packages, so they have an environment of their own.
OTHERS := $(VENV)-others
others-check: $(READY) $(OTHERS)/.ready
	OTHERS=$(CURDIR)/$(OTHERS)/bin $(BIN)/python -m pytest -rs tests/integration/test_litellm.py \
		tests/acceptance/test_examples.py -k 'litellm or retriever'

$(OTHERS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(OTHERS)
	$(OTHERS)/bin/pip install --quiet --no-compile --disable-pip-version-check torch==2.13.0
	$(OTHERS)/bin/pip install --quiet --no-compile --disable-pip-version-check --editable '.[serve]' \
		'litellm[proxy]==1.108.7' langchain-core==1.8.3 llama-index-core==0.14.25
	touch $@
# The publisher with an S3 server. s3fs and moto fix versions of other packages, so they have an environment of
# their own, which finds everything else in the usual one.
publish-check: $(READY)
	$(PYTHON) -m venv $(VENV)/s3
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(VENV)/s3/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/usual.pth"
	$(VENV)/s3/bin/pip install --quiet 'moto[server]>=5' 's3fs>=2025.3'
	$(VENV)/s3/bin/python -m pytest tests/integration/test_publish_s3.py

# Debian's package is unpacked and not installed: that needs no root, and starts no server. Where it is not to
# be had, tests that need promtool are skipped with the reason, and fail in CI.
promtool: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH"; if command -v promtool || ! command -v apt-get; then exit 0; fi >/dev/null; \
	if [ "$$(id -u)" = 0 ]; then apt-get -qq update; fi; \
	mkdir -p $(VENV)/deb && cd $(VENV)/deb && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg -x prometheus_*.deb . \
	&& mv usr/bin/promtool ../bin/ || echo "promtool cannot be had by apt-get"; rm -rf "$(CURDIR)/$(VENV)/deb"

fast: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) --numprocesses $(CORES) -m fast $(TESTS)

whole: $(READY) promtool
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) --numprocesses $(PROCESSES) --durations 10 --durations-min 10 $(TESTS)

# torch first and pinned: the index's newest build would bring several gigabytes of CUDA. Modules are
# compiled when they are first imported: most of the 17,000 never are.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(OTHERS) build dist *.egg-info demo.json demo.png demo-real.json demo-real.png
