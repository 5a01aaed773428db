# Two commands for a fresh clone: `make claims` and `make test`. Both set up .venv first.
# `make own-repo` runs examples/own_repo against the built wheel, in an environment of its own;
# `make test-oldest` runs the tests with the oldest transformers that must work.

PYTHON ?= python3
BIN := .venv/bin
OWN := .venv/own_repo

.PHONY: claims test own-repo test-oldest

claims: .venv/stamp
	$(BIN)/pytest claims/

test: .venv/stamp
	VLM_CHECK_SHAPES=1 $(BIN)/pytest tests/ -n 2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

own-repo: .venv/stamp
	rm -rf build/bdist* build/lib build/wheel $(OWN)
	$(BIN)/pip wheel -q --no-deps -w build/wheel .
	$(PYTHON) -m venv $(OWN)
	$(OWN)/bin/pip install -q -c constraints.txt build/wheel/*.whl
	cd examples/own_repo && ../../$(OWN)/bin/pytest test_coins.py
	$(OWN)/bin/pip install -q -c constraints.txt "$$(echo build/wheel/*.whl)[study]"
	cd examples/own_repo && ../../$(OWN)/bin/pytest

test-oldest: .venv/stamp .venv/oldest.stamp
	VLM_OLDEST=1 PYTHONPATH=.venv/oldest $(BIN)/pytest tests/ -n 2

.venv/oldest.stamp: oldest.txt
	rm -rf .venv/oldest
	$(BIN)/pip install -q --no-deps --target .venv/oldest -r oldest.txt
	touch $@

.venv/stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[test]"
	touch $@
