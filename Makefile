# Needs only Python 3.11 (or newer), git and make: every target sets up what it needs in .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: setup demo test test-slow lint fuzz kills bench bench-gpu clean
.DEFAULT_GOAL := demo

setup: .venv/core.stamp  ## the command and its core dependencies

# The two stamps are apart so that the demo needs no torch.
.venv/core.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/full.stamp: pyproject.toml .venv/core.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train,test]'
	touch $@

demo: .venv/core.stamp  ## the main job on made-up species and the bundled backbone
	$(BIN)/birdprobe demo --output runs/demo --overwrite

# One thread a process: two test processes share two cores without fighting over them.
test: .venv/full.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: .venv/full.stamp
	$(BIN)/python -m pytest -m slow

lint: .venv/full.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .venv/types && ln -sfn "$(CURDIR)" .venv/types/birdprobe
	$(BIN)/mypy

MINUTES ?= 10
KILLS ?= 200

fuzz: .venv/full.stamp  ## random damage to every input: no answer but a line, 20 s, 4 GB
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

kills: .venv/full.stamp  ## every command that resumes, killed at random moments and run again
	$(BIN)/python -m tests.kills --kills $(KILLS)

bench: .venv/full.stamp  ## ratios measured side by side; leave the machine alone meanwhile
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_heads
	$(BIN)/python -m tests.bench_predict

bench-gpu: .venv/full.stamp  ## a GPU against the same machine's cores; where there is none, the cores alone at small size
	$(BIN)/python -m tests.bench_gpu $(if $(shell command -v nvidia-smi),,--small)

clean:
	rm -rf .venv runs
