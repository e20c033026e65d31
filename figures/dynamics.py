"""Along LoRA runs, each matrix's leading intruder: its place, its singular value; and the accuracy (paper: Fig. 5)."""

from gallery import drawn, only

from spectra import plot_dynamics


def each_matrix(y, words):
    """A line a matrix with an intruder at two checkpoints or more, at the highest rate, seed 0."""

    def draw(study, ax):
        highest = only(study, seed=0, rate=study.table["rate"].max()).table
        for _, path in highest.groupby("matrix"):
            ax.plot(path["step"], path[y], color="black", marker="o", markersize=3, linewidth=0.8, alpha=0.4)
        if y == "place":
            ax.invert_yaxis()
        ax.set_xlabel(f"step (LoRA, r = 8, rate {study.table['rate'].max():g}, seed 0)")
        ax.set_ylabel(words)

    return "leading_intruders", draw


drawn(
    __file__,
    "dynamics",
    lambda study, ax: plot_dynamics(study, "num_intruders_0.8", ax=ax),
    each_matrix("place", "place of each matrix's leading intruder"),
    each_matrix("singular_value", "its singular value"),
    lambda study, ax: plot_dynamics(study, "accuracy", ax=ax),
)
