# Everything a person runs here. Bare `make` prints this menu; every target does the set-up it needs.

PY := .venv/bin/python
WHAT ?= tests

.PHONY: menu
menu: ## print this menu
	@echo "Wardgate - make TARGET:"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## packages and .venv (done by every target that needs it)
	@tools/setup.sh

.PHONY: demo
demo: setup ## a test PKI, a DCMTK PACS with mutual TLS, real files through the box, the custody log verified
	@PYTHONPATH=firmware:tools:tests $(PY) -m demo.run

.PHONY: demo-cable
demo-cable: setup ## the box in the cable, in network namespaces: captured on either side, a diagram of what was seen
	@PYTHONPATH=firmware:tools:tests $(PY) -m demo.cable

.PHONY: test
test: lint types test-py313 ## lint, types, every test group (those that cannot run here are named with the reason)
	$(PY) -m pytest -rs tests

.PHONY: test-fast
test-fast: setup ## the groups that need nothing but Python: unit, vectors, pair
	$(PY) -m pytest -rs -x tests/unit tests/vectors tests/pair

.PHONY: test-py313
test-py313: setup ## unit, vectors and pair under the product's Python 3.13, where it is present
	@tools/py313.sh

.PHONY: lint
lint: setup ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.PHONY: format
format: setup ## let ruff write the format
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.PHONY: types
types: setup ## mypy --strict over the firmware
	$(PY) -m mypy

.PHONY: bench
bench: ## ratios against stunnel and HAProxy on this machine
	@tools/bench/run

.PHONY: codes
codes: setup ## write docs/codes.md from the table of failure codes
	@PYTHONPATH=firmware $(PY) -m wardgate.codes_page >docs/codes.md

.PHONY: configuration
configuration: setup ## write docs/configuration.md from the schema
	@PYTHONPATH=firmware $(PY) tools/configuration.py docs/configuration.md

.PHONY: clean
clean: ## remove what the targets made
	rm -rf .venv .venv313 build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
