# make demo: install into .venv, tune on real data, show the comparison.   make test: install, lint, run the fast tests.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test lint slow thorough results install constraints clean

# One process of pytest per core; the tests of a file stay in one process, which makes its fixtures once.
SIDE_BY_SIDE := -n logical --dist loadfile

demo: install
	$(BIN)/tune-kmixup demo

test: install lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# What CI runs besides: real launches, kills, mutations, the wheel, a browser; real data sets if in DATA_DIR.
slow: install
	$(BIN)/python -m pytest -m "slow and not thorough" $(SIDE_BY_SIDE) --durations 15 --durations-min 5

# Before a release: twenty kills, all real recipes, the largest networks, all benchmarks, minimum versions.
thorough: install
	$(BIN)/python -m pytest -m "slow or thorough" $(SIDE_BY_SIDE) --durations 30 --durations-min 10
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --group dev --editable .
	.venv-lowest/bin/python -m pytest $(SIDE_BY_SIDE)

# Carries the published comparison on: days of computing, which can be stopped and started again at any moment.
results: install
	benchmarks/comparison.sh

install: .venv/installed

INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt \
	--group dev --editable .

# Where there is no GPU, torch is installed without CUDA, if PyTorch's own index can be reached.
# Compiled at once: where Python may not write bytecode, every process of Ray would compile torch and all it imports.
.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	command -v nvidia-smi > /dev/null || $(INSTALL) --torch-backend cpu || echo "Installing torch with CUDA instead."
	$(INSTALL)
	touch $@

constraints:
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-emit-index-url --no-annotate \
		--custom-compile-command "make constraints" --group dev pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv .venv-lowest dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis
