"""The full singular value decomposition, in at least float32, with fallbacks where a driver does not converge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import scipy.linalg
import torch
from torch import Tensor
from torch.linalg import LinAlgError as LinAlgError  # type: ignore[attr-defined]  # documented, but not in its __all__


@dataclass(frozen=True)
class SVD:
    """Thin decomposition ``W == (U * s) @ Vh`` of an ``(m, n)`` matrix, ``p = min(m, n)``.

    Attributes
    ----------
    U : Tensor, shape (m, p)
        Left singular vectors, one a column.
    s : Tensor, shape (p,)
        Singular values, descending.
    Vh : Tensor, shape (p, n)
        Right singular vectors, one a **row**.
    driver : str
        What computed it. Anything but ``"gesdd"`` (CPU) or ``"default"`` (elsewhere) is a fallback.
    """

    U: Tensor
    s: Tensor
    Vh: Tensor
    driver: str


def svd(matrix: Tensor) -> SVD:
    """Full thin SVD of a finite matrix.

    The divide-and-conquer driver comes first; where it does not converge, QR iteration (``gesvd``) in the same
    precision, then in float64. ``SVD.driver`` says which one answered.

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
        Half precision is computed in float32; float64 stays float64.

    Raises
    ------
    ValueError
        If `matrix` is not two-dimensional, is empty, or holds NaN or Inf.
    """
    return _svd(_validated(matrix), _DRIVERS)


def singular_values(matrix: Tensor, *, overwrite: bool = False) -> Tensor:
    """Singular values of an ``(m, n)`` matrix, descending, shape ``(min(m, n),)``; precision and errors as `svd`.

    Parameters
    ----------
    overwrite : bool
        Destroy `matrix`, which on the CPU spares a copy and a workspace as large; where the driver does not converge,
        there is then nothing left to fall back on.

    Raises
    ------
    torch.linalg.LinAlgError
        With `overwrite`, if the driver does not converge.
    """
    matrix = _validated(matrix)
    try:
        if overwrite and matrix.device.type == "cpu":
            # The transposed view is what LAPACK calls a matrix, so that nothing is copied.
            columns = matrix.mT.numpy() if matrix.is_contiguous() else matrix.numpy()
            return torch.from_numpy(scipy.linalg.svdvals(columns, overwrite_a=True, check_finite=False))
        s: Tensor = torch.linalg.svdvals(matrix)
    except (LinAlgError, scipy.linalg.LinAlgError) as error:
        if overwrite:
            raise LinAlgError(str(error)) from error
        s = _svd(matrix, _DRIVERS[1:]).s
    return s


def _validated(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"expected a matrix with at least one entry, got shape {tuple(matrix.shape)}")
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    # LAPACK's divide and conquer may loop or return garbage on NaN, so look before. A finite norm has seen every entry,
    # without the memory that looking at each takes.
    if not math.isfinite(float(torch.linalg.vector_norm(matrix))) and not torch.isfinite(matrix).all():
        raise ValueError("matrix holds NaN or Inf")
    return matrix


def _default(matrix: Tensor) -> SVD:
    U, s, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return SVD(U, s, Vh, "gesdd" if matrix.device.type == "cpu" else "default")


def _qr_iteration(matrix: Tensor) -> SVD:
    if matrix.device.type == "cuda":
        U, s, Vh = torch.linalg.svd(matrix, full_matrices=False, driver="gesvd")
        return SVD(U, s, Vh, "gesvd")
    U, s, Vh = (
        torch.from_numpy(part).to(matrix.device)
        for part in scipy.linalg.svd(matrix.cpu().numpy(), full_matrices=False, lapack_driver="gesvd")
    )
    return SVD(U, s, Vh, "gesvd")


def _float64(matrix: Tensor) -> SVD:
    found = _qr_iteration(matrix.double())
    U, s, Vh = (part.to(matrix.dtype) for part in (found.U, found.s, found.Vh))
    return SVD(U, s, Vh, "gesvd in float64")


_DRIVERS: tuple[Callable[[Tensor], SVD], ...] = (_default, _qr_iteration, _float64)


def _svd(matrix: Tensor, drivers: tuple[Callable[[Tensor], SVD], ...]) -> SVD:
    for driver in drivers[:-1]:
        try:
            return driver(matrix)
        except (LinAlgError, scipy.linalg.LinAlgError):
            continue
    return drivers[-1](matrix)
