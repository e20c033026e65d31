"""Along LoRA runs, intruders followed: their places and singular values; and the accuracy (paper: Fig. 5)."""

from gallery import drawn, only

from spectra import plot_dynamics

LINES = {"neighbour": {"color": "darkorange", "linestyle": "--"}, "intruder": {"color": "black", "linestyle": "-"}}


def each_matrix(y, words):
    """A line a matrix with an intruder before the last checkpoint, at the highest rate, the first seed."""

    def draw(study, ax):
        rate = study.table["rate"].max()
        seed = only(study, rate=rate).table["seed"].min()
        for (_, vector), path in only(study, rate=rate, seed=seed).table.groupby(["matrix", "vector"]):
            path = path.assign(singular_value=path["singular_value"] / path["singular_value"].iloc[0])
            ax.plot(path["step"], path[y], marker="o", markersize=3, linewidth=0.8, alpha=0.5, **LINES[vector])
        for vector, style in LINES.items():
            ax.plot([], [], label=f"{vector}, followed", **style)
        ax.legend(fontsize=7)
        if y == "place":
            ax.invert_yaxis()
        ax.set_xlabel(f"step (LoRA, r = 8, rate {rate:g}, seed {seed})")
        ax.set_ylabel(words)

    return "leading_intruders", draw


drawn(
    __file__,
    "dynamics",
    lambda study, ax: plot_dynamics(study, "num_intruders_0.8", ax=ax),
    each_matrix("place", "place among the singular values"),
    each_matrix("singular_value", "singular value over that at the first"),
    lambda study, ax: plot_dynamics(study, "accuracy", ax=ax),
)
