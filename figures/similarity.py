"""Leading singular vectors before and after: full tuning and LoRA of rank 1 (paper: Fig. 1-3)."""

from pathlib import Path

from gallery import NAMES, RESULTS
from matplotlib import rc_context
from matplotlib.figure import Figure

import spectra

kinds = {"full": "full tuning", "lora-r1": "LoRA, r = 1"}
bases = [base for base in NAMES if (RESULTS / f"similarity-{base}-full.json").exists()]
figure = Figure(figsize=(9.2, 4.2 * len(bases)), layout="constrained")
for row, base in zip(figure.subplots(len(bases), 2, squeeze=False), bases, strict=True):
    for ax, (kind, words) in zip(row, kinds.items(), strict=True):
        spectra.plot_similarity(spectra.Comparison.read(RESULTS / f"similarity-{base}-{kind}.json"), ax=ax)
        ax.set_title(f"{NAMES[base]}, {words}\n{ax.get_title()}", fontsize=8)
with rc_context({"svg.hashsalt": "spectra"}):
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})
