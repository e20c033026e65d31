"""Does scaling intruders down buy back forgetting at almost no accuracy?

Question: of the forgetting that tuning caused, how much comes back when the top intruder of each matrix is scaled by
0.7, at what cost in accuracy; and more than when something else of the same size is scaled?
Method: LoRA of rank 1 at the rate picked blind to intruders, three seeds; ε = 0.8; λ = 0, 0.5, 0.7 and 1.5 with the
controls: neighbouring non-intruder, random direction, whole update brought to equal norm. Intruder and control are of
the same run, so their difference is one number a seed, and the claim needs all three. On the base's own text neighbour
and random can hardly win; the informative one is the shrunk update, and it is none where it grows. At rank 1 ΔW has one
direction: whether it is the direction or its size that matters cannot be asked. Nor is any other matching than that of
norms tried, such as the distance moved.
Verdicts, encoder and decoder: scaling the top intruder by 0.7 buys back forgetting: does not hold, holds; scaling it
costs less than 5% of the accuracy: holds, cannot tell; scaling it buys back more than every control: cannot tell,
holds.

    python analyses/intervention.py [--quick]
"""

from __future__ import annotations

import hashlib

import pandas as pd
from common import Progress, Setting, each_base, keep
from saved import Finding, Saved, by_seed, words

import spectra
from spectra.studies.forgetting import text_provenance
from spectra.studies.verdicts import equality, mean, together

LAMBDAS = (0.0, 0.5, 0.7, 1.5)
CONTROLS = ("shrunk", "random", "neighbour")
BACK, LOST = "percent_bought_back", "percent_accuracy_lost"


def measure(setting: Setting) -> None:
    """Scale and measure."""
    runs = setting.picked().query("method == 'lora' and rank == 1")
    epsilon = 0.99 if setting.quick else 0.8  # a few steps plant none at 0.8
    frames = []
    for run in runs.itertuples(index=False):
        base, path = setting.fields["base"], setting.run_path(run.run)
        options = {"epsilon": epsilon, "seed": run.seed, **setting.on_text}
        inputs = spectra.Run.open(path).metrics.get("inputs")
        asked = repr((LAMBDAS, options, inputs, text_provenance(base, **setting.on_text)))
        asked = hashlib.sha256(asked.encode()).hexdigest()[:8]
        kept = setting.runs / setting.name / f"intervention-{run.run}-{asked}.parquet"
        if not kept.exists():
            try:
                found = spectra.intervene(base, path, LAMBDAS, progress=Progress(), **options)
            except spectra.SpectraError as error:  # a run without intruders has nothing to scale
                print(f"{run.run}: {error}", flush=True)
                continue
            found.write(kept)
        frames.append(spectra.Study.read(kept).table.assign(rank=run.rank, seed=run.seed, run=run.run))
    if not frames:
        print(f"intervention, {setting.name}: no run has intruders")
        return
    provenance = {"base": setting.fields["base"], "epsilon": epsilon, "which": "top"}
    table = pd.concat(frames, ignore_index=True)
    keep(setting, "intervention", spectra.Study("intervention", table, provenance))


def decide(saved: Saved) -> Finding | None:
    """From the saved tables; None where no run had an intruder."""
    table = saved.table("intervention")
    if not len(table):
        return None
    at = table[table["lambda"] == 0.7]
    groups = dict(list(at.groupby("target", sort=False)))
    intruder = groups["intruder"]
    parts = []
    for name in CONTROLS:
        control = groups[name]
        if name == "shrunk":  # brought to the norm that scaling leaves: no control where that is a larger one
            control = control[control["update_scale"] < 1]
        gain = by_seed(intruder, BACK) - by_seed(control, BACK)
        parts.append(mean(f"than {name}", gain, claimed=5.0, measure="{} points", parts=len(CONTROLS)))
    scales = groups["shrunk"]["update_scale"]
    removed = table[(table["lambda"] == 0.0) & (table["target"] == "intruder")]
    return Finding(
        "intervention",
        [
            mean(
                "scaling the top intruder by 0.7 buys back forgetting",
                by_seed(intruder, BACK),
                claimed=10.0,
                measure="{}%",
            ),
            equality(
                "scaling it costs less than 5% of the accuracy", by_seed(intruder, LOST), margin=5.0, measure="{}%"
            ),
            together("scaling it buys back more than every control", parts),
        ],
        f"at λ = 0.7, % of the forgetting bought back and of the accuracy lost: {words(groups, **{BACK: 1, LOST: 1})}; "
        f"the update of 'shrunk' is {scales.min():.2f} to {scales.max():.2f} times as large"
        + ("" if scales.max() < 1 else ", so it grew and is no control")
        + f"; more {'; more '.join(f'{part.claim}: {part}' for part in parts)}. At λ = 0: "
        + words({"intruder": removed}, **{BACK: 1, LOST: 1}),
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
