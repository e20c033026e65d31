"""Intruders, their rank, their singular values and accuracy along a run (paper: Fig. 5)."""

from gallery import drawn

from spectra import plot_dynamics

drawn(
    __file__,
    "dynamics",
    lambda study, ax: plot_dynamics(study, "num_intruders_0.8", ax=ax),
    lambda study, ax: plot_dynamics(study, "best_rank", ax=ax),
    lambda study, ax: plot_dynamics(study, "mean_singular_value", ax=ax),
    lambda study, ax: plot_dynamics(study, "accuracy", ax=ax),
)
