# Everything runs in .venv in this folder; nothing but Python 3.11 or newer is needed before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venvs/peers
DLT := .venvs/dlt
BROWSER := .venvs/browser
RELEASE := .venvs/release
LOWEST := .venvs/lowest
JUPYTER := .venvs/jupyter

.PHONY: demo test test-full fuzz test-peers test-browser test-lowest test-python dist test-release pictures lint bench bench-check bench-serve bench-20m bench-memory bench-scale clean

demo: $(VENV)/installed
	$(BIN)/nomad-dask demo

# A process that is done takes tests of another's: the long ones are not left to one core at the end.
test: $(VENV)/installed-dev
	$(BIN)/pytest -n auto --dist worksteal

# What the gate has less of, whole: storms and kills of 20,000 entries, limits to the hundredth. One at a time, on a
# machine that does nothing else.
test-full: $(VENV)/installed-dev
	NOMAD_DASK_FULL=1 NOMAD_DASK_CALM=1 $(BIN)/pytest --timeout=7200 tests/cluster/test_storm.py tests/cluster/test_chaos.py tests/cluster/test_limits.py

# The properties of the layouts, 20,000 times each, on other archives every time (5 minutes on two cores).
fuzz: $(VENV)/installed-dev
	$(BIN)/pytest -n auto -m fuzz --hypothesis-profile=fuzz --timeout=7200 tests/unit

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

# With another Python and what is newest for it: make test-python PYTHON=python3.13
test-python: $(RELEASE)/installed
	$(RELEASE)/bin/uv venv --quiet --clear --python $(PYTHON) .venvs/python
	$(RELEASE)/bin/uv pip install --quiet --python .venvs/python/bin/python --editable '.[dev]'
	.venvs/python/bin/pytest -n auto --dist worksteal tests/unit tests/flow

# Sdist and wheel, as they go to PyPI.
dist: $(RELEASE)/installed
	rm -rf dist
	$(RELEASE)/bin/python -m build
	$(RELEASE)/bin/twine check --strict dist/*

# What is in them; and the demonstration by the wheel alone, in an environment and a folder that were empty.
test-release: $(VENV)/installed-dev dist
	NOMAD_DASK_DIST=dist $(BIN)/pytest tests/release

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All ways to the same table, ours and others', side by side (40 minutes); the tables and the plot go to the READMEs.
bench: $(VENV)/installed-dev $(PEERS)/installed $(DLT)/installed
	$(BIN)/python benchmarks/limits.py --readme
	$(BIN)/python benchmarks/compare.py --readme

# The same, less of it; ends with 1 unless all promised ratios hold.
bench-check: $(VENV)/installed-dev $(PEERS)/installed $(DLT)/installed
	$(BIN)/python benchmarks/limits.py
	$(BIN)/python benchmarks/compare.py --workloads small,large --check

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

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/installed

$(PEERS)/installed: tests/peers/requirements.txt
	rm -rf $(PEERS)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

$(DLT)/installed: benchmarks/comparison/dlt-requirements.txt
	rm -rf $(DLT)
	$(PYTHON) -m venv $(DLT)
	$(DLT)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(JUPYTER)/installed: tests/browser/jupyter-requirements.txt
	rm -rf $(JUPYTER)
	$(PYTHON) -m venv $(JUPYTER)
	$(JUPYTER)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(BROWSER)/installed: Makefile
	npm install --silent --no-audit --no-fund --no-save --prefix $(BROWSER) axe-core@4.14.1
	touch $@

$(RELEASE)/installed:
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/pip install --quiet --disable-pip-version-check build twine uv
	touch $@

# What the tests themselves need is of today; only what the package needs is held at its lowest.
$(LOWEST)/installed: pyproject.toml | $(RELEASE)/installed
	$(RELEASE)/bin/uv venv --quiet --clear --python $(PYTHON) $(LOWEST)
	$(RELEASE)/bin/uv pip compile --quiet pyproject.toml --extra s3 --extra jobqueue --resolution lowest-direct \
	  --python $(LOWEST)/bin/python --output-file $(LOWEST)/lowest.txt
	$(RELEASE)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --editable '.[dev]' --constraint $(LOWEST)/lowest.txt
	touch $@

clean:
	rm -rf $(VENV) dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
