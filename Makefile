# The commands of this project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo wheel test test-slow test-gpu test-conditions test-browser mutants chaos lint format bench clean

help:
	@echo "make install    a virtual environment in $(VENV) with everything"
	@echo "make wheel      dist/growlab-….whl, to install elsewhere"
	@echo "make demo       search, grow, report, export, generate: minutes on two cores"
	@echo "make test       the tests that run everywhere      make lint    style, types, imports"
	@echo "make test-slow  the long ones                      make test-gpu  those that need a GPU"
	@echo "make test-conditions   those that import torch, as on other processors, with more threads, in a random order"
	@echo "make test-browser   pages in a headless Chromium: apt-get install chromium, or name one in GROWLAB_TEST_BROWSER"
	@echo "make mutants    plant known faults and see that tests notice"
	@echo "make chaos      kill workers and stop the database, and see that no trial is lost: half an hour"
	@echo "make bench      measure and compare                make clean"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint]"
	@touch $(STAMP)

demo:
	@began=$$(date +%s); $(MAKE) --no-print-directory install && $(BIN)/growlab demo --again \
	&& echo "make demo took $$(( $$(date +%s) - began )) s, installation included"

wheel: install
	$(BIN)/python -m hatchling build -t wheel -d dist

# what is compiled is kept, whatever the environment says: tests start growlab a hundred times
test: install
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -q -m slow

test-gpu: install
	$(BIN)/python -m pytest -q -m "gpu and not alone" --numprocesses 4 --dist worksteal
	$(BIN)/python -m pytest -q -m "gpu and alone"

test-browser: install
	$(BIN)/python -m pytest -q -m browser tests/page --browser-required

test-conditions: install
	$(BIN)/python tests/conditions.py $(SEED)

mutants: install
	$(BIN)/python tests/mutants.py

chaos: install
	$(BIN)/python tests/chaos

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python benchmarks/cpu.py --pairs 8
	$(BIN)/growlab bench --rounds 3
	$(BIN)/growlab bench quickstart --rounds 3

clean:
	rm -rf $(VENV) growlab-demo dist build
