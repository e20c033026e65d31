"""Sums over singular values by stochastic Lanczos quadrature, with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .bidiagonal import bidiagonalise
from .operators import Operator

# Sixteen columns are as wide as a product stays cheap. The integrands have a root at zero, where quadrature converges
# slowly: 40 nodes leave an error below the sampling one on flat and on decaying spectra alike (tests).
NUM_PROBES, NUM_NODES = 16, 40


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    standard_error: float


def estimated_effective_rank(A: Operator, *, generator: torch.Generator | None = None) -> Estimate:
    """``exp(H(p))``, ``p = s / Σ s``, without the singular values.

    ``H = log Σ s − Σ s log s / Σ s``, and both sums are traces of functions of ``(AAᵀ)^(1/2)``: the mean over random
    sign vectors ``g`` of ``gᵀ f(AAᵀ) g``, each by the Gauss quadrature of Golub–Kahan from ``g`` (Ubaru, Chen & Saad
    2017, Algorithm 1). The standard error is that over the probes, by the delta method.

    Parameters
    ----------
    A : (m, n) operator
    generator : torch.Generator, optional
        Of the probes; seeded with 0 if not given.
    """
    if A.shape[0] > A.shape[1]:
        return estimated_effective_rank(A.mT, generator=generator)
    m = A.shape[0]
    signs = torch.randint(0, 2, (m, NUM_PROBES), generator=generator or torch.Generator().manual_seed(0)) * 2 - 1
    starts = signs.to(device=A.device, dtype=A.dtype) / math.sqrt(m)
    steps = min(NUM_NODES, m - 1)
    alphas, betas = zip(*bidiagonalise(A, starts, steps), strict=True)
    alpha, beta = (torch.stack(part, dim=1).double().cpu().numpy() for part in (alphas, betas))
    B = np.zeros((NUM_PROBES, steps, steps))
    B[:, range(steps), range(steps)] = alpha
    B[:, range(1, steps), range(steps - 1)] = beta[:, :-1]
    U, s, _ = np.linalg.svd(B)
    weights = m * U[:, 0, :] ** 2
    sums = (weights * s).sum(axis=1)  # one Σ s a probe
    logs = (weights * s * np.log(np.maximum(s, 1e-300))).sum(axis=1)
    total, log_total = sums.mean(), logs.mean()
    if total == 0:
        return Estimate(0.0, 0.0)
    value = math.exp(math.log(total) - log_total / total)
    slopes = (1 / total + log_total / total**2) * (sums - total) - (logs - log_total) / total
    return Estimate(value, value * float(slopes.std(ddof=1)) / math.sqrt(NUM_PROBES))
