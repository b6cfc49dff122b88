# A few verbs. Each makes the virtual environment it needs; `make help` lists them.
# PYTHON=python3.12 chooses the interpreter, ARGS='...' adds arguments to the command of a verb,
# WORKERS=0 keeps the quick tests in one process; by default there is one more than there are
# cores, as tests of real nodes mostly wait.

PYTHON ?= python3
ARGS ?=
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BENCHES ?= grid privacy robust secure value
DIST ?= dist
SITE ?= site

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_RAY := $(VENV)/.ready-ray
PACKAGES := fedtrade strategies clients conf simulations

export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow test-ray lint format check bench docs build clean

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment .venv (Python 3.11 or newer)

demo: $(READY) ## Run the main job: train together on market data, report in runs/demo
	$(BIN)/fedtrade simulate out=runs/demo runtime.n_workers=2 $(ARGS)

test: $(READY) ## Run the quick tests
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(READY) ## Run the tests marked slow
	$(BIN)/python -m pytest -m "slow and not ray" $(ARGS)

test-ray: $(READY_RAY) ## Run the tests on Flower's simulation runtime (installs Ray)
	$(BIN)/python -m pytest -m ray $(ARGS)

lint: $(READY) ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format, and repair what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

check: lint test ## Lint and test

bench: $(READY_RAY) ## Run the benchmarks into runs/bench (installs Ray, the peer in one of them)
	mkdir -p runs/bench
	set -e; for name in $(BENCHES); do \
	    $(BIN)/fedtrade bench $$name --json runs/bench/$$name.json $(ARGS); \
	done

docs: $(READY) ## Build the documentation into site
	$(BIN)/python docs/build_site.py "$(SITE)"
	$(BIN)/pdoc --docformat numpy --output-directory "$(SITE)/api" $(PACKAGES)

build: $(READY) ## Build the wheel into dist
	$(BIN)/python -m build --wheel --no-isolation --outdir "$(DIST)"

clean: ## Remove the environment, caches and everything built (runs/ is kept)
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "fedtrade needs Python 3.11 or newer, and '$(PYTHON)' is not." \
	         "Name another with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Test oracles and peers in benchmarks, without what they bring along: ByzFL's rules need no
# torchvision, which has to fit the exact build of torch.
PEERS := byzfl

# The stamps are written last, so that an interrupted installation is taken up again.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps $(PEERS)
	@touch $@

$(READY_RAY): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,ray]'
	@touch $@
