"""Two checkpoints in, a table out: what the tuning did to each matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import ResultError
from .escaping import html_text, printable
from .frames import least_cosines, vectors_frame


@dataclass(frozen=True, eq=False)  # tables have no truth value to compare by
class Comparison:
    """What tuning did to the weights of one model.

    Attributes
    ----------
    base, tuned : str
        What was compared.
    k : int
        How many leading singular vectors of each tuned matrix were examined.
    epsilon : float
        The cosine below which a vector is an intruder; the first of several that were asked for.
    side : {"left", "right", "both"}
        With ``"both"``, the columns without suffix are about the left side (Definition 3.1), those ending in
        ``_right`` about the right one.
    matrices : DataFrame
        One row a matrix, in the base's order. ``max_cosine`` is the best cosine found for each vector; the greatest
        over **all** base vectors lies between ``max_cosine_lower`` and ``max_cosine_upper``. Where base values agree to
        rounding, it is the cosine with what their vectors span, and the bounds hold for any basis of that.
    skipped : DataFrame
        Columns ``name``, ``reason`` and ``problem``: what was not compared, and whether that is by design or damage.
    provenance : dict
        Files with their hashes, revisions, method, precision, device, versions, seconds; why it `failed`, if it did.
    """

    base: str
    tuned: str
    k: int
    epsilon: float
    side: str
    matrices: pd.DataFrame
    skipped: pd.DataFrame
    provenance: Mapping[str, Any]

    @property
    def failed(self) -> str:
        """Why nothing was compared, of one among several; empty where something was."""
        return str(self.provenance.get("failed", ""))

    @property
    def num_matrices(self) -> int:
        return len(self.matrices)

    @property
    def num_intruders(self) -> int:
        """Intruder dimensions over all matrices at this result's epsilon.

        Raises
        ------
        ResultError
            If nothing was compared: none is not a count.
        """
        self.check_compared()
        return int(self.matrices["num_intruders"].sum())

    @property
    def most_intruders(self) -> int:
        """`num_intruders`; of both sides that of the side with more."""
        right = self.matrices["num_intruders_right"] if self.side == "both" else pd.Series(dtype=int)
        return max(self.num_intruders, int(right.sum()))

    def check_compared(self) -> None:
        """Raise ResultError, with the reason, if nothing was compared."""
        if self.failed:
            raise ResultError(f"{self.tuned}: nothing of it was compared ({self.failed}); leave it out")

    @property
    def epsilons(self) -> list[float]:
        """Every epsilon at which the count is certain because it was asked for."""
        return list(self.provenance.get("epsilons", [self.epsilon]))

    @property
    def vectors(self) -> pd.DataFrame:
        """One row an examined singular vector.

        Columns name, side, index, max_cosine with its bounds, nearest (-1 where not determined), singular_value,
        base_singular_value, novelty (``1 − ‖Pu‖²``, ``P`` the projector on the base's ``2k`` leading vectors; NaN in
        results from before it was measured), is_intruder.
        """
        self.check_compared()
        frames = [
            vectors_frame(self.matrices, suffix) for suffix in ("", "_right") if f"max_cosine{suffix}" in self.matrices
        ]
        sides = ["left", "right"] if self.side == "both" else [self.side]
        for frame, side in zip(frames, sides, strict=True):
            frame.insert(1, "side", side)
        found = pd.concat(frames, ignore_index=True)
        found["is_intruder"] = found["max_cosine_upper"] < self.epsilon
        return found

    def count(self, epsilon: float | None = None, *, k: int | None = None) -> int:
        """Intruder dimensions at another `epsilon`, among the `k` leading vectors of each matrix.

        Raises
        ------
        ResultError
            If `k` is more than were examined, or a vector's bounds have `epsilon` between them.
        """
        limit = self.epsilon if epsilon is None else epsilon
        least, most = self.count_bounds(limit, k=k)
        if least != most:
            raise ResultError(
                f"between {least} and {most} intruders at epsilon {limit:g}, which this result was not asked for; "
                f"compare again with epsilon {limit:g} added, or with method exact"
            )
        return least

    def count_new(self, epsilon: float | None = None) -> int:
        """Of the intruders at `epsilon`, those of which more than half lies outside the base's ``2k`` leading vectors.

        The others turn these among one another.
        """
        vectors = self.vectors
        counted = vectors["max_cosine_upper"] < (self.epsilon if epsilon is None else epsilon)
        one_side = vectors["side"] == ("left" if self.side == "both" else self.side)
        return int((counted & one_side & (vectors["novelty"] > 0.5)).sum())

    def count_bounds(self, epsilon: float, *, k: int | None = None) -> tuple[int, int]:
        """The least and the greatest number of intruders at any `epsilon`; equal wherever the bounds decide.

        Raises
        ------
        ResultError
            If `k` is more than were examined.
        """
        self.check_compared()
        if k is not None and not 0 <= k <= self.k:
            raise ResultError(f"this result holds the {self.k} leading vectors, not {k}; compare again with k={k}")
        least, most = (
            sum(sum(c < epsilon for c in cosines[:k]) for cosines in bounds)
            for bounds in (self.matrices["max_cosine_upper"], least_cosines(self.matrices))
        )
        return least, most

    def at_chance_bounds(self) -> tuple[int, int]:
        """The least and the greatest number of vectors that are no nearer to the base than chance explains.

        Those whose best cosine is below the 99% point of a random direction's. The certified method stops at bounds
        below `epsilon`, which seldom decides it; the exact one always does.
        """
        self.check_compared()
        limits = self.matrices["null_cosine_q99"]
        least, most = (
            sum(sum(c < limit for c in cosines) for cosines, limit in zip(bounds, limits, strict=True))
            for bounds in (self.matrices["max_cosine_upper"], least_cosines(self.matrices))
        )
        return least, most

    def matrix(self, name: str) -> pd.Series:
        """The row of one matrix, by its name or by any part that only it has.

        Raises
        ------
        ResultError
            If none or several match.
        """
        self.check_compared()
        names = self.matrices["name"]
        hits = names[names == name] if (names == name).any() else names[names.str.contains(name, regex=False)]
        if len(hits) != 1:
            shown = ", ".join(list(hits if len(hits) else names)[:3])
            raise ResultError(f"{len(hits)} matrices of this result match {name!r}; name one of {shown}, …")
        return self.matrices.loc[hits.index[0]]

    def examined(self, name: str | None = None) -> pd.Series:
        """As `matrix`, or the worst one, and with an examined vector at least.

        Raises
        ------
        ResultError
            If none or several match, or none of its vectors was examined.
        """
        row = self.matrix(name) if name else self.worst_first().iloc[0]
        if not row["max_cosine"]:
            raise ResultError(f"{row['name']}: none of its vectors was examined ({row['note']}); choose another matrix")
        return row

    def write(self, path: str | Path) -> None:
        """Save as ``.json``, ``.csv`` or ``.parquet``; `read_comparisons` reads each of them back."""
        from .results import write_comparisons

        write_comparisons([self], path)

    @classmethod
    def read(cls, path: str | Path) -> Comparison:
        """Read one back.

        Raises
        ------
        ResultError
            If the file is not a saved comparison, or holds several.
        """
        from .results import read_comparisons

        found = read_comparisons(path)
        if len(found) != 1:
            raise ResultError(f"{path}: holds {len(found)} comparisons; use read_comparisons")
        return found[0]

    def summary(self) -> str:
        """One clause: how many intruders among how many vectors, in how many matrices."""
        if self.failed:
            return f"nothing was compared: {self.failed}"
        hit = int((self.matrices["num_intruders"] > 0).sum())
        examined = sum(map(len, self.matrices["max_cosine"]))
        return (
            f"{self.num_intruders} intruder dimension{'s' * (self.num_intruders != 1)} among {examined:,} leading "
            f"{'left' if self.side == 'both' else self.side} singular vectors (k = {self.k}, ε = {self.epsilon:g}), in "
            f"{hit} of {self.num_matrices} matrices"
        )

    def worst_first(self) -> pd.DataFrame:
        """`matrices`, most intruders first, among equals the least familiar leading vector first.

        Its ``max_cosine_upper`` is there as ``lowest_cosine``: some vector's best cosine is at most this.
        """
        self.check_compared()
        lowest = self.matrices["max_cosine_upper"].map(lambda cosines: min(cosines, default=math.nan))
        return self.matrices.assign(lowest_cosine=lowest).sort_values(
            ["num_intruders", "lowest_cosine"], ascending=[False, True], kind="stable"
        )

    def __repr__(self) -> str:
        return f"<Comparison of {self.tuned} with {self.base}: {self.summary()}>"

    def _repr_html_(self) -> str:
        title = html_text(f"{self.tuned} against {self.base}")
        head = f"<p><b>{title}</b><br>{html_text(self.summary())}; {len(self.skipped)} skipped</p>"
        if self.failed:
            return head
        shown = self.worst_first()
        shown["name"] = shown["name"].map(printable)
        columns = ["name", "rows", "cols", "num_intruders", "lowest_cosine", "effective_rank", "stable_rank"]
        columns += ["relative_delta", "spike_ratio", "intruder_energy_share"]
        table = shown[columns].to_html(index=False, max_rows=30, float_format=lambda v: f"{v:.3g}", border=0)
        return f"{head}{table}"
