# Each target sets up what it needs, in a virtual environment of its own (.venv); PYTHON names the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# What of the language must be covered to the last branch
CORE := stellar/checks.py,stellar/cli/*,stellar/compiler.py,stellar/context.py,stellar/conversions.py,stellar/diagnostics.py,stellar/errors.py,stellar/examples.py,stellar/explain.py,stellar/expression.py,stellar/formatter.py,stellar/interactive/*,stellar/layout.py,stellar/lexing.py,stellar/library.py,stellar/lints.py,stellar/nodes.py,stellar/parser.py,stellar/resolver.py,stellar/runtime.py,stellar/shell.py,stellar/source.py,stellar/statements.py,stellar/tagged.py,stellar/text_tables.py

# What of that needs a ZooKeeper, and is tried with one in `make test`
ELSEWHERE := stellar/interactive/opening.py

.PHONY: demo test check bench drills clean

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
	$(BIN)/coverage run -m pytest tests/spec tests/language tests/cli tests/interactive tests/functions/test_conversions.py
	$(BIN)/coverage report --include '$(CORE)' --omit '$(ELSEWHERE)' --fail-under 100

bench: .venv/.bench  ## the language's speed beside its peers
	$(BIN)/python -m benchmarks

drills: .venv/.dev  ## model calls while processes are killed, paused and lie
	$(BIN)/python -m drills

.venv/.%: pyproject.toml scripts/setup
	@PYTHON=$(PYTHON) scripts/setup .venv $*
	@touch $@

clean:
	rm -rf .venv build dist
