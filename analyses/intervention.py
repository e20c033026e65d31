"""Does scaling intruders down buy back forgetting at almost no accuracy?

Question: of the forgetting that tuning caused, how much comes back when the top intruder of each matrix is scaled by λ,
at what cost in accuracy; and more than when something else of the same size is scaled?
Method: LoRA of rank 1 at the rate picked blind to intruders, three seeds; ε = 0.8; λ = 0, 0.5, 0.7 and 1.5 with the
controls: neighbouring non-intruder, random direction, whole update brought to equal size. Intruder and control are
compared on the same sequences, with the standard error of their difference.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/intervention-*.json, and the table in the README.

    python analyses/intervention.py [--quick]
"""

from __future__ import annotations

import hashlib

import pandas as pd
from common import Progress, Setting, each_base, keep

import spectra
from spectra.studies.forgetting import text_provenance
from spectra.studies.statistics import spread

LAMBDAS = (0.0, 0.5, 0.7, 1.5)


def main(setting: Setting) -> None:
    """Of one base."""
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
    table = pd.concat(frames, ignore_index=True)
    at = table[table["lambda"] == 0.7]
    words = "; ".join(
        f"{what}: {spread(g['percent_bought_back'].tolist())}% back for "
        f"{spread(g['percent_accuracy_lost'].tolist())}% of accuracy"
        for what, g in at.groupby("target", sort=False)
    )
    ahead = at["forgetting_over_intruder"] > 2 * at["forgetting_over_intruder_standard_error"]
    rivals = {name: int(ahead[at["target"] == name].sum()) for name in ("neighbour", "random", "shrunk")}
    gains = at[at["target"] == "intruder"]["percent_bought_back"]
    lost = at[at["target"] == "intruder"]["percent_accuracy_lost"].mean()
    nothing = int(gains.isna().sum())
    cheap = gains.min() > 0 and lost < 2
    special = all(rivals[name] == len(frames) for name in ("neighbour", "random"))
    finding = {
        "claim": "scaling the top intruder down (λ = 0.7) buys back forgetting at almost no accuracy",
        "numbers": f"at λ = 0.7, {len(frames)} runs of rank 1 at rate {runs['learning_rate'].iloc[0]:g}: {words}"
        + (f"; {nothing} of them forgot nothing, so nothing can be bought back" if nothing else ""),
        "verdict": ("holds" if cheap and special else "does not hold" if gains.mean() <= 0 else "cannot tell")
        + ": scaling intruders forgets less, by more than two standard errors of the difference, than scaling "
        + ", ".join(f"{name} in {count} of {len(frames)} runs" for name, count in rivals.items()),
    }
    provenance = {"base": setting.fields["base"], "epsilon": epsilon, "which": "top"}
    keep(setting, "intervention", spectra.Study("intervention", table, provenance), finding)


if __name__ == "__main__":
    each_base(main, __doc__)
