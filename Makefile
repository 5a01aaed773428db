# Two commands for a fresh clone: `make claims` and `make test`. Both set up .venv first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: claims test model data

claims: .venv/claims.stamp
	$(BIN)/pytest claims/

test: .venv/test.stamp
	VLM_CHECK_SHAPES=1 $(BIN)/pytest tests/ -n 2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.venv/%.stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[$*]"
	touch $@
