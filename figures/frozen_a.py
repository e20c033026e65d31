"""A trained (lora), and orthonormal and frozen (lora-fa), r = 8: intruders by ε (paper: Fig. 10) and by the rate."""

from gallery import by_epsilon, drawn

from spectra import plot_sweep

drawn(
    __file__,
    "frozen_a",
    ("frozen_a-counts", by_epsilon),
    lambda study, ax: plot_sweep(study, "learning_rate", "num_intruders_0.8", by="method", ax=ax),
    lambda study, ax: plot_sweep(study, "learning_rate", "accuracy", by="method", ax=ax),
)
