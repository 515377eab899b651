# Everything a person types. On a fresh machine with Python 3.11, git and make, `make bench` and `make test` do it all.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
TEST_WORKERS ?= 2
.PHONY: help setup bench bench-micro test test-all test-slow lint ui clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(INSTALLED)  ## create .venv and install, if that is not done

# torch goes first: where a local wheel or index offers a CPU build of the pinned version, it is the one that is kept.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into .venv (once; takes a minute or two) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q -c constraints.txt torch
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,dev]"
	@touch $@

bench: setup  ## run experiments/quick.toml and print the ranking, the files and the MLflow links
	@$(BIN)/lenet-bench run experiments/quick.toml

bench-micro: setup  ## run the pytest-benchmark suite
	@$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -q

test: setup  ## run the tests that are not slow
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m "not slow"

test-slow: setup  ## run only the slow tests
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -m slow

test-all: setup  ## run every test
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

ui: setup  ## start the MLflow UI on loopback
	@$(BIN)/lenet-bench ui

clean:  ## remove .venv and caches; results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .benchmarks build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
