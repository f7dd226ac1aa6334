# The commands set themselves up: a virtual environment in .venv with the pinned dependencies of constraints.txt, and,
# where no Vulkan adapter is found, software ones in the user's cache folder: one that computes in fp32, and one in fp16, as
# phones do. Needs Python 3.11 with venv, and make.
#
#   make run         converts the embedded demo model into a verified bundle in build/tiny
#   make test        style, types and tests (test-slow: the tests that take minutes as well)
#   make second-runtime   adds TensorFlow's interpreter, 270 MB, which then checks every conversion as well
#   make web         serves the browser demo and prints its address (BUNDLE=folder, else build/tiny); needs Node 20 with npm
#   make benchmark   measures conversions and bundles on this machine and writes the README's tables; takes minutes

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
BUNDLE ?= build/tiny
LITERT_JS := web_demo/node_modules/@litertjs/core/package.json
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-slow web benchmark setup second-runtime driver lint clean

run: setup driver
	@rm -rf build/tiny
	$(BIN)/detr2litert run --variant tiny --target pixel --out build/tiny

test: lint driver
	$(BIN)/python -m pytest -m "not slow"

test-slow: lint driver
	$(BIN)/python -m pytest -m slow

web: $(LITERT_JS)
	@node web_demo/serve.js $(BUNDLE)

$(LITERT_JS): web_demo/package-lock.json
	@command -v npm >/dev/null || { echo "error: npm is missing: install Node 20 or newer, which brings it" >&2; exit 2; }
	@cd web_demo && npm ci --omit=dev --ignore-scripts --no-audit --no-fund
	@touch $@

benchmark: setup
	$(BIN)/python -m convert.benchmark --write README.md --json build/benchmark.json

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

driver: setup
	$(BIN)/python -m verify.delegate.driver
	-$(BIN)/python -m verify.delegate.driver --fp16

setup: $(STAMP)

# TensorFlow's interpreter for the gate "second runtime" and its tests, which without it are left out: 270 MB that `make run`
# and a developer's `make test` do without. Continuous integration asks for it.
second-runtime: $(VENV)/.second-runtime

$(VENV)/.second-runtime: $(STAMP)
	$(PIP) install --quiet -c constraints.txt -e ".[second-runtime]"
	@touch $@

# PyTorch comes first and by name, so that pip takes the CPU build where one is at hand. Elsewhere set TORCH_INDEX to PyTorch's
# index of CPU wheels: the default index's build satisfies the same version and brings some gigabytes of CUDA with it.
$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: Python 3.11 is needed (apt-get install python3.11 python3.11-venv), or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "error: the venv module is missing: apt-get install python3-venv" >&2; exit 2; }
	$(PIP) install --quiet --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "torch==$(TORCH)"
	$(PIP) install --quiet -c constraints.txt -e ".[convert,train,test]"
	@touch $@

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache *.egg-info
