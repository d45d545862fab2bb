# make run    start a node with a demo market on data/
# make test   all tests that need no servers
# make check  what CI runs: format, lint, types, import rules, tests
# make bench [QUICK=1]      measurements, one JSON object a line at the end
# make simulate SEED=123 FAMILY=everything   one simulated run; the same seed is the same run
# make audit  recompute every balance from the journals in data/
# make lock   write the lock files anew
# make clean  remove what make made, but never data/
# PYTHON=python3.12 picks another interpreter, DATA=dir another data directory.

PYTHON ?= python3
DATA ?= data
VENV := .venv
BIN := $(VENV)/bin
QUICK ?=
SEED ?= 1
FAMILY ?= everything

.DELETE_ON_ERROR:
.PHONY: run test check lint bench simulate audit lock clean

run: $(VENV)/.run
	@$(BIN)/python run_node.py start --demo --config config/dev.toml --data $(DATA)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest

check: lint
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

simulate: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation --seed $(SEED) --family $(FAMILY)

audit: $(VENV)/.run
	@$(BIN)/python run_node.py audit --data $(DATA)

lock: $(VENV)/.lock
	PYTHON=$(PYTHON) tools/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is as new as the lock file that it installed, so a second run installs nothing.
$(VENV)/.run: requirements.lock tools/venv.sh
	@PYTHON=$(PYTHON) tools/venv.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock tools/venv.sh
	@PYTHON=$(PYTHON) tools/venv.sh $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.run

$(VENV)/.lock: | $(VENV)/.dev
	@$(BIN)/python -m pip install --disable-pip-version-check -q uv
	@touch $@
