"""Forgetting bought back and accuracy lost against the scale λ of the top intruders, and of controls (Fig. 12, 13)."""

from gallery import drawn

from spectra import plot_intervention

drawn(
    __file__,
    "intervention",
    lambda study, ax: plot_intervention(study, "percent_bought_back", ax=ax),
    lambda study, ax: plot_intervention(study, "percent_accuracy_lost", ax=ax),
)
