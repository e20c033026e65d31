"""How large an update is and how many directions it has."""

from __future__ import annotations

from torch import Tensor

from .linalg import LowRank, effective_rank, singular_values, stable_rank


def update_measures(W0: Tensor, W: Tensor, factors: LowRank | None = None) -> dict[str, float]:
    """Size and rank of ``ΔW = W − W0``.

    Parameters
    ----------
    W0, W : Tensor, shape (out, in)
    factors : LowRank, optional
        ``ΔW`` as factors; its spectrum then costs two thin QRs instead of a dense decomposition.

    Returns
    -------
    dict
        ``effective_rank`` and ``stable_rank`` of ``ΔW``; ``base_norm`` and ``delta_norm`` (Frobenius, in the units of
        the weights); ``relative_delta = ‖ΔW‖_F / ‖W0‖_F`` (NaN for a zero base).
    """
    s = factors.svd().s if factors is not None else singular_values(W - W0)
    base_norm, delta_norm = float(W0.norm()), float(s.double().norm())
    return {
        "effective_rank": effective_rank(s),
        "stable_rank": stable_rank(s),
        "base_norm": base_norm,
        "delta_norm": delta_norm,
        "delta_spectral_norm": float(s[0]),
        "relative_delta": delta_norm / base_norm if base_norm else float("nan"),
    }
