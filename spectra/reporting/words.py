"""A comparison in words."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..comparison import Comparison


def verdict(result: Comparison) -> list[str]:
    """What was found, the sentence that matters first."""
    table = result.matrices
    if result.num_intruders:
        new = result.count_new()
        first = (
            f"{result.summary()}. {new} of them {'is' if new == 1 else 'are'} mostly new (more than half outside the "
            f"base's {2 * result.k} leading directions); the others mix those."
        )
    else:
        first = (
            f"{result.summary()}: each leading direction still has a cosine of {result.epsilon:g} or more with a "
            "pretrained one."
        )
    sentences = [first]
    if result.num_intruders:
        worst = result.worst_first().iloc[0]
        by_module = table.groupby("module", sort=False)["num_intruders"].sum().sort_values(ascending=False)
        sentences.append(
            f"Most are in {by_module.index[0]} ({by_module.iloc[0]} over all layers); the matrix with most is "
            f"{worst['name']} ({worst['num_intruders']} of its {len(worst['max_cosine'])} leading vectors)."
        )
        least, most = result.at_chance_bounds()
        chance = f"{least}" if least == most else f"Between {least} and {most} (method exact tells)"
        sentences.append(
            f"{chance} of the vectors are no nearer to the base than chance explains (a random direction's best cosine "
            f"is below {table['null_cosine_q99'].max():.2f} with probability 99%)."
        )
    others = [epsilon for epsilon in result.epsilons if epsilon != result.epsilon]
    if others:
        counts = ", ".join(f"{result.count(epsilon)} at ε = {epsilon:g}" for epsilon in others)
        sentences.append(f"At other thresholds: {counts}.")
    sentences.append(
        f"On the mean over the matrices the update is {100 * table['relative_delta'].mean():.2g}% of the base's size "
        f"(Frobenius), has effective rank {table['effective_rank'].mean():.1f}, and its largest singular value is "
        f"{table['spike_ratio'].mean():.2g} of the base's largest."
    )
    problems = int(result.skipped["problem"].sum()) if len(result.skipped) else 0
    if problems:
        sentences.append(f"{problems} tensors could not be compared because something is wrong with them; see below.")
    return sentences


def matrix_words(row: Any) -> str:
    """The numbers of one matrix, in one clause."""
    count = row["num_intruders"]
    if pd.isna(count):
        return f"{row['name']} ({row['rows']}×{row['cols']}): {row['note']}"
    return (
        f"{row['name']} ({row['rows']}×{row['cols']}): {count} intruder{'s' * (count != 1)}, least best cosine ≤ "
        f"{row['lowest_cosine']:.3f}, effective rank of ΔW {row['effective_rank']:.1f}, ‖ΔW‖/‖W0‖ "
        f"{row['relative_delta']:.4f}"
    )
