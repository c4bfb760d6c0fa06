# `make run` and `make test` do all the set-up themselves; they need Python 3.11 or newer, make, and a registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
NODE_BIN := node_modules/.bin
JAVASCRIPT := tests/javascript
ARGS ?=

.PHONY: run test lint house types unit coverage bench bench-quick chaos reference screenshots clean help node

help:               ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

run: $(VENV)/run    ## a working demo in the browser, on the embedded store
	@$(BIN)/sse-auction serve --demo $(ARGS)

test: lint types unit  ## lint, strict types, all tests (installs the browser and a Redis server where missing)

lint: $(VENV)/dev node_modules/.installed house  ## ruff, ESLint, the layers and sizes of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(NODE_BIN)/eslint --config $(JAVASCRIPT)/eslint.config.js --max-warnings 0 static $(JAVASCRIPT)

house: $(VENV)/dev  ## the measure of sse_auction/: rooms, longest module and function, import contracts
	$(BIN)/python -m scripts.house
	$(BIN)/lint-imports --no-cache --no-logo

types: $(VENV)/dev node_modules/.installed  ## mypy --strict, tsc --strict
	$(BIN)/mypy
	$(NODE_BIN)/tsc --project $(JAVASCRIPT)

unit: $(VENV)/dev   ## the tests alone
	@scripts/install-system-packages.sh chromium redis-server nginx faketime
	@$(MAKE) --no-print-directory node
	node --test $(JAVASCRIPT)/*.test.js
	$(BIN)/pytest $(ARGS)

# sys.monitoring, which Python has since 3.12, slows the measured code down least.
coverage: $(VENV)/dev  ## the Python tests once more, with the lines that they execute; fails under the floor in pyproject.toml
	@scripts/install-system-packages.sh chromium redis-server nginx faketime
	$(BIN)/coverage erase
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if hasattr(sys, "monitoring") else "ctrace")') \
		$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/dev  ## every benchmark with its peers, about 20 minutes; writes docs/results/benchmarks.md
	@scripts/install-benchmark-peers.sh
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/dev  ## the main rows in two minutes; prints them
	@scripts/install-benchmark-peers.sh
	$(BIN)/python -m benchmarks --quick $(ARGS)

chaos: $(VENV)/dev  ## every fault, many times with other seeds, in under 20 minutes
	@scripts/install-system-packages.sh faketime
	$(BIN)/python -m tests.faults.chaos $(ARGS)

reference: $(VENV)/dev  ## the generated tables of docs/, from the code
	$(BIN)/python -m scripts.reference

screenshots: $(VENV)/dev  ## the README's pictures, from a running demo
	@scripts/install-system-packages.sh chromium
	$(BIN)/python scripts/screenshots.py docs/images

clean:              ## everything that the above made
	rm -rf $(VENV) node_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

# Stamps: what is installed is installed again only when what names it has changed.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

# One after the other: where Node.js comes with its own npm, the system's npm is not asked for.
node:
	@scripts/install-system-packages.sh nodejs
	@scripts/install-system-packages.sh npm

node_modules/.installed: package.json package-lock.json
	@$(MAKE) --no-print-directory node
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@
