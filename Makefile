# Needs Python >= 3.11 and make; everything else goes into .venv by itself.
#   make demo    one fit along the KL weight, its frontier, and the small network that comes of it
#   make test    the test suite
#   make test TESTS=tests/models                         some of it
#   make test VENV=.venv-3.13 PYTHON=python3.13          in an environment of another Python
#   make test VENV=.venv-floors RESOLUTION=lowest-direct EXTRA=test    on the oldest dependencies

PYTHON ?= python3 python3.13 python3.12 python3.11 python
DEMO ?= runs/demo
DEMO_DATA ?= --data digits --validation 0.2
DEMO_NET ?= bayesian-compression --prior horseshoe --hidden 100,50
DEMO_FIT ?= --kl-weight 0.03:1 --knots 3 --epochs 200 --lr 0.01

VENV ?= .venv
EXTRA ?= dev
RESOLUTION ?= highest
TESTS ?=

bin := $(VENV)/bin

# A strict editable install is a tree of links: a file that comes or goes makes a new one.
files := $(shell find bayesnas models inference -name '*.py' | LC_ALL=C sort | cksum | tr ' ' -)
ready := $(VENV)/.installed-$(files)

# One torch thread a test process: pytest-xdist already uses every core. With worksteal a process
# runs neighbouring tests, so fits that a file shares are made once.
pytest := OMP_NUM_THREADS=1 $(bin)/pytest -n auto --maxprocesses 4 --dist worksteal

# pip always takes the newest release of a dependency; for the oldest that is allowed, uv does. What
# uv installs is compiled after, as pip does: Pyro 1.9.1 warns at that, which would end the tests.
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check
ifeq ($(RESOLUTION),highest)
install = $(pip)
else
install = $(pip) uv && $(bin)/uv pip install --quiet --python $(bin)/python --resolution $(RESOLUTION)
compiled = $(bin)/python -W ignore -m compileall -q -x '/(torch|triton|nvidia)/' $(VENV)/lib
endif

.PHONY: demo installed test test-slow docs lint format types wheel clean
.DELETE_ON_ERROR:

demo: $(ready)
	rm -rf $(DEMO)
	$(bin)/bayesnas fit $(DEMO_NET) $(DEMO_DATA) $(DEMO_FIT) --out $(DEMO)
	$(bin)/bayesnas frontier $(DEMO) --part validation --kl-weights 0.03 0.1 0.3 1
	$(bin)/bayesnas compress $(DEMO) --out $(DEMO)/small.pt2

# Only the environment.
installed: $(ready)

test: $(ready)
	$(pytest) $(TESTS)

test-slow: $(ready)
	$(pytest) -m slow $(TESTS)

# The site, in build/site/index.html. BAYESNAS_DOCS_GALLERY=False leaves the gallery's scripts unrun.
docs: $(ready)
	MPLBACKEND=agg $(bin)/sphinx-build -q -W --keep-going -b html docs build/site

lint: $(ready)
	$(bin)/ruff check .
	$(bin)/ruff format --check .

format: $(ready)
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

# Type checkers can't follow an editable install of three folders, so this checks the wheel's files.
types: wheel
	rm -rf build/types
	$(bin)/python -m pip install --quiet --no-deps --target build/types dist/*.whl
	top=$$PWD; cd build/types && "$$top/$(bin)/mypy" --config-file "$$top/pyproject.toml" -p bayesnas && \
	  "$$top/$(bin)/mypy" --config-file "$$top/pyproject.toml" "$$top/tests/benchmarks"

wheel: $(ready)
	rm -rf dist build/lib build/bdist.*
	$(bin)/python -m build --wheel

clean:
	rm -rf docs/api/generated docs/auto_gallery docs/sg_execution_times.rst
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find bayesnas models inference tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted set-up starts over. A command may exist and still
# not run (a pyenv shim), hence each candidate is tried.
$(ready): pyproject.toml setup.py
	@set -eu; \
	usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(bin)/python -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for candidate in $(PYTHON); do \
	    if "$$candidate" -c "$$usable" >/dev/null 2>&1; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python >= 3.11 with venv among: $(PYTHON). Name one: make PYTHON=..." >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up $(VENV) with $$found ($$($$found --version))"; \
	  "$$found" -m venv $(VENV); \
	fi
	$(install) --editable '.[$(EXTRA)]' --config-settings editable_mode=strict
	$(compiled)
	@rm -f $(VENV)/.installed-*
	@touch $@
