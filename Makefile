# Everything runs in .venv in this folder; nothing but Python 3.11 or newer is needed before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venvs/peers
DLT := .venvs/dlt
BROWSER := .venvs/browser
RELEASE := .venvs/release
LOWEST := .venvs/lowest
NEWEST := .venvs/newest
JUPYTER := .venvs/jupyter
DOCS := .venvs/docs
UV := .venvs/uv
LOCKS := tests/locks
# $(call locked,environment,lock,options) installs the very files that `make lock` found, on any later day: by uv,
# which takes a tenth of pip's time, or by pip where there is no uv.
HASHED := --quiet --require-hashes --requirement
locked = $(UV)/bin/uv pip install --python $(1)/bin/python $(HASHED) $(2) $(3) || $(1)/bin/pip install $(HASHED) $(2) $(3)
LOCK = $(UV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock"
ITSELF := pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

.PHONY: demo test environments test-full fuzz fuzz-core fuzz-bodies test-peers test-browser test-lowest test-newest test-python lock dist test-release pictures docs lint bench bench-check bench-serve bench-20m bench-memory bench-scale clean

demo: $(VENV)/installed
	$(BIN)/nomad-dask demo

# In random order: the last line says which. A process that is done takes tests of another's: the long ones are not left to one core at the end.
test: $(VENV)/installed-dev
	$(BIN)/pytest -n auto --dist worksteal tests/unit tests/flow tests/cluster

# What the other targets of the gate need, for `make -j`.
environments: $(PEERS)/installed $(RELEASE)/installed $(DOCS)/installed

# What the gate has less of, whole: storms and kills of 20,000 entries, limits to the hundredth. One at a time, on a
# machine that does nothing else.
test-full: $(VENV)/installed-dev
	NOMAD_DASK_FULL=1 NOMAD_DASK_CALM=1 $(BIN)/pytest --timeout=7200 tests/cluster/test_storm.py tests/cluster/test_chaos.py tests/cluster/test_limits.py tests/cluster/test_hostile.py

# The properties of the layouts, 20,000 times each, on other archives every time (5 minutes on two cores).
fuzz: $(VENV)/installed-dev
	$(BIN)/pytest -n auto -m fuzz --hypothesis-profile=fuzz --timeout=7200 tests/unit

# The compiled core with AddressSanitizer and UBSan: its tests, then mutated rows for FUZZ_SECONDS. Needs gcc or clang.
FUZZ_SECONDS ?= 600
SANITIZED := .venvs/sanitized
PRELOAD = LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0
fuzz-core: $(VENV)/installed-dev
	NOMAD_DASK_CORE=sanitized $(BIN)/python setup.py --quiet build_ext --build-lib $(SANITIZED) --build-temp $(SANITIZED)/temp
	$(PRELOAD) NOMAD_DASK_SANITIZED=$(SANITIZED) $(BIN)/pytest -m "not fuzz" tests/unit/test_core.py
	$(PRELOAD) $(BIN)/python tests/helpers/fuzz_core.py $(FUZZ_SECONDS) $(SANITIZED)

# Random and mutated answers into every reader of what a server sends: nothing but our own errors (10 minutes).
fuzz-bodies: $(VENV)/installed-dev
	NOMAD_DASK_FUZZ_SECONDS=1200 $(BIN)/pytest -n 2 tests/flow/test_fuzz_bodies.py

# Compared with nomad-lab's own class, which has an environment of its own (1 minute, 650 MB, the first time).
test-peers: $(VENV)/installed-dev $(PEERS)/installed
	$(BIN)/pytest tests/peers

# The harvest page, with axe (by npm), and the quickstart notebook in a JupyterLab (240 MB), in a real browser. Needs
# Chromium and npm, and says so where they are not.
test-browser: $(VENV)/installed-dev $(BROWSER)/installed $(JUPYTER)/installed
	NOMAD_DASK_BROWSER=1 $(BIN)/pytest tests/browser

# The pictures of the README: the notebook, the harvest page, the terminal (2 minutes). Needs Chromium. Look at each.
pictures: $(VENV)/installed-dev $(JUPYTER)/installed
	NOMAD_DASK_SCREENSHOTS=.venvs/screenshots $(BIN)/pytest tests/browser/test_quickstart.py
	$(BIN)/python tests/browser/pictures.py .venvs/screenshots

# With the lowest versions that pyproject.toml allows (4 minutes on two cores).
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/pytest -n auto --dist worksteal tests/unit tests/flow
	$(LOWEST)/bin/pytest tests/cluster/test_harvest.py tests/cluster/test_frames.py

# With the newest versions that pyproject.toml allows today, whatever is locked (10 minutes on two cores).
test-newest: $(UV)/installed
	$(UV)/bin/uv venv --quiet --clear --python $(PYTHON) $(NEWEST)
	$(UV)/bin/uv pip install --quiet --upgrade --python $(NEWEST)/bin/python --editable '.[dev]' setuptools
	$(NEWEST)/bin/pytest -n auto --dist worksteal tests/unit tests/flow tests/cluster

# With another Python: make test-python PYTHON=python3.13
test-python: $(UV)/installed
	$(UV)/bin/uv venv --quiet --clear --python $(PYTHON) .venvs/python
	$(UV)/bin/uv pip install --quiet --python .venvs/python/bin/python --require-hashes --requirement $(LOCKS)/test.txt
	$(UV)/bin/uv pip install --quiet --python .venvs/python/bin/python --no-deps --no-build-isolation --editable .
	.venvs/python/bin/pytest -n auto --dist worksteal tests/unit tests/flow

# Sdist and wheel, as they go to PyPI.
dist: $(RELEASE)/installed
	rm -rf dist
	$(RELEASE)/bin/python -m build
	$(RELEASE)/bin/twine check --strict dist/*

# What is in them; and the demonstration by the wheel alone, in an environment and a folder that were empty.
test-release: $(VENV)/installed-dev dist
	NOMAD_DASK_DIST=dist $(BIN)/pytest tests/release

# The site, in .venvs/docs/site: README, guides and docstrings. A broken link or reference fails.
docs: $(DOCS)/installed
	rm -rf $(DOCS)/pages $(DOCS)/site
	mkdir -p $(DOCS)/pages/.github
	cp -R README.md LICENSE Makefile examples benchmarks .github/docs/reference.md $(DOCS)/pages
	cp -R .github/*.md $(DOCS)/pages/.github
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --config-file .github/docs/mkdocs.yml
	@echo "the site is in $(DOCS)/site/index.html"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All ways to the same table, ours and others', side by side (40 minutes); the tables and the plot go to benchmarks/README.md.
bench: $(VENV)/installed-dev $(PEERS)/installed $(DLT)/installed
	$(BIN)/python benchmarks/limits.py --readme
	$(BIN)/python benchmarks/compare.py --readme

# The same, less of it; ends with 1 unless all promised ratios hold.
bench-check: $(VENV)/installed-dev $(PEERS)/installed $(DLT)/installed
	$(BIN)/python benchmarks/limits.py
	$(BIN)/python benchmarks/compare.py --workloads small,large,recorded --check

# How fast the embedded archive is: it must not be what the others measure.
bench-serve: $(VENV)/installed-dev
	$(BIN)/python benchmarks/serve_speed.py

# Plans 20 million ids and simulates their harvest with costs that it measures (6 minutes).
bench-20m: $(VENV)/installed-dev
	$(BIN)/python benchmarks/harvest_20m.py

# Memory of workers and of the client: 200,000 entries, archives of 20 MB, 12,000 segments.
bench-memory: $(VENV)/installed-dev
	$(BIN)/python benchmarks/memory.py

# Cost as entries, columns, partitions and workers grow; the slopes go to benchmarks/README.md (9 minutes).
bench-scale: $(VENV)/installed-dev
	$(BIN)/python benchmarks/scale.py --readme

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("nomad-dask needs Python 3.11 or newer; this is %d.%d: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)

$(UV)/installed: $(LOCKS)/uv.txt
	$(PYTHON) -m venv --clear $(UV)
	-$(UV)/bin/pip install --disable-pip-version-check $(HASHED) $<
	touch $@

$(VENV)/installed: $(LOCKS)/demo.txt pyproject.toml | $(BIN)/python $(UV)/installed
	$(call locked,$(VENV),$<)
	$(BIN)/$(ITSELF)
	$(BIN)/nomad-dask --version
	touch $@

$(VENV)/installed-dev: $(LOCKS)/test.txt pyproject.toml | $(BIN)/python $(UV)/installed
	$(call locked,$(VENV),$<)
	$(BIN)/$(ITSELF)
	touch $@ $(VENV)/installed

$(PEERS)/installed: $(LOCKS)/peers.txt | $(UV)/installed
	$(PYTHON) -m venv --clear $(PEERS)
	$(call locked,$(PEERS),$<,--no-deps)
	touch $@

$(DLT)/installed: $(LOCKS)/dlt.txt | $(UV)/installed
	$(PYTHON) -m venv --clear $(DLT)
	$(call locked,$(DLT),$<)
	touch $@

$(JUPYTER)/installed: $(LOCKS)/jupyter.txt | $(UV)/installed
	$(PYTHON) -m venv --clear $(JUPYTER)
	$(call locked,$(JUPYTER),$<)
	touch $@

$(DOCS)/installed: $(LOCKS)/docs.txt | $(UV)/installed
	$(PYTHON) -m venv --clear $(DOCS)
	$(call locked,$(DOCS),$<)
	touch $@

$(BROWSER)/installed: Makefile
	npm install --silent --no-audit --no-fund --no-save --prefix $(BROWSER) axe-core@4.14.1
	touch $@

$(RELEASE)/installed: $(LOCKS)/release.txt | $(UV)/installed
	$(PYTHON) -m venv --clear $(RELEASE)
	$(call locked,$(RELEASE),$<)
	touch $@

# Every lock, of the newest versions that there are today: for all Pythons and systems, with the hash of each file.
lock: $(UV)/installed
	$(LOCK) pyproject.toml tests/locks/build.in --extra dev --output-file $(LOCKS)/test.txt
	$(LOCK) pyproject.toml tests/locks/build.in --constraint $(LOCKS)/test.txt --output-file $(LOCKS)/demo.txt
	$(LOCK) tests/locks/uv.in --output-file $(LOCKS)/uv.txt
	$(LOCK) tests/release/requirements.txt --output-file $(LOCKS)/release.txt
	$(LOCK) .github/docs/requirements.txt --output-file $(LOCKS)/docs.txt
	$(LOCK) tests/browser/jupyter-requirements.txt --output-file $(LOCKS)/jupyter.txt
	$(LOCK) benchmarks/comparison/dlt-requirements.txt --output-file $(LOCKS)/dlt.txt
	$(LOCK) tests/peers/requirements.txt --no-deps --output-file $(LOCKS)/peers.txt

# What the tests themselves need is of today; only what the package needs is held at its lowest.
$(LOWEST)/installed: pyproject.toml | $(UV)/installed
	$(UV)/bin/uv venv --quiet --clear --python $(PYTHON) $(LOWEST)
	$(UV)/bin/uv pip compile --quiet pyproject.toml --extra s3 --extra jobqueue --resolution lowest-direct \
	  --python $(LOWEST)/bin/python --output-file $(LOWEST)/lowest.txt
	$(UV)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --editable '.[dev]' --constraint $(LOWEST)/lowest.txt
	touch $@

clean:
	rm -rf $(VENV) dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
