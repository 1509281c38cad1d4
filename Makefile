PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
T      ?= tests/unit tests/integration
# What `make run` starts, and no more; a server of your own may need another: make run EXTRAS=postgresql
EXTRAS ?=
RUNS   := api,worker,redis,flower,local,tasks$(if $(EXTRAS),$(comma)$(EXTRAS))
comma  := ,
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR):$(PYTHONPATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-all check fmt soak prove bench migrate move config clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: $(VENV)/.runs ## Start everything in the foreground, on the embedded default; Ctrl-C ends it (RELOAD=1 EXTRAS=postgresql)
	@exec jobyard run --end-with-parent $(if $(RELOAD),--reload)

test: $(VENV)/.tests ## Run the unit and integration tests (T=path runs one)
	@python -m pytest -n 2 --dist worksteal $(T)

test-all: $(VENV)/.tests ## Run every test: PostgreSQL and the failure tests as well
	@python -m pytest -n 3 --dist worksteal tests

check: $(VENV)/.tests ## Check format, lint, types and the direction of imports
	@ruff format --check . && ruff check . && mypy . && lint-imports

fmt: $(VENV)/.tests ## Format the code and mend what the linter can
	@ruff check --fix . && ruff format .

soak: $(VENV)/.tests ## Half an hour of load and random faults (MINUTES=30 SEED=... BROKER=rabbitmq), and what was lost
	@python -m tests.soak --minutes $(or $(MINUTES),30) --broker $(or $(BROKER),redis) $(if $(SEED),--seed $(SEED))

prove: $(VENV)/.tests ## Run the proofs that need size or time, and write into docs/proofs.md what they gave (PROOF=name SEED=...)
	@python -m tests.prove $(PROOF) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.tests ## Measure beside Celery and other queues, and a long backlog, in two hours or three (ROUNDS=1 FIGURES=1)
	@for name in drain accept enqueue latency brokers waiting computing converting due; do \
		python -m bench.$$name $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(FIGURES),--figure) || exit; \
	done
	@python -m bench.backlog $(if $(ROUNDS),--rounds $(ROUNDS))

migrate: $(VENV)/.runs ## Bring the ledger of JOBYARD_LEDGER__URL to this version
	@jobyard migrate

move: $(VENV)/.runs ## Move what waits from the broker FROM=URL to that of JOBYARD_BROKER__URL (DRAIN=1 EMPTY=1 DRY_RUN=1)
	@jobyard move-broker $(if $(DRAIN),--drain) $(if $(EMPTY),--empty) $(if $(DRY_RUN),--dry-run)

config: $(VENV)/.runs ## Show every setting as it is now
	@jobyard config

clean: ## Remove the virtual environment and the caches; data under var/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The environment for tests holds all that running needs, so that one is not installed over the other.
$(VENV)/.runs: pyproject.toml constraints.txt
	@test -e $(VENV)/.tests -a -z "$(EXTRAS)" && $(MAKE) -s $(VENV)/.tests || $(call install,.[$(RUNS)])
	@touch $@

$(VENV)/.tests: pyproject.toml constraints.txt
	@$(call install,.[dev])
	@touch $@

define install
{ $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Jobyard needs Python 3.11 or newer; say which with make PYTHON=python3.11")' && \
  { test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); } && \
  echo "Installing the pinned dependencies into $(VENV) (once) ..." && \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '$(1)'; }
endef
