# The commands set themselves up: a virtual environment in .venv with the pinned dependencies of constraints.txt, and,
# where no Vulkan adapter is found, software ones in the user's cache folder: one that computes in fp32, and one in fp16, as
# phones do. Needs Python 3.11 with venv, and make.
#
#   make run         converts the embedded demo model into a verified bundle in build/tiny
#   make test        style, types, unit tests, two conversions, the Android and web checks
#   make test-ci     that, and a conversion of each family, planted faults, other targets and inputs (.ci/run is this with
#                    TensorFlow's interpreter); test-slow: what takes minutes each, published sizes among them
#   make fuzz         runs random graphs on the GPU delegate for an hour (MINUTES, SEED) and lists what no rule of the lint knows
#   make expected    writes tests/expected anew: what the compiler does to every variant, to be read in the diff
#   make second-runtime   adds TensorFlow's interpreter, 1.3 GB installed, which then checks every conversion as well
#   make web         serves the browser demo and prints its address (BUNDLE=folder, else build/tiny); needs Node 20 with npm
#   make benchmark   measures conversions and bundles on this machine and writes docs/measurements.md; takes minutes

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
BUNDLE ?= build/tiny
LITERT_JS := web_demo/node_modules/@litertjs/core/package.json
# Byte code is written as modules are imported: writing all of it beforehand takes most of a minute.
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
WORKERS ?= 2
MINUTES ?= 60
# Files are handed out in the order of tests/conftest.py, the longest first, and stay whole: they share their fixtures.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: run test test-ci test-slow fuzz expected web benchmark setup second-runtime driver lint clean

run: setup driver
	@rm -rf build/tiny
	$(BIN)/detr2litert run --variant tiny --target pixel --dataset-fp16 200 --out build/tiny

test: lint driver
	$(PYTEST) -m "not slow and not ci"

test-ci: lint driver
	$(PYTEST) -m "not slow"

# One at a time: they take gigabytes.
test-slow: lint driver
	$(BIN)/python -m pytest -m slow

fuzz: driver
	$(BIN)/detr2litert probe --fuzz $(MINUTES) $(if $(SEED),--seed $(SEED)) --candidates build/fuzz

expected: setup
	$(BIN)/python -m tests.expected

web: $(LITERT_JS)
	@node web_demo/serve.js $(BUNDLE)

$(LITERT_JS): web_demo/package-lock.json
	@command -v npm >/dev/null || { echo "error: npm is missing: install Node 20 or newer, which brings it" >&2; exit 2; }
	@cd web_demo && npm ci --omit=dev --ignore-scripts --no-audit --no-fund
	@touch $@

benchmark: setup
	$(BIN)/python -m tools.benchmark --write docs/measurements.md --json build/benchmark.json

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

driver: setup
	$(BIN)/python -m detr2litert.verify.delegate.driver
	-$(BIN)/python -m detr2litert.verify.delegate.driver --fp16

setup: $(STAMP)

# TensorFlow's interpreter for the gate "second runtime" and its tests, which without it are left out: `make run` and a
# developer's `make test` do without. Continuous integration asks for it.
second-runtime: $(VENV)/.second-runtime

$(VENV)/.second-runtime: $(STAMP)
	@echo "Installing TensorFlow's interpreter for the gate second runtime: 270 MB to fetch, 1.3 GB in $(VENV)"
	$(PIP_INSTALL) -c constraints.txt -e ".[second-runtime]"
	@touch $@

# PyTorch comes first and by name, so that pip takes the CPU build where one is at hand. Elsewhere set TORCH_INDEX to PyTorch's
# index of CPU wheels: the default index's build satisfies the same version and brings some gigabytes of CUDA with it.
$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: Python 3.11 is needed (apt-get install python3.11 python3.11-venv), or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "error: the venv module is missing: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV), once: PyTorch $(TORCH) (0.8 GB installed; a build with CUDA is several times that: TORCH_INDEX)"
	$(PIP_INSTALL) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "torch==$(TORCH)"
	@echo "Installing litert-torch, transformers and what they need: $$(grep -c == constraints.txt) packages, 1.5 GB installed; minutes"
	$(PIP_INSTALL) -c constraints.txt -e ".[convert,onnx,video,train,test]"
	@touch $@

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache *.egg-info
