# A fresh clone needs Python 3.11 or later, and nothing else: each target makes .venv and installs what it needs.
# pip, since torch and torchvision must come together.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: pilot pilot-quick pilot-full study study-pages test cluster soak docs screenshots check format clean

pilot: .venv/.pilot
	$(BIN)/python tools/pilot/run.py

pilot-full: .venv/.pilot
	$(BIN)/python tools/pilot/run.py --full

pilot-quick: .venv/.pilot
	$(BIN)/python tools/pilot/run.py --quick

# Rare defects on the magnetic tiles in the folder TILES: prints its hours first, goes on where it stopped. QUICK=1: under an hour.
study: .venv/.study
	$(BIN)/python tools/study/run.py $(if $(TILES),--tiles '$(TILES)') $(if $(QUICK),--quick)
	$(BIN)/python tools/study/screen.py $(if $(TILES),--tiles '$(TILES)') $(if $(QUICK),--quick)
	$(BIN)/python tools/study/advice.py $(if $(TILES),--tiles '$(TILES)') $(if $(QUICK),--quick --only magnetic-tile --minutes 10)
	$(BIN)/python tools/study/pages.py $(if $(QUICK),--docs study-out/quick)

# docs/rare-defects.md from what is finished.
study-pages: .venv/.pilot
	$(BIN)/python tools/study/pages.py

# By file, one process a core; the tests themselves use one thread each. In the order of the folders: by number of tests, a file
# of few long ones would come last, and one core would wait for it.
test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# What needs several nodes or ranks, some of which are killed.
cluster: .venv/.dev
	$(BIN)/python -m pytest -m cluster

# 200 kills at random moments instead of the suite's 20; some ten minutes on two cores.
soak: .venv/.dev
	EMBEDSTORE_SOAK_TRIALS=200 $(BIN)/python -m pytest --numprocesses auto --dist load tests/store/test_soak.py

# The API from the docstrings, in site/index.html; docs/format.md and docs/promises.md are read as they are.
docs: .venv/.dev
	$(BIN)/python tools/docs/build.py site

# docs/live-page-*.webp, of drawn parts; needs Chromium.
screenshots: .venv/.dev
	$(BIN)/python tools/docs/screenshots.py docs

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict examples/*.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv site pilot-out pilot-report .mypy_cache .pytest_cache .ruff_cache

.venv/.made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/.pilot: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[pilot]'
	touch $@

.venv/.study: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[study]'
	touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/.pilot
