PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Installs $(WHAT) into .venv with uv: the machine's, or one brought into .venv; with pip where that cannot be had or
# fails, and where pip's settings name an index, which uv does not read.
INSTALL = ! $(BIN)/python -m pip config list | grep -qE '[.](index-url|no-index)=' && \
  { uv=$$(command -v uv) || { $(PIP) uv && uv=$(BIN)/uv; }; } && \
  "$$uv" pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '$(WHAT)' || \
  $(PIP) --editable '$(WHAT)'

# A dot a second on a terminal, while what follows in the same line says nothing.
DOTS = if [ -t 2 ]; then while sleep 1; do printf . >&2; done & dots=$$!; trap "kill $$dots; echo >&2" EXIT; fi;

.PHONY: demo install test test-long lint bench chromium clean

demo: .venv/core  ## the whole loop on the shipped sample, with a real Argilla
	$(BIN)/tutelage demo

install: .venv/all  ## everything, into .venv

# Tests of one file share what they set up, and stay together.
test: .venv/all chromium
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-long: .venv/all chromium  ## what takes minutes
	@command -v podman >/dev/null || echo 'There is no podman: the tests of the image and of docker-compose.yml are skipped.'
	$(BIN)/python -m pytest -m long --timeout=3600

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py  # known weaknesses of what is pinned

bench: .venv/bench  ## what the README and benchmarks/LOG.md quote
	for bench in benchmarks/[a-z]*.py; do $(BIN)/python $$bench || exit 1; done

.venv/bin/python:
	@echo 'Making .venv'; $(DOTS) uv venv --quiet --seed --python $(PYTHON) .venv 2>/dev/null || $(PYTHON) -m venv .venv

# The core learns with scikit-learn and is small; .venv/all adds torch and what checks the code. Torch comes with pip,
# whose settings may name a build without CUDA.
WHAT = .
.venv/all: WHAT = .[train,dev]
.venv/bench: WHAT = .[bench]

.venv/core: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing $(WHAT) into .venv'; $(DOTS) $(INSTALL)
	@touch $@

.venv/all: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) torch
	@echo 'Installing $(WHAT) into .venv'; $(INSTALL)
	@touch .venv/core $@

.venv/bench: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) torch
	@echo 'Installing $(WHAT) into .venv'; $(INSTALL)
	@touch .venv/core .venv/all $@

# The browser tests need a Chromium; where we may, we install it.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	echo "There is no Chromium: the browser tests are skipped. Install it with your package manager."

# Secrets for docker-compose.yml, each in a file: made once, never overwritten, taken over where .env of an earlier
# version has them. The folder keeps others on this machine out; a container's user must be able to read its files.
SECRETS := ARGILLA_API_KEY ARGILLA_PASSWORD ARGILLA_AUTH_SECRET_KEY ELASTIC_PASSWORD POSTGRES_PASSWORD REDIS_PASSWORD

.PHONY: .env
.env:
	@umask 077 && mkdir -p secrets && touch .env && for name in $(SECRETS); do \
	  [ -s secrets/$$name ] || { \
	    old=$$(sed -n "s/^$$name=//p" .env); \
	    echo "$${old:-$$($(PYTHON) -c 'import secrets; print(secrets.token_hex(24))')}" > secrets/.$$name && \
	    chmod 444 secrets/.$$name && mv secrets/.$$name secrets/$$name; }; done
	@grep -q '^COMPOSE_PROFILES=' .env || echo COMPOSE_PROFILES=full >> .env

clean:
	rm -rf .venv build dist *.egg-info
