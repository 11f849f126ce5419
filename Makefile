# `make serve` starts the gateway, `make test` proves it. Everything is installed into .venv.
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: help install install-dev test-services serve test check reliability bench screenshots demo-model lock format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install:
	@deploy/install.sh

install-dev:
	@deploy/install.sh dev

test-services:
	@deploy/test-services.sh

serve: install ## install what is missing and start the gateway
	@exec $(BIN)/gunicorn -c deploy/gunicorn.conf.py wsgi:app

test: install-dev test-services ## install what is missing and run the tests
	@exec $(BIN)/python -m pytest

check: install-dev ## what CI runs: lint, types, import directions, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test

reliability: install-dev test-services ## do every fault at full size (twenty minutes), write docs/reliability.md
	@exec $(BIN)/python -m pytest --full --figures docs/reliability.md --timeout 3600 tests/faults $(ARGS)

bench: install-dev ## the gateway beside vLLM driven directly and vLLM's own server, in one run: var/bench.md
	@exec $(BIN)/python -m tests.bench $(ARGS)

screenshots: install-dev test-services ## the portal's pages as pictures, in var/screenshots
	@exec $(BIN)/python -m tests.portal.screenshots $(ARGS)

demo-model: install-dev ## train the demo model anew (at most 30 minutes on two cores)
	@exec $(BIN)/python deploy/demo_model/train.py $(ARGS)

lock: ## write the lock files from pyproject.toml
	@deploy/lock.sh

format: ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was installed and cached, but no keys
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache tests/*/*/node_modules
