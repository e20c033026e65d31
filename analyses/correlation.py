"""Do intruders and forgetting rise together, beyond the size of the update?

Question: over all settings, does forgetting go with the number of intruders; does it at equal size of the update; and
does it go with the size at equal number of intruders?
Method: the settings of every saved sweep, the mean over seeds of each (its seeds are no independent witnesses), without
the runs that learned nothing; Spearman's ρ with forgetting, partially with ‖ΔW‖/‖W0‖ held fixed, and with the count.
What lies above the loss of a model that tells nothing counts as that.
Verdicts, encoder and decoder: forgetting rises with the number of intruders: holds, holds; forgetting rises with that
number at equal size: cannot tell, does not hold; forgetting rises with the size at equal number: cannot tell, holds.

    python analyses/correlation.py [--quick]
"""

from __future__ import annotations

import dataclasses

from common import Setting, each_base, keep
from saved import COUNT, Finding, Saved, ceiling, learned, left_out

from spectra.studies.columns import FIELDS
from spectra.studies.verdicts import trend

SIZE = "relative_delta"


def measure(setting: Setting) -> None:
    """Train and measure."""
    study = setting.main_sweep()
    keep(setting, "correlation", study)
    every = Saved(setting.name, setting.results()).runs()  # with what other studies saved, as far as they were run
    keep(setting, "correlation", dataclasses.replace(study, table=every))


def decide(saved: Saved) -> Finding:
    """From the saved tables."""
    runs = saved.runs()
    keys = [name for name in FIELDS if name != "seed"]
    runs = runs.assign(setting=[" ".join(map(str, row)) for row in runs[keys].to_numpy()]).set_index("setting")
    known = learned(runs)
    count, size, forgetting = (known[column] for column in (COUNT, SIZE, "forgetting"))
    options = {"claimed": 0.5, "unit": "settings", "ceiling": ceiling(runs)}
    combined = size * known["effective_rank"] ** 0.5
    return Finding(
        "correlation",
        [
            trend("forgetting rises with the number of intruders", count, forgetting, **options),
            trend("forgetting rises with that number at equal size", count, forgetting, given=size, **options),
            trend("forgetting rises with the size at equal number", size, forgetting, given=count, **options),
        ],
        f"size alone: {trend('', size, forgetting, **options)}; size × √effective rank, which was picked among many: "
        f"{trend('', combined, forgetting, **options)}{left_out(runs)}; "
        f"{int((runs['forgetting'] > ceiling(runs)).sum())} of {len(runs)} runs above the ceiling",
    )


if __name__ == "__main__":
    each_base(measure, __doc__, decide)
