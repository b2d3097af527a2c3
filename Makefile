# One word per task. Everything happens inside .venv, which the first task makes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
JOBS ?= 3
SEED ?=
MINUTES ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint types architecture sim sim-long integration chaos soak bench docs format lock clean

help:  ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.package: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable .
	@touch $@

.venv/.development: .venv/.package requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	@touch $@

demo: .venv/.package  ## watch four workers change their plugins under load (under 30 s)
	$(BIN)/changeover demo

test: .venv/.development  ## every test that needs no root
	$(BIN)/python -m compileall -q supervisor workers  # thousands of processes begin; each would do so where none may write it
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

lint: .venv/.development  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.development  ## mypy --strict on packages, tests, examples and benchmarks
	$(BIN)/mypy supervisor workers tests benchmarks docs

architecture: .venv/.development  ## import order, diagrams and documents in step with the code
	$(BIN)/python -m pytest tests/architecture

sim: .venv/.development  ## 20,000 simulated schedules
	$(BIN)/python benchmarks/simulate.py --schedules 20000 --jobs $(JOBS)

sim-long: .venv/.development  ## 100,000 simulated schedules
	$(BIN)/python benchmarks/simulate.py --schedules 100000 --jobs $(JOBS)

integration: .venv/.development  ## only the stories with real processes
	$(BIN)/python -m pytest tests/integration

chaos: .venv/.development  ## kill everything at every step, then at random (MINUTES=20, SEED=7)
	$(BIN)/python -m pytest tests/chaos --every-moment
	$(BIN)/python -m benchmarks.chaos --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED))

soak: .venv/.development  ## random mishaps without a killed worker, memory watched (MINUTES=120, SEED=7)
	$(BIN)/python -m benchmarks.chaos --soak --minutes $(or $(MINUTES),120) $(if $(SEED),--seed $(SEED))

bench: .venv/.development  ## every figure in docs/benchmarks.md
	$(BIN)/python -m benchmarks

docs: .venv/.development  ## draw diagrams and tables again from the code
	$(BIN)/python docs/draw.py
	$(BIN)/python -m changeover.supervisor.config.reference docs/configuration.md
	$(BIN)/python -m changeover.supervisor.config.handlers_reference docs/handlers.md
	$(BIN)/python -m changeover.supervisor.config.capabilities_reference docs/security.md
	$(BIN)/python -m changeover.supervisor.telemetry.reference docs/events.md
	$(BIN)/python -m changeover.supervisor.api.reference docs/http-api.md

format: .venv/.development  ## let ruff format everything
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/.development  ## choose the newest versions that resolve
	$(BIN)/python -m uv pip compile --quiet --upgrade --no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/python -m uv pip compile --quiet --upgrade --no-header --no-emit-index-url --no-annotate --group dev pyproject.toml -o requirements-dev.lock

clean:  ## remove what the tasks made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
