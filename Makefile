# Two commands on a fresh machine with Python 3.11, make and git: `make demo` and `make test`.
# What they build lies in .venv, .tools, .cache and .run; `make clean` removes it.

# The pins are compiled for Python 3.11; a newer one is taken where there is no 3.11.
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
SHELL := /bin/bash
# A file of tests goes to one process as a whole, in the order of tests/conftest.py: cut in two, it would make
# what its tests have in common (a province, a browser, the reading of a recording) twice.
PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder
# The environment is our own: modules are compiled once and kept, so that programs start several times faster.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint types bench lock clean run-environment dev-environment

help: ## Say what can be made (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: run-environment ## Stream the sample counters through the whole system; DEMO_EXIT=1 ends by itself
	@$(BIN)/hailong demo

test: dev-environment ## Run the tests (ARGS="-k words" to choose)
	@$(BIN)/python -m pytest $(PROCESSES) -m "not long" $(ARGS)

test-long: dev-environment ## Run all tests, the nightly ones too
	@$(BIN)/python -m pytest $(PROCESSES) $(ARGS)

lint: dev-environment ## Check style, format and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --cache-dir .cache/import-linter

types: dev-environment ## Check types, strictly
	@$(BIN)/mypy --cache-dir .cache/mypy

bench: run-environment ## Measure stages, real-time factor and ingest; writes a dated record
	@$(BIN)/hailong bench

lock: ## Compile requirements/*.in and pyproject.toml to pinned hashes (needs the network)
	@$(PYTHON) -m setup.lock

clean: ## Remove everything that make built
	@rm -rf .venv .tools .cache .run .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

run-environment:
	@$(PYTHON) -m setup.install run

dev-environment:
	@$(PYTHON) -m setup.install dev
