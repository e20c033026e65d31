"""Intruders against the rank at α = 2r, full tuning last; each method at its picked rate, five seeds."""

from gallery import drawn

from spectra import plot_sweep

drawn(
    __file__,
    "seeds",
    lambda study, ax: plot_sweep(study, "rank", "num_intruders_0.5", ax=ax),
    lambda study, ax: plot_sweep(study, "rank", "num_intruders_0.8", ax=ax),
)
