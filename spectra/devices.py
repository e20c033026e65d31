"""Where to compute."""

from __future__ import annotations

import torch

from .errors import SpectraError


def check_device(device: str) -> None:
    """Raise SpectraError, in one sentence, for a device that is not there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        reason = str(error).split("\n")[0].rstrip(".")
        raise SpectraError(f"device {device!r} cannot be used here ({reason}); try cpu") from error
