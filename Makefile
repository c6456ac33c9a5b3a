# README's two commands are `make demo` and `make test`; both install what they need.
PYTHON ?= python3.11
TENSORFLOW ?= 2.21
WITH ?= $(PYTHON)
OUTPUT ?= demo-output
# Installs the versions that the tests passed with; LOCK= (nothing) the newest that setup.py accepts.
LOCK ?= yes
locked = $(if $(LOCK),-c constraints/$(1).txt)
# Two processes; their threads would only get into each other's way.
PYTEST = TF_NUM_INTRAOP_THREADS=1 $(1)/bin/python -m pytest -n 2 --dist worksteal
# What the wheel is tested with beside $(PYTHON), where it is installed.
PYTHONS ?= python3.12 python3.13

.PHONY: demo test test-all test-slow test-addons test-legacy test-wheel test-wheels bench bench-gains results lint docs dist \
	notebooks soak format setup setup-addons clean

demo: setup
	.venv/bin/ktr demo --output $(OUTPUT)

# The default stack, without slow tests and the browser; pyproject.toml explains the markers.
test: setup
	$(call PYTEST,.venv) -m "not slow and not browser"

# All that CI runs: those too, the other two stacks, and the wheel.
test-all: test test-slow test-legacy test-addons test-wheels

test-slow: setup
	$(call PYTEST,.venv) -m "slow or browser"

# The environment of `make test`, with tf_keras in place of Keras 3.
test-legacy: setup
	TF_USE_LEGACY_KERAS=1 $(call PYTEST,.venv) -m "keras and not slow"

# TensorFlow 2.15 with Keras 2.15, and the lowest versions that setup.py accepts.
test-addons: setup-addons
	$(call PYTEST,.venv-addons) -m "stacks and not slow and not browser"

# sdist and wheel, the second made of the first.
dist: setup
	rm -rf dist
	.venv/bin/python -m build --outdir dist . >/dev/null

# The wheel in an empty environment, alone and then with what tests need; WITH=python3.13 for another.
test-wheel: dist
	rm -rf .venv-wheel
	$(WITH) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet dist/*.whl 'tensorflow==$(TENSORFLOW).*' $(call locked,default)
	cd dist && ../.venv-wheel/bin/python -c 'import keras_temporal_reg as k; assert "site-packages" in k.__file__'
	.venv-wheel/bin/ktr --version
	.venv-wheel/bin/python -m pip install --quiet "$$(echo dist/*.whl)[dev]" $(call locked,default)
	TF_NUM_INTRAOP_THREADS=1 .venv-wheel/bin/pytest -n 2 --dist worksteal -m "wheel and not slow"

test-wheels:
	for each in $(PYTHONS); do \
		if $$each --version; then $(MAKE) test-wheel WITH=$$each || exit 1; \
		else echo "$$each is not installed; the wheel is not tested with it"; fi; \
	done

# What takes hours on two cores: 1,000 examples of each property, fuzzing, 50,000 steps, 100,000 frames.
soak: setup
	.venv/bin/python -m pip install --quiet atheris
	HYPOTHESIS_PROFILE=soak .venv/bin/python -m pytest -q --hypothesis-show-statistics \
		tests/system/test_properties.py tests/core/test_warp.py tests/transforms
	.venv/bin/python tests/fuzz/run.py 1800
	.venv/bin/python tests/helpers/endurance.py steps 50000
	.venv/bin/python tests/helpers/endurance.py clip 10000 100000

# The notebooks, run whole; their outputs stay, without videos and without TensorFlow's start-up lines.
notebooks: setup
	cd notebooks && for each in *.ipynb; do \
		../.venv/bin/papermill --no-progress-bar $$each $$each && ../.venv/bin/python clean.py $$each || exit 1; \
	done

# Speed and memory against the limit and against peers; 20 to 40 minutes, BENCH=--quick for 10.
bench: setup setup-addons .venv-peers/installed
	.venv/bin/python benchmarks/run.py $(BENCH)

# How much of the demo's gains remains where a quarter of each batch is paired; half an hour.
bench-gains: setup
	TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python benchmarks/gains.py

# All pages of docs/results but its overview, in hours.
results: setup
	for each in colorization small-data hdr finetune super-resolution denoising; do \
		.venv/bin/ktr reproduce $$each --full --output docs/results/$$each || exit 1; \
	done

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy keras_temporal_reg

# The site, in site/. Warnings are errors; so are public names without documentation.
docs: .venv/docs-installed
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	.venv/bin/python -m pytest -q tests/project/test_docs.py -k public

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

setup: .venv/installed

setup-addons: .venv-addons/installed

.venv/installed: setup.py constraints/default.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -e '.[dev,legacy-keras,onnx]' 'tensorflow==$(TENSORFLOW).*' \
		$(call locked,default)
	touch $@

.venv/docs-installed: .venv/installed
	.venv/bin/python -m pip install --quiet -e '.[docs]' $(call locked,default)
	touch $@

.venv-addons/installed: setup.py constraints/lowest.txt
	$(PYTHON) -m venv .venv-addons
	.venv-addons/bin/python -m pip install --quiet -e '.[dev,addons]' $(call locked,lowest)
	touch $@

.venv-peers/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet -r benchmarks/requirements.txt
	touch $@

clean:
	rm -rf .venv .venv-addons .venv-peers .venv-wheel demo-output dist build site *.egg-info .pytest_cache .ruff_cache .mypy_cache
