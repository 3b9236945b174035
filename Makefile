PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo install test test-long lint bench chromium clean

demo: .venv/core  ## the whole loop on the shipped sample, with a real Argilla
	$(BIN)/tutelage demo

install: .venv/all  ## everything, into .venv

test: .venv/all chromium
	$(BIN)/python -m pytest

test-long: .venv/all chromium  ## what takes minutes
	$(BIN)/python -m pytest -m long --timeout=3600

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/bench  ## what the README and benchmarks/LOG.md quote
	for bench in benchmarks/[a-z]*.py; do $(BIN)/python $$bench || exit 1; done

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The core learns with scikit-learn and is small; .venv/all adds torch and what checks the code.
.venv/core: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	@touch $@

.venv/all: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[train,dev]'
	@touch .venv/core $@

.venv/bench: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[bench]'
	@touch .venv/core .venv/all $@

# The browser tests need a Chromium; where we may, we install it.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	echo "There is no Chromium: the browser tests are skipped. Install it with your package manager."

# Secrets for docker-compose.yml; made once, never overwritten.
.env:
	@umask 077 && for name in ARGILLA_API_KEY ARGILLA_PASSWORD ARGILLA_AUTH_SECRET_KEY ELASTIC_PASSWORD \
	POSTGRES_PASSWORD REDIS_PASSWORD; do \
	  echo "$$name=$$($(PYTHON) -c 'import secrets; print(secrets.token_hex(24))')"; done > $@

clean:
	rm -rf .venv build dist *.egg-info
