"""Where to compute."""

from __future__ import annotations

import torch

from .errors import SpectraError


def check_device(device: str) -> None:
    """Raise SpectraError, in one sentence, for a device that is not there."""
    try:
        torch.zeros(1, device=device).item()  # which the meta device cannot
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        reason = str(error).split("\n")[0].rstrip(".")
        raise SpectraError(f"device {device!r} cannot be used here ({reason}); try cpu") from error
