# make demo: install into .venv, tune on real data, show the comparison.   make test: install and run every check.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test lint slow install constraints clean

demo: install
	$(BIN)/tune-kmixup demo

test: install lint
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What takes longer than a few seconds: kills, the wheel, and, where DATA_DIR names them, the real data sets.
slow: install
	$(BIN)/python -m pytest -m slow --durations 20 --durations-min 10

install: .venv/installed

# Compiled at once: where Python may not write bytecode, every process of Ray would compile torch and all it imports.
.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --group dev --editable .
	touch $@

constraints:
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-emit-index-url --no-annotate \
		--custom-compile-command "make constraints" --group dev pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis
