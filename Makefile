# Two commands for a fresh clone: `make claims` and `make test`. Both set up .venv first.
# `make test-oldest` runs the tests with the oldest transformers that must work.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: claims test test-oldest

claims: .venv/claims.stamp
	$(BIN)/pytest claims/

test: .venv/test.stamp
	VLM_CHECK_SHAPES=1 $(BIN)/pytest tests/ -n 2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test-oldest: .venv/test.stamp .venv/oldest.stamp
	VLM_OLDEST=1 PYTHONPATH=.venv/oldest $(BIN)/pytest tests/ -n 2

.venv/oldest.stamp: oldest.txt
	rm -rf .venv/oldest
	$(BIN)/pip install -q --no-deps --target .venv/oldest -r oldest.txt
	touch $@

.venv/%.stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[$*]"
	touch $@
