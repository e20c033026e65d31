"""The ten leading vectors against the base's after each of six tasks, full tuning and LoRA (paper: Fig. 9b, 9c, 18)."""

from gallery import NAMES, RESULTS, saved
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import spectra
from spectra.plots.style import INTRUDER

bases = [base for base in NAMES if (RESULTS / f"continual_similarity-{base}.parquet").exists()]
figure = Figure(figsize=(11, 3.9 * len(bases)), layout="constrained")
for part, base in zip(figure.subfigures(len(bases), 1, squeeze=False).flat, bases, strict=True):
    study = spectra.Study.read(RESULTS / f"continual_similarity-{base}.parquet")
    runs = study.table.groupby("run", sort=False)
    axes = part.subplots(len(runs), study.table["stage"].nunique(), squeeze=False)
    part.suptitle(f"{NAMES[base]}, {study.provenance['matrix']}; outlined: intruder (ε = 0.8)", fontsize=9)
    for row, (label, run) in zip(axes, runs, strict=True):
        row[0].set_ylabel(f"{label}\nbase vector", fontsize=8)
        for ax, ((_, task), stage) in zip(row, run.groupby(["stage", "task"]), strict=True):
            ax.imshow(stage.pivot(index="i", columns="j", values="cosine"), cmap="Greys", vmin=0, vmax=1)
            for j in stage.loc[(stage["i"] == 1) & (stage["max_cosine"] < 0.8), "j"]:
                ax.add_patch(Rectangle((j - 1.5, -0.5), 1, 10, fill=False, edgecolor=INTRUDER, linewidth=1.5))
            ax.set_title(f"after {task}", fontsize=8)
            ax.set_xticks([0, 4, 9], [1, 5, 10], fontsize=7)
            ax.set_yticks([0, 4, 9], [1, 5, 10], fontsize=7)
    axes[-1][0].set_xlabel("tuned vector", fontsize=8)
saved(__file__, figure)
