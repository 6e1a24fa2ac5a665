# Each target sets up what it needs, in a virtual environment of its own (.venv); PYTHON names the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# What of the language must be covered to the last branch
CORE := stellar/cli/*,stellar/language/*,stellar/repl/*,stellar/shell.py,stellar/tooling/*,stellar/util/display_width.py,stellar/util/text_tables.py

# What of that needs a ZooKeeper, and is tried with one in `make test`
ELSEWHERE := stellar/repl/startup.py

.PHONY: demo test check bench drills docs clean

demo: .venv/.demo  ## the squid walkthrough: deploy a model, score a log, show the alerts
	$(BIN)/python examples/squid/demo.py

test: check  ## everything: what check does, then all tests against the built package
	@[ -z "$$CI" ] || scripts/engines
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --upgrade --target build/installed .
	PYTHONPATH=build/installed $(BIN)/pytest

check: .venv/.dev  ## style, types, layers, and the language's tests with all its branches covered
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage run -m pytest tests/spec tests/language tests/tooling tests/cli tests/repl tests/functions/test_conversions.py
	$(BIN)/coverage report --include '$(CORE)' --omit '$(ELSEWHERE)' --fail-under 100

bench: .venv/.bench  ## the language's speed beside its peers
	$(BIN)/python -m benchmarks

drills: .venv/.dev  ## model calls while processes are killed, paused and lie
	$(BIN)/python -m drills

docs: .venv/.dev  ## the documentation site in build/site, after all generators have run
	$(BIN)/python -m scripts.tables
	$(BIN)/python -m scripts.functions
	$(BIN)/python -m scripts.reference
	$(BIN)/python -m scripts.settings
	$(BIN)/python -m scripts.shell_page
	@if command -v tmux >/dev/null; then $(BIN)/python -m scripts.screens; \
	else echo "docs/screens is not updated: install tmux"; fi
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/.%: pyproject.toml scripts/setup
	@PYTHON=$(PYTHON) scripts/setup .venv $*
	@touch $@

clean:
	rm -rf .venv build dist
