"""Intruders against the rank at α = 2r, full tuning last; each method at its picked rate."""

from gallery import drawn, only

from spectra import plot_sweep

drawn(
    __file__,
    "rank_sweep",
    lambda study, ax: plot_sweep(only(study, picked=True), "rank", "num_intruders_0.5", ax=ax),
    lambda study, ax: plot_sweep(only(study, picked=True), "rank", "num_intruders_0.8", ax=ax),
)
