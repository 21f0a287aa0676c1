PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo docs gpu-check test

demo: .venv/installed
	$(BIN)/prunebench demo

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open $(CURDIR)/build/docs/index.html in a browser."

gpu-check: .venv/installed
	$(BIN)/python benchmarks/gpu_check.py

test: .venv/installed
	$(BIN)/ruff check src tests benchmarks docs/generate
	$(BIN)/ruff format --check src tests benchmarks docs/generate
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

# --group needs pip 25.1, so pip is brought up to date first.
.venv/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'prunebench needs Python 3.11 or newer; try: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
