"""Accuracy on each of six tasks as training goes on to the next (paper: Fig. 9a, 17), and the intruders gathered."""

import dataclasses

from gallery import drawn, lines, only

TASKS = ("mnli", "mrpc", "sst2", "siqa", "winogrande", "fever")


def task(name):
    """Accuracy on one task after each stage; dotted: untouched base, line: the stage it is trained in."""

    def draw(study, ax):
        study = only(study, task=name)
        lines(ax, only(study, stage=list(range(1, 7))), "stage", "accuracy")
        ax.axhline(study.table.loc[study.table["stage"] == 0, "accuracy"].mean(), color="black", linestyle=":")
        ax.axvline(TASKS.index(name) + 1, color="gray", linewidth=0.8)
        ax.set_xlim(0.8, 6.2)
        ax.set_xlabel("stage")
        ax.set_ylabel(f"accuracy on {name}")

    return draw


def gathered(study, ax):
    stages = only(study, stage=list(range(1, 7))).table.drop_duplicates(["run", "seed", "stage"])
    lines(ax, dataclasses.replace(study, table=stages), "stage", "num_intruders")
    ax.set_xlabel("stage")
    ax.set_ylabel("intruders (ε = 0.8)")


if __name__ == "__main__":
    drawn(__file__, "continual", *map(task, TASKS), gathered, height=2.6)
