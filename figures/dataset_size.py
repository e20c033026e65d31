"""Intruders against the number of training examples, one epoch each."""

from gallery import drawn

from spectra import plot_sweep

drawn(__file__, "dataset_size", lambda study, ax: plot_sweep(study, "num_examples", "num_intruders_0.8", ax=ax))
