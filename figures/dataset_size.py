"""Intruders after training on more and more examples, so for more steps: by size, by ε and by k (paper: Fig. 16)."""

from gallery import by_epsilon, by_k, drawn, only

from spectra import plot_sweep


def of_rank(draw, rank):
    def part(study, ax):
        labels = [label for label in study.table["run"].unique() if label.startswith(f"r = {rank},")]
        draw(only(study, run=labels), ax)

    return "dataset_size-counts", part


def by_size(study, ax):
    plot_sweep(study, "num_examples", "num_intruders_0.8", by="rank", ax=ax)
    ax.set_xlabel("training examples (more of them: more steps)")


drawn(
    __file__,
    "dataset_size",
    by_size,
    *(of_rank(draw, rank) for rank in (1, 8) for draw in (by_epsilon, by_k)),
)
