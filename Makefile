# Two commands for a fresh clone: `make claims` and `make test`. Both set up .venv first.
# `make slow` runs the tests that `make test` leaves out, the result tables among them.
# `make own-repo` runs examples/own_repo against the built wheel, in an environment of its own;
# `make families` tries every family of models, with the packages that some processors need;
# `make test-oldest` runs the tests with the oldest transformers that must work; `make rehearsal`
# runs the paper's own run in small; `make browser` opens a report in chromium. `make pictures` takes
# the README's pictures from the report of `make claims`.

QUICK := -m "not slow and not gpu and not browser"
PYTHON ?= python3
BIN := .venv/bin
OWN := .venv/own_repo
# The tests that another transformers may break: of models, of loading them and of what reads them.
NOT_THERE := tests/vlmlib/test_families.py tests/vlmlib/test_head.py  # of models that it has not
REACHED := $(filter-out $(NOT_THERE),$(wildcard tests/vlmlib/test_*.py)) tests/house/test_house.py
REACHED += $(addprefix tests/vlmlib/study/test_,identity.py measure.py)
REACHED += $(addprefix tests/neo2025/test_,architectures.py lens.py loads.py protocol.py runs.py)
REACHED += $(addprefix tests/fixtures/test_,outcomes.py training.py)

.PHONY: claims pictures test slow own-repo families test-oldest rehearsal browser

claims: .venv/stamp
	$(BIN)/pytest claims/ --claims-report build/report --vlm-lens-page 4

pictures: .venv/stamp
	$(BIN)/python -m benchmarks.pictures build/report

# Checking every shape doubles the time: of the instrument by its own quick tests, and of the court by
# its examples, which stand beside these.
test: .venv/stamp
	VLM_CHECK_SHAPES=1 $(BIN)/pytest tests/vlmlib -n 2 $(QUICK)
	$(BIN)/pytest tests/ --ignore tests/vlmlib -n 2 $(QUICK)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

slow: .venv/stamp
	$(BIN)/pytest tests/ -n 2 -m "slow and not gpu and not browser"

own-repo: .venv/stamp
	rm -rf build/bdist* build/lib build/wheel $(OWN)
	$(BIN)/pip wheel -q --no-deps -w build/wheel .
	$(PYTHON) -m venv $(OWN)
	$(OWN)/bin/pip install -q -c constraints.txt build/wheel/*.whl
	cd examples/own_repo && ../../$(OWN)/bin/pytest test_coins.py
	$(OWN)/bin/pip install -q -c constraints.txt "$$(echo build/wheel/*.whl)[study]"
	cd examples/own_repo && ../../$(OWN)/bin/pytest

families: .venv/stamp .venv/vision.stamp
	VLM_ALL_FAMILIES=1 PYTHONPATH=.venv/vision $(BIN)/pytest tests/vlmlib/test_families.py -n 2

test-oldest: .venv/stamp .venv/oldest.stamp
	VLM_OLDEST=1 PYTHONPATH=.venv/oldest $(BIN)/pytest -n 2 $(REACHED) \
		-m "not gpu and not browser and not newer"

browser: .venv/stamp
	$(BIN)/pytest tests/browser -m browser

rehearsal: .venv/stamp
	$(BIN)/python -m tests.rehearsal build/rehearsal

.venv/vision.stamp: constraints.txt tests/torchvision_without_operators.py
	rm -rf .venv/vision
	$(BIN)/pip install -q --no-deps -c constraints.txt --target .venv/vision \
		torchvision num2words docopt timm
	cat tests/torchvision_without_operators.py >> .venv/vision/torchvision/extension.py
	touch $@

.venv/oldest.stamp: oldest.txt
	rm -rf .venv/oldest
	$(BIN)/pip install -q --no-deps --target .venv/oldest -r oldest.txt
	touch $@

.venv/stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[test]"
	touch $@
