# README's two commands are `make demo` and `make test`; both install by themselves.
PYTHON ?= python3.11
TENSORFLOW ?= 2.21
OUTPUT ?= demo-output

.PHONY: demo test test-addons test-legacy lint format setup setup-addons clean

demo: setup
	TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/ktr demo --output $(OUTPUT)

test: setup
	.venv/bin/python -m pytest

test-addons: setup-addons
	.venv-addons/bin/python -m pytest

# The same environment as `make test`, with tf_keras in place of Keras 3.
test-legacy: setup
	TF_USE_LEGACY_KERAS=1 .venv/bin/python -m pytest -m "not slow"

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy keras_temporal_reg

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

setup: .venv/installed

setup-addons: .venv-addons/installed

.venv/installed: setup.py
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -e '.[dev,legacy-keras]' 'tensorflow==$(TENSORFLOW).*'
	touch $@

.venv-addons/installed: setup.py
	$(PYTHON) -m venv .venv-addons
	.venv-addons/bin/python -m pip install --quiet -e '.[dev,addons]'
	touch $@

clean:
	rm -rf .venv .venv-addons demo-output build *.egg-info .pytest_cache .ruff_cache .mypy_cache
