"""What was found: the claims of the paper, our numbers, and whether they hold, from the saved studies.

python analyses/summary.py
"""

from __future__ import annotations

import json

from common import RESULTS

ORDER = (
    "rank_sweep",
    "forgetting",
    "epsilon_and_k",
    "learning_rate",
    "alpha",
    "dataset_size",
    "frozen_a",
    "variants",
    "effective_rank",
    "seeds",
    "dynamics",
    "along_training",
    "correlation",
    "intervention",
    "continual",
    "alpha_continual",
)


def main() -> None:
    """Print the table of the README."""
    print("| claim | base | numbers (mean ± standard deviation over three seeds) | on our models |")
    print("|---|---|---|---|")
    for study in ORDER:
        for base in ("encoder", "decoder"):
            file = RESULTS / f"{study}-{base}.json"
            if file.exists():
                found = json.loads(file.read_text(encoding="utf-8"))
                verdict, _, why = found["verdict"].partition(":")
                print(f"| {found['claim']} | {base} | {found['numbers']} | **{verdict}**:{why} |")


if __name__ == "__main__":
    main()
