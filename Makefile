# Needs Python 3.11 to 3.13, git and make; everything else it brings itself.
.DEFAULT_GOAL := help
.PHONY: help demo train-demo ablation-demo test test-all lint format bench spleeter-env vllm-env clean lock

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
DEMO := demo
# Installed by `make`. Not among them: pyannote (heavy), yolo (AGPL).
EXTRAS := demo dev gcs open paper s3 studio train web
# Tests run side by side in this many processes.
JOBS ?= 2
# What `make vllm-env` installs: the versions that were resolved last. For SGLang: sglang==0.5.10.post1
CAPTION_SERVER ?= vllm==0.33.0
# The project's own uv where the machine has none.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(VENV)/.ready  ## sample films, full build, report (a few minutes)
	$(RUN)/python -m tests.films demo $(DEMO)/films
	@# Of its three films this seed holds out the one that leaves every subset something to train on.
	$(RUN)/demix build $(DEMO)/films/sources.csv --output $(DEMO)/dataset --address local --keep-work \
		--set pack.test_seed=1
	$(RUN)/demix verify $(DEMO)/dataset
	@echo "open $(abspath $(DEMO))/dataset/report/index.html"

train-demo: $(VENV)/.ready  ## a tiny MTV on the demo's dataset, all five stages, on the CPU (a few minutes)
	@test -f $(DEMO)/dataset/build.json || $(MAKE) demo
	$(RUN)/python -m mtv_train train tiny --data $(DEMO)/dataset --run $(DEMO)/run --skip-empty-stages
	$(RUN)/python -m mtv_train inspect $(DEMO)/run
	@# A second run starts from what the first one learnt.
	rm -rf $(DEMO)/model && $(RUN)/python -m mtv_train export $(DEMO)/run $(DEMO)/model
	$(RUN)/python -m mtv_train train tiny --data $(DEMO)/dataset --run $(DEMO)/run_2 --skip-empty-stages \
		--set model.init=$(DEMO)/model --stop-after 20

ablation-demo: $(VENV)/.ready  ## the paper's ablations at the smallest size: trained, sampled, scored (minutes)
	@test -f $(DEMO)/dataset/build.json || $(MAKE) demo
	$(RUN)/python pipelines/ablation_demo.py --data $(DEMO)/dataset --out $(DEMO)/ablation

test: $(VENV)/.ready  ## what CI runs: lint, types, all tests but the slow ones
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/pytest -n $(JOBS) --dist loadfile

test-all: $(VENV)/.ready  ## every test, the slow ones too
	$(RUN)/pytest -m ""

lint: $(VENV)/.ready  ## style and types only
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

format: $(VENV)/.ready  ## put the code into the project's format
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

bench: $(VENV)/.ready  ## every benchmark; results in benchmarks/results
	$(RUN)/python -m benchmarks

spleeter-env: | $(UV)  ## Spleeter's own package in an environment of its own, for demixing.two=spleeter_package
	$(UV) venv --quiet --allow-existing --python 3.11 .spleeter
	$(UV) pip install --quiet --python .spleeter/bin/python 'spleeter==2.4.2' 'numpy<2'

vllm-env: | $(UV)  ## vLLM in an environment of its own, for caption.server.start=vllm (many GB; needs a GPU to run)
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' .vllm
	$(UV) pip install --quiet --python .vllm/bin/python $(CAPTION_SERVER)

clean:  ## remove what was built (not the environment)
	rm -rf $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

lock: | $(UV)  ## choose the exact versions of constraints.txt anew
	$(UV) pip compile --universal $(addprefix --extra ,$(EXTRAS)) --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --output-file constraints.txt
	@# The marker of all environments in pyproject.toml says nothing.
	sed -i.old "s/ ; python_full_version < '3.14' and (([^()]*) or sys_platform == 'linux')$$//" constraints.txt
	rm constraints.txt.old

# constraints.txt is a whole lock, so nothing is resolved.
$(VENV)/.ready: constraints.txt pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(RUN)/python --no-deps --requirement constraints.txt
	$(UV) pip install --quiet --python $(RUN)/python --no-deps --editable .
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv
