"""Do intruders come with the learning rate?

Question: does a higher learning rate plant more intruders, for every method and rank?
Method: the main sweep, three rates a method and rank, every saved seed; Spearman's ρ of rate and count within each
method and rank, without runs that learned nothing. It holds where it does for all four.
Verdicts, encoder and decoder: a higher learning rate plants more intruders: cannot tell, holds.

    python analyses/learning_rate.py [--quick]
"""

from __future__ import annotations

from common import Setting, each_base, keep
from saved import COUNT, Finding, Saved, label, learned, left_out

from spectra.studies.statistics import spread
from spectra.studies.verdicts import together, trend


def measure(setting: Setting) -> None:
    """Train and count."""
    keep(setting, "learning_rate", setting.main_sweep())


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    groups = dict(list(saved.main_runs().groupby("rank")))
    parts, numbers = [], []
    for rank, runs in groups.items():
        known = learned(runs).set_index("run")
        part = trend(label(rank), known["learning_rate"], known[COUNT], claimed=0.5, parts=len(groups))
        parts.append(part)
        means = ", ".join(f"{rate:g}: {spread(g[COUNT].tolist())}" for rate, g in runs.groupby("learning_rate"))
        numbers.append(f"{label(rank)} ({means}; {part}{left_out(runs)})")
    claim = together("a higher learning rate plants more intruders", parts)
    return Finding("learning_rate", [claim], f"intruders at ε = 0.8 by rate: {'; '.join(numbers)}")


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
