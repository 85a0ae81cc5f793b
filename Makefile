# Everything a person runs by hand. Each target starts from a bare clone: `setup` is a prerequisite and does nothing
# when the environment is already current.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
EXTRAS ?= models,api,dagster,evaluation,s3,training,dev
# A real small model for the demo, e.g. MODEL=HuggingFaceTB/SmolLM2-360M-Instruct
MODEL  ?=

# Bytecode is kept: without it every start of every process compiles a thousand files again.
export PYTHONDONTWRITEBYTECODE :=

# uv does not read pip's configuration, so pip's folder of wheels (a CPU build of torch may lie there) is handed on.
PIP_LINKS := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
comma := ,
empty :=
space := $(empty) $(empty)
ifneq ($(strip $(PIP_LINKS)),)
export UV_FIND_LINKS := $(subst $(space),$(comma),$(strip $(PIP_LINKS)))
endif

# Where `make client` puts the Python client of the API.
CLIENT ?= build/client

.PHONY: setup demo up down test test-all lint style types bench client constraints clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11 to 3.13 is needed; name one with: make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.13,<0.14"
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: setup
	$(BIN)/twin demo $(if $(MODEL),--model $(MODEL))

up: setup
	$(BIN)/twin up

down: setup
	$(BIN)/twin down

lint: style types

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

# Every promise that can be kept in seconds. `test-all` adds the long stories: supervision, random walks, the stand-in.
test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal -q -m "not slow"

test-all: lint
	$(BIN)/python -m pytest -n auto --dist worksteal -q

bench: setup
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/retrieval.py

# A Python client, made from the schema of the API as it is now. Not kept: make it again after a change.
client: setup
	@mkdir -p $(CLIENT)
	$(BIN)/litestar --app twin_api.app:create_app schema openapi --output $(CLIENT)/openapi.json
	printf 'package_name_override: twin_client\nproject_name_override: twin-client\n' > $(CLIENT)/config.yaml
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/openapi-python-client generate --path $(CLIENT)/openapi.json --config $(CLIENT)/config.yaml \
	  --meta none --overwrite --output-path $(CLIENT)/twin_client

# Without find-links: a local CPU build of torch would be written down, which nobody else could install.
constraints:
	UV_FIND_LINKS= $(BIN)/uv pip compile --quiet --universal --all-extras --python-version 3.11 --no-annotate \
	  pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
