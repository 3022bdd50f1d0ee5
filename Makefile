# All that a developer runs, and what CI runs. Nothing has to be set up before: each target makes what it needs.
#
#   make demo       the main job, on this machine, visible          DEMO_ARGS="--keep"
#   make test       all tests; a part that is missing is named      TEST_ARGS="-k mutex", REQUIRE_SERVICES=1
#   make services   install the real parts that tests talk to (Debian, as root)
#   make check      style, types, spelling, sizes, directions of imports
#   make bench      measurements beside a baseline
#   make docs       the manual, in build/doc
#   make mutants    break the rules of the gate one by one: each must fail a test

PYTHON ?=
WORKERS ?= 3
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
EXTRAS_test := [test]
EXTRAS_check := [check,test]
EXTRAS_docs := [docs]
EXTRAS_bench := [bench,test]

.PHONY: demo test services check bench docs mutants
.DELETE_ON_ERROR:

demo: .venv/installed-demo
	$(BIN)/zuul-launcher demo $(DEMO_ARGS)

# One worker gets all tests of the one real Gerrit; tests/conftest.py puts the quick ones first. Tests that fail are
# tried once more, with nothing beside them: a machine that stalled is no verdict, but the first report stands above.
test: .venv/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(TEST_ARGS) || { [ $$? -eq 1 ] && \
	echo 'once more, those that failed:' && \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(TEST_ARGS); }

services:
	tools/services/install.sh
	tools/gerrit/fetch.sh

# test_shape.py measures the files and runs lint-imports.
check: .venv/installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/test_shape.py

bench: .venv/installed-bench
	set -e; for measurement in benchmarks/*.py; do $(BIN)/python "$$measurement" $(BENCH_ARGS); done

docs: .venv/installed-docs
	$(BIN)/sphinx-build -W --keep-going -q doc build/doc

mutants: .venv/installed-test
	$(BIN)/python tests/mutants.py

# The package is installed in place: changed code needs no new installation, a changed setup.cfg does.
.venv/installed-%: setup.cfg pyproject.toml
	@echo 'setting up .venv, this takes a minute or two'
	@tools/services/make-venv.sh $(PYTHON)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS_$*)'
	@touch $@
