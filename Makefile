# Everything a fresh machine needs: Python 3.11 or newer, and make.
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9# where there is none
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --frozen --no-sync
# Packages are compiled once, not by each of the many processes of the tests: importing torch and MLflow takes half as long.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.locked ## make the environment from the lock

.venv/.locked: uv.lock pyproject.toml
	@command -v $(UV) >/dev/null || (python3 -m venv .uv && .uv/bin/pip install --quiet uv==$(UV_VERSION))
	$(UV) sync --frozen --all-extras
	@touch $@

demo: setup ## draw a synthetic dataset, train on it, evaluate, say where to look
	$(RUN) ferlab data show data=synthetic out=outputs/demo/data
	$(RUN) ferlab train experiment=demo
	$(RUN) ferlab evaluate bundle=$$(ls -d outputs/*/*_demo | tail -n 1)/bundle data=synthetic
	@echo "Pictures of the data: outputs/demo/data. To compare runs: .venv/bin/ferlab ui"

test: setup ## run all tests
	$(RUN) pytest

lint: setup ## style, types and import layers
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

check: lint test ## what CI runs

format: setup ## format the code
	$(RUN) ruff check --fix
	$(RUN) ruff format

clean: ## remove the environment and caches, keep data and runs
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist

.PHONY: help setup demo test lint check format clean
