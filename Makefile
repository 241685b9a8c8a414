# make run     serve the lab at http://127.0.0.1:7860
# make test    all tests            make check   formatting, linting, types
# make test-cuda  what must hold on a card; CUDA_TESTS_DEVICE=cpu runs what a CPU can show of it
# make quick   the tests that need neither a browser nor more than a few seconds each
# make format  write the formatting  make clean   remove what was installed
#
# PYTHON=python3.12   which Python makes .venv (3.10 to 3.13; found by itself if not given)
# TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                     where the first install takes PyTorch from: here its builds for the CPU, without CUDA's gigabytes
# ARGS="--lang zh"    flags for app.py, and TESTS="tests/ui -k csv" for pytest
# WORKERS=4           processes that run the tests, two by default: each takes about 1 GiB; 0 runs them in one, as --pdb needs

PYTHON ?=
TORCH_INDEX ?=
ARGS ?=
TESTS ?= tests
WORKERS ?= 2

VENV := .venv
IN_VENV := $(VENV)/bin/python
PYTEST := $(IN_VENV) -m pytest -n $(WORKERS) --dist worksteal
INSTALL := $(IN_VENV) -m pip install --disable-pip-version-check --quiet

.PHONY: run test quick test-cuda check format install install-tests clean
.DELETE_ON_ERROR:

run: install
	@$(IN_VENV) app.py $(ARGS)

test: install-tests
	@scripts/browser.sh
	@$(PYTEST) $(TESTS)

test-cuda: install-tests
	@$(IN_VENV) -m pytest tests/cuda

quick: install-tests
	@$(PYTEST) -q -m "not browser and not slow" $(TESTS)

# Gradio writes a .pyi beside each subclass of a component, which mypy would read in place of the source.
check: install-tests
	@rm -f xcomposer_ui/ui/*.pyi
	@$(IN_VENV) -m ruff format --check .
	@$(IN_VENV) -m ruff check .
	@$(IN_VENV) -m mypy

format: install-tests
	@$(IN_VENV) -m ruff check --fix .
	@$(IN_VENV) -m ruff format .

install: $(VENV)/installed
install-tests: $(VENV)/installed-tests

$(IN_VENV):
	@PYTHON="$(PYTHON)" scripts/venv.sh $(VENV)

# PyTorch goes first and alone, so that no other package's wish picks its build, and TORCH_INDEX serves it only.
# The package itself, as a link to this folder, so that a downloaded script finds it from anywhere.
$(VENV)/installed: requirements.txt pyproject.toml | $(IN_VENV)
	@echo "Installing what the lab needs into $(VENV); the first time takes a few minutes."
	@$(INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(sed -n 's/^\(torch[^ #]*\).*/\1/p' requirements.txt)"
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps -e .
	@touch $@

$(VENV)/installed-tests: requirements-test.txt requirements-ray.txt $(VENV)/installed
	@$(INSTALL) -r requirements-test.txt -r requirements-ray.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-ends .pytest_cache .mypy_cache .ruff_cache
