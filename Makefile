# Each target installs what it needs into a virtual environment of the project (.venv); PYTHON names the interpreter.
PYTHON ?= python3
# Arguments of the fuzzer; `--kind pipelines --inputs 50000` compares both forms of pipelines for 10,000,000 messages,
# `--kind pmml --inputs 1000000` and `--kind boosters --inputs 1000000` score records by mutated model files
FUZZ ?=
# Arguments of the benchmarks; `--json benchmarks/data/results.json` measures for the documentation, then `make docs`
BENCH ?=
BIN := .venv/bin

# The modules of the language that must be covered to the last branch
CORE := stellar/cli/*,stellar/language/*,stellar/repl/*,stellar/shell.py,stellar/tooling/*,stellar/util/display_width.py,stellar/util/text_tables.py

# The modules of these that need a ZooKeeper; `make test` tests them with one
ELSEWHERE := stellar/repl/startup.py,stellar/repl/models.py

# The tests that cover them; the others run against the built package
COVERING := tests/spec tests/language tests/tooling tests/cli tests/repl tests/functions/test_conversions.py
OTHERS = PYTHONPATH=build/installed $(BIN)/pytest $(addprefix --ignore=,$(COVERING))
# One process more than cores, as tests of servers wait most of the time; tests/scheduling.py distributes them
PARALLEL = -n 3 --no-loadscope-reorder --max-worker-restart 0

.PHONY: help demo demo-cluster test-all test test-engines check static covered unit engines interpreters pure package bench bench-peers fuzz drills soak docs constraints clean

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "%-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.demo  ## run the squid walkthrough: deploy a model, score a log, show the alerts
	$(BIN)/python examples/squid/demo.py

demo-cluster: .venv/.dev  ## run it with ZooKeeper, Kafka, HDFS, YARN and OpenSearch, which start on this machine
	$(BIN)/python examples/squid/cluster.py

test-all: test test-engines  ## run everything: the checks, then all tests with all engines

test: check interpreters package  ## run the checks, then the other tests against the built package, with ZooKeeper and YARN
	@[ -z "$$CI" ] || scripts/engines
	$(OTHERS) $(PARALLEL) -m 'not serial and not cluster'
	$(OTHERS) -m 'serial and not cluster'

test-engines: package  ## run the tests that need Kafka, OpenSearch, Elasticsearch, Spark or a browser
	@[ -z "$$CI" ] || scripts/engines
	$(OTHERS) $(PARALLEL) -m cluster

check: static covered  ## run the static checks, and the tests of the language with every branch covered

static: .venv/.dev  ## check style, types, layers, words, names, changelog fragments and workflows
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.words
	$(BIN)/python -m scripts.names
	$(BIN)/towncrier build --draft --version next >/dev/null
	@if command -v actionlint; then actionlint; else echo "actionlint not found: workflows not checked"; fi

covered: .venv/.dev  ## run the tests of the language and measure their coverage
	$(BIN)/pytest -n 2 --dist worksteal --max-worker-restart 0 --cov --cov-report= $(COVERING)
	$(BIN)/coverage report --include '$(CORE)' --omit '$(ELSEWHERE)' --fail-under 100

unit: package  ## run the tests that need neither coverage nor servers
	$(OTHERS) $(PARALLEL) -m 'not engine and not serial and not cluster'
	$(OTHERS) -m 'serial and not engine and not cluster'

engines: package  ## run the tests that need ZooKeeper, YARN, HDFS or Kerberos
	@[ -z "$$CI" ] || scripts/engines
	$(OTHERS) $(PARALLEL) -m 'engine and not cluster'

interpreters: .venv/.dev  ## run the pure tests on each other Python version of this machine
	scripts/interpreters

pure:  ## run the pure tests, which need neither extras nor Linux, on PYTHON
	scripts/interpreters $(PYTHON)

bench: .venv/.bench  ## measure the speed of the language beside its peers
	$(BIN)/python -m benchmarks $(BENCH)

bench-peers: .venv/.bench  ## build the peers in Rust and Go, which `make bench` measures too; needs cargo and go
	$(BIN)/python -m benchmarks.native

fuzz: .venv/.dev  ## evaluate 500,000 generated expressions: no exception but a StellarError, no hang, no growth
	$(BIN)/python -m scripts.fuzz $(FUZZ)

drills: .venv/.dev  ## call models and process streams while processes are killed, paused and misbehave
	$(BIN)/python -m drills

soak: .venv/.dev  ## process 1,000,000 messages of Kafka while each part of the cluster fails
	$(BIN)/python -m drills soak

docs: .venv/.dev  ## run all generators and build the documentation site in build/site
	$(BIN)/python -m scripts.tables
	$(BIN)/python -m scripts.functions
	$(BIN)/python -m scripts.reference
	$(BIN)/python -m scripts.settings
	$(BIN)/python -m scripts.metrics
	$(BIN)/python -m scripts.benchmark_page
	$(BIN)/python -m scripts.shell_page
	@if command -v tmux >/dev/null; then $(BIN)/python -m scripts.screens; \
	else echo "docs/screens is not updated: install tmux"; fi
	@if command -v chromedriver >/dev/null; then $(BIN)/python -m scripts.alerts_screens; \
	else echo "docs/screens/alerts-*.png are not updated: install chromium and chromium-driver"; fi
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

constraints:  ## resolve the dependencies again and write their versions to constraints.txt
	PYTHON=$(PYTHON) scripts/constraints

package: .venv/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --upgrade --target build/installed .

.venv/.%: pyproject.toml constraints.txt scripts/setup
	@PYTHON=$(PYTHON) scripts/setup .venv $*
	@touch $@

clean:  ## remove everything that is installed or built here
	rm -rf .venv build dist
