# A fresh clone needs Python 3.11 or later, and nothing else: each target makes .venv and installs what it needs.
# pip, since torch and torchvision must come together.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: pilot pilot-quick pilot-full test check format clean

pilot: .venv/.pilot
	$(BIN)/python tools/pilot/run.py

pilot-full: .venv/.pilot
	$(BIN)/python tools/pilot/run.py --full

pilot-quick: .venv/.pilot
	$(BIN)/python tools/pilot/run.py --quick

test: .venv/.dev
	$(BIN)/python -m pytest

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv pilot-out pilot-report .mypy_cache .pytest_cache .ruff_cache

.venv/.made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/.pilot: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[pilot]'
	touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/.pilot
