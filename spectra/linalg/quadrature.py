"""Sums over singular values by stochastic Lanczos quadrature, with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .bidiagonal import bidiagonalise
from .leading import Leading
from .operators import Operator

# Sixteen columns are as wide as a product stays cheap. The integrands have a root at zero, where quadrature converges
# slowly: 40 nodes leave an error below the sampling one on flat and on decaying spectra alike (tests).
NUM_PROBES, NUM_NODES = 16, 40


@dataclass(frozen=True)
class Estimate:
    """A number and its error: a standard error where it is estimated, else a bound."""

    value: float
    error: float


def estimated_sums(
    A: Operator, known: Leading, *, generator: torch.Generator | None = None
) -> tuple[Estimate, Estimate]:
    """The effective rank ``exp(H(p))``, ``p = s / Σ s``, and the nuclear norm ``Σ s``, without the singular values.

    ``H = log Σ s − Σ s log s / Σ s``, and both sums are traces of functions of ``(AAᵀ)^(1/2)``: the mean over random
    sign vectors ``g`` of ``gᵀ f(AAᵀ) g``, each by the Gauss quadrature of Golub–Kahan from ``g`` (Ubaru, Chen & Saad
    2017, Algorithm 1). The known values are added as they are and only the rest is sampled (Meyer, Musco, Musco &
    Woodruff 2021): else a few large ones, which few probes see, would carry both sums and hide from the error. The
    standard error is that over the probes, by the delta method.

    Parameters
    ----------
    A : (m, n) operator
    known : Leading
        Singular triplets of ``A``, one at least.
    generator : torch.Generator, optional
        Of the probes; seeded with 0 if not given.

    Returns
    -------
    effective_rank, nuclear_norm : Estimate
    """
    if A.shape[0] > A.shape[1]:
        return estimated_sums(A.mT, known.mT, generator=generator)
    m = A.shape[0]
    signs = torch.randint(0, 2, (m, NUM_PROBES), generator=generator or torch.Generator().manual_seed(0)) * 2 - 1
    probes = signs.to(device=A.device, dtype=A.dtype)
    for _ in range(2):
        probes = probes - known.U @ (known.U.mT @ probes)
    lengths = torch.linalg.vector_norm(probes, dim=0)
    steps = min(NUM_NODES, m - len(known.s) - 1)
    alphas, betas = zip(*bidiagonalise(A, probes / lengths, steps, without=known.U), strict=True)
    alpha, beta = (torch.stack(part, dim=1).double().cpu().numpy() for part in (alphas, betas))
    B = np.zeros((NUM_PROBES, steps, steps))
    B[:, range(steps), range(steps)] = alpha
    B[:, range(1, steps), range(steps - 1)] = beta[:, :-1]
    U, s, _ = np.linalg.svd(B)
    weights = lengths.double().cpu().numpy()[:, None] ** 2 * U[:, 0, :] ** 2
    top = known.s.cpu().numpy()
    sums = top.sum() + (weights * s).sum(axis=1)  # one Σ s a probe
    logs = _s_log_s(top).sum() + (weights * _s_log_s(s)).sum(axis=1)
    total, log_total = sums.mean(), logs.mean()
    if total == 0:
        return Estimate(0.0, 0.0), Estimate(0.0, 0.0)
    value = math.exp(math.log(total) - log_total / total)
    slopes = (1 / total + log_total / total**2) * (sums - total) - (logs - log_total) / total
    errors = (float(parts.std(ddof=1)) / math.sqrt(NUM_PROBES) for parts in (slopes, sums))
    return Estimate(value, value * next(errors)), Estimate(float(total), next(errors))


def _s_log_s(s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(s * np.log(np.maximum(s, 1e-300)))
