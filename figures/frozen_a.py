"""Intruders and accuracy against the rate, A trained (lora) and orthonormal and frozen (lora-fa), r = 8."""

from gallery import drawn

from spectra import plot_sweep

drawn(
    __file__,
    "frozen_a",
    lambda study, ax: plot_sweep(study, "learning_rate", "num_intruders_0.8", by="method", ax=ax),
    lambda study, ax: plot_sweep(study, "learning_rate", "accuracy", by="method", ax=ax),
)
