# Two commands do everything on a fresh Debian/Ubuntu with Python and make: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
.PHONY: venv demo test test-qt6 lint bench docs clean

venv: $(VENV)/.stamp-test

$(VENV)/.stamp-user: pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh $(VENV) user

$(VENV)/.stamp-test: pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh $(VENV) test

demo: $(VENV)/.stamp-user
	sh scripts/demo.sh $(BIN)

test: $(VENV)/.stamp-test
	sh scripts/test.sh $(BIN)

# The GUI tests once more with PyQt6, in a venv of its own: napari takes one binding a process.
$(VENV)-qt6/.stamp-test-qt6: pyproject.toml scripts/make_venv.sh
	sh scripts/make_venv.sh $(VENV)-qt6 test-qt6

test-qt6: $(VENV)-qt6/.stamp-test-qt6
	sh scripts/test_qt6.sh $(VENV)-qt6/bin

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.stamp-test
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script; done

# The site is built in a venv of its own: mkdocstrings reads the sources without importing them.
$(VENV)-docs/.stamp: pyproject.toml
	python3 -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check --group docs
	touch $@

docs: $(VENV)-docs/.stamp
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .numba_cache
	find src tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +
