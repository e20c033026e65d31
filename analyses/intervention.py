"""Does scaling intruders down buy back forgetting at almost no accuracy?

Question: of the forgetting that tuning caused, how much comes back when the top intruder of each matrix is scaled by λ,
at what cost in accuracy; and more than when something else of the same size is scaled?
Method: LoRA of rank 8 (rank 1, decoder) at the highest rate of the main sweep (where there are intruders), three seeds;
ε = 0.8; λ = 0 and 0.7 (decoder: 0.5 and 1.5 as well) with the controls: neighbouring non-intruder, random direction,
whole update shrunk to equal size.
Verdict: encoder: cannot tell; decoder: holds. Numbers: results/intervention-*.json, and the table in the README.

    python analyses/intervention.py [--quick]
"""

from __future__ import annotations

import pandas as pd
from common import GRIDS, keep, settings

import spectra
from spectra.studies.statistics import spread

LAMBDAS = {"encoder": (0.0, 0.7), "decoder": (0.0, 0.5, 0.7, 1.5)}
RANKS = {"encoder": (8,), "decoder": (1,)}


def main() -> None:
    """Each base in turn."""
    for setting in settings(__doc__):
        grid = GRIDS[setting.kind]
        study = setting.sweep([{"rank": r, "learning_rate": grid["lora", r][2]} for r in RANKS[setting.kind]])
        text = {name: setting.options[name] for name in ("text", "num_sequences", "length")}
        text["objective"] = setting.options.get("objective", "auto")
        epsilon = 0.99 if setting.quick else 0.8  # a few steps plant none at 0.8
        frames = []
        for run in study.table.itertuples(index=False):
            kept = setting.runs / setting.name / f"intervention-{run.run}.parquet"
            if not kept.exists():
                path = setting.run_path(run.run)
                try:
                    found = spectra.intervene(
                        setting.fields["base"], path, LAMBDAS[setting.kind], epsilon=epsilon, seed=run.seed, **text
                    )
                except spectra.SpectraError as error:  # a run without intruders has nothing to scale
                    print(f"{run.run}: {error}", flush=True)
                    continue
                found.write(kept)
            table = spectra.Study.read(kept).table
            wanted = table[table["lambda"].isin([*LAMBDAS[setting.kind], 1.0])]
            frames.append(wanted.assign(rank=run.rank, seed=run.seed, run=run.run))
        if not frames:
            print(f"intervention, {setting.name}: no run has intruders")
            continue
        table = pd.concat(frames, ignore_index=True)
        at = table[table["lambda"] == 0.7]
        words = "; ".join(
            f"{what}: {spread(g['percent_bought_back'].tolist())}% back for "
            f"{spread(g['percent_accuracy_lost'].tolist())}% of accuracy"
            for what, g in at.groupby("target", sort=False)
        )
        wide = at.pivot(index="run", columns="target", values="forgetting")
        error = at.pivot(index="run", columns="target", values="forgetting_standard_error").max(axis=1)
        # A win is by more than a standard error.
        rivals = {
            name: int((wide["intruder"] < wide[name] - error).sum()) for name in ("neighbour", "random", "shrunk")
        }
        gains = at[at["target"] == "intruder"]["percent_bought_back"]
        lost = at[at["target"] == "intruder"]["percent_accuracy_lost"].mean()
        cheap = gains.min() > 0 and lost < 2
        special = all(rivals[name] == len(wide) for name in ("neighbour", "random"))
        finding = {
            "claim": "scaling the top intruder down (λ = 0.7) buys back forgetting at almost no accuracy",
            "numbers": f"at λ = 0.7, {len(wide)} runs: {words}",
            "verdict": ("holds" if cheap and special else "cannot tell" if gains.mean() > 0 else "does not hold")
            + ": scaling intruders forgets less, by more than a standard error, than scaling "
            + ", ".join(f"{name} in {count} of {len(wide)} runs" for name, count in rivals.items()),
        }
        provenance = {"base": setting.fields["base"], "epsilon": epsilon, "which": "top"}
        keep(setting, "intervention", spectra.Study("intervention", table, provenance), finding)


if __name__ == "__main__":
    main()
