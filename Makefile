# One word a job. `make check` is the gate that a change must pass.
# The tools come from .venv where there is one, else from the PATH.

BIN := $(if $(wildcard .venv/bin/python),.venv/bin/,)
PYTHON := $(BIN)python3
# Two workers: rooms' tests are short, and a file stays whole on one worker.
PYTEST := $(PYTHON) -m pytest -q
PARALLEL := -n 2 --dist loadfile
SOAK_MINUTES := 60
# Programs of bench/ that measure, run as modules; each takes --json.
BENCHES := codec frames line year sessions latency start
# How often each is measured for a baseline.
RUNS := 5
UPGRADE :=

.PHONY: help check format format-check lint types imports test docs-check docs bench bench-baseline bench-check fuzz soak peers lock

help:  ## these words
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: format-check lint types imports test  ## all of the gate; the checks on the docs are among the tests

format:  ## rewrite the sources in the one format
	$(BIN)ruff format
	$(BIN)ruff check --fix

format-check:  ## is the format right?
	$(BIN)ruff format --check

lint:  ## ruff's rules
	$(BIN)ruff check

types:  ## mypy --strict on src and tests
	$(BIN)mypy

imports:  ## who may import whom (docs/design.md)
	$(BIN)lint-imports

test:  ## every test
	$(PYTEST) $(PARALLEL)

docs-check:  ## do the docs still tell of this tree?
	$(PYTEST) tests/test_docs.py

docs:  ## the pages into site/ (needs the docs extra)
	$(BIN)zensical build --clean --strict

bench:  ## measure all of BENCHES beside programs by others, and write docs/performance.md
	@missed=; for name in $(BENCHES) scale; do echo "== bench.$$name"; \
	$(PYTHON) -m "bench.$$name" --json "build/bench/$$name.json" || missed="$$missed $$name"; done; \
	$(PYTHON) -m bench.report page $(BENCHES:%=build/bench/%.json) build/bench/scale.json || exit 1; \
	test -z "$$missed" || { echo "targets missed by:$$missed; the page tells which"; exit 1; }

# A run of a baseline and one of a check are the same: five rounds. A file is there once its run is whole.
RUN = $(PYTHON) -m "bench.$$name" --runs 5 --json "$$file.part" || test $$? -eq 3; mv "$$file.part" "$$file"

bench-baseline:  ## keep the ratios of RUNS runs of each; those in build/bench-baseline are not measured again
	@set -e; for run in $$(seq $(RUNS)); do for name in $(BENCHES); do \
	file="build/bench-baseline/$$name.$$run.json"; echo "== $$file"; \
	if test -e "$$file"; then echo "is there"; else $(RUN); fi; done; done; \
	$(PYTHON) -m bench.report baseline build/bench-baseline/*.json

bench-check:  ## is a ratio lost since the baseline? What is, is measured again, three times in all
	@set -e; $(PYTHON) -m bench.report check; rm -rf build/bench-check; names="$(BENCHES)"; \
	for round in 1 2 3; do for name in $$names; do \
	file="build/bench-check/$$name.$$round.json"; echo "== $$file"; $(RUN); done; \
	names=$$($(PYTHON) -m bench.report check build/bench-check/*.json) && exit 0; \
	test -n "$$names" || exit 1; done; exit 1

fuzz:  ## the property tests and the attacks of tests/fuzz with many more examples, a new seed each time
	$(PYTEST) $(PARALLEL) --hypothesis-profile=fuzz --timeout=1800 -m "not interop"

soak: export IONDLMS_KILLS := 200
soak:  ## the same again and again for SOAK_MINUTES, with 200 kills of a meter, until the first failure
	@end=$$(( $$(date +%s) + 60 * $(SOAK_MINUTES) )); \
	while [ "$$(date +%s)" -lt "$$end" ]; do $(MAKE) --no-print-directory fuzz || exit 1; done

# Programs by others, some of them GPL: in their own environment, only ever run as other processes.
peers:  ## .venv-peers with the programs that the interop tests join us to
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install -q -r constraints/interop.txt

# Keeps what is pinned where it still fits; UPGRADE=--upgrade takes the newest.
lock:  ## constraints/*.txt from pyproject.toml and constraints/interop.in
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	python3 -m venv "$$tools" && "$$tools/bin/pip" install -q uv; \
	compile="$$tools/bin/uv pip compile -q --no-config --universal --python-version 3.11 --no-emit-index-url --no-header $(UPGRADE)"; \
	$$compile --extra dev pyproject.toml -o constraints/dev.txt; \
	$$compile constraints/interop.in -o constraints/interop.txt
