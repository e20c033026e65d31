"""The 40 leading singular vectors before and after: full tuning and LoRA of rank 1 (paper: Fig. 1)."""

from gallery import NAMES, RESULTS, saved
from matplotlib.figure import Figure

import spectra


def pairs(script, leading=None):
    """A row a base: full tuning, LoRA; all vectors saved, or the leading ones."""
    kinds = {"full": "full tuning", "lora-r1": "LoRA, r = 1"}
    bases = [base for base in NAMES if (RESULTS / f"similarity-{base}-full.json").exists()]
    figure = Figure(figsize=(9.2, 4.2 * len(bases)), layout="constrained")
    for row, base in zip(figure.subplots(len(bases), 2, squeeze=False), bases, strict=True):
        for ax, (kind, words) in zip(row, kinds.items(), strict=True):
            result = spectra.Comparison.read(RESULTS / f"similarity-{base}-{kind}.json")
            spectra.plot_similarity(result, ax=ax)
            if leading:
                ax.set(xlim=(-0.5, leading - 0.5), ylim=(leading - 0.5, -0.5))
                ax.set_xticks(range(leading), range(1, leading + 1))
                ax.set_yticks(range(leading), range(1, leading + 1))
            ax.set_title(
                f"{NAMES[base]}, {words}\n{result.matrices.iloc[0]['name']}, ε = {result.epsilon:g}", fontsize=8
            )
    saved(script, figure)


if __name__ == "__main__":
    pairs(__file__)
