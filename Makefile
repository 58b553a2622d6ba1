# Everything a user needs: setup, demo, test, lint, bench. Each target sets up what it needs by itself.
PYTHON ?= python3
# Tests that run at once; most wait for other processes, so one more than two cores.
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# PyKCS11 is on the package index ready-made for x86-64 only; elsewhere it is compiled.
COMPILER := $(if $(filter x86_64,$(shell uname -m)),,g++ python3-dev)

.PHONY: setup demo test lint sim model bench fuzz clean system-packages test-packages

setup: $(STAMP)

# The virtual environment is complete when the stamp is newer than everything that defines it.
$(STAMP): setup.cfg pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fedsm needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)"; exit 1; }
	@{ $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null && { [ -z "$(COMPILER)" ] || command -v g++ >/dev/null; }; } \
		|| $(MAKE) --no-print-directory system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

system-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv $(COMPILER); \
	else \
		echo "missing system packages (Debian: apt-get install python3-venv $(COMPILER))"; \
		exit 1; \
	fi

# SoftHSM2 and Chromium: tests of HSMs and of the operator's page skip without them, and say so.
test-packages:
	@command -v chromedriver >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core; \
	else \
		echo "no Chromium: tests of the operator's page will be skipped (Debian: apt-get install chromium chromium-driver)"; \
	fi
	@{ command -v softhsm2-util && command -v cc; } >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq softhsm2 gcc libc6-dev; \
	else \
		echo "no SoftHSM2 or C compiler: tests of HSMs will be skipped (Debian: apt-get install softhsm2 gcc libc6-dev)"; \
	fi

demo: setup
	$(BIN)/fedsm demo

test: setup test-packages
	$(BIN)/pytest -n $(WORKERS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile Dockerfile.hsm Dockerfile.hsm.init
	$(BIN)/shellcheck docker/*.sh

# Random faults for SECONDS per federation, from new seeds; runs that fail are kept, and make test does them again.
SECONDS ?= 120
sim: setup
	@for members in 3-of-5 5-of-7 11-of-15; do \
		$(BIN)/fedsm sim --members $$members --seconds $(SECONDS) --seed $${SEED:-$$(date +%s)} \
			--keep tests/simulation/seeds.txt || exit 1; \
	done

# Every state that federations of three and four members can reach, within the bounds that it prints.
model: setup
	$(BIN)/python -m tests.model $(MODEL)

bench: setup
	$(BIN)/python -m tests.bench $(BENCH)

# Coverage-guided fuzzing of the decoders, a minute each; for longer: make fuzz FUZZ="headers -max_total_time=3600".
fuzz: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,fuzz]' \
		|| { echo "make fuzz needs atheris, which cannot be installed here (the lines above say why); make test mutates"; \
			echo "more than 100,000 inputs without it"; exit 1; }
	$(BIN)/python -m tests.fuzzing $(FUZZ)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
