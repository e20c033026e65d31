"""Intruders, forgetting and accuracy along training at each rate, and the first two together (paper: Fig. 7)."""

from gallery import drawn

from spectra import plot_dynamics
from spectra.plots.style import line_styles


def together(study, ax):
    for (label, group), style in zip(study.table.groupby("run", sort=False), line_styles(), strict=False):
        steps = group.groupby("step")[["num_intruders_0.8", "forgetting"]].mean()
        ax.plot(steps["num_intruders_0.8"], steps["forgetting"], label=label, **style)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=-0.3)
    ax.set_xlabel("intruders (ε = 0.8), mean over seeds at each checkpoint")
    ax.set_ylabel("forgetting (nats)")
    ax.legend(frameon=False, fontsize=8)


drawn(
    __file__,
    "along_training",
    *(lambda study, ax, y=y: plot_dynamics(study, y, ax=ax) for y in ("num_intruders_0.8", "forgetting", "accuracy")),
    together,
)
