"""A callback for transformers' Trainer: intruders, their energy and the size of the update while training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from ..intruders import BaseMatrix, check_options
from ..linalg import is_finite
from ..update import Update
from ..weights import Checkpoint, Pair, pair
from ..weights.config import Config
from ..weights.live import from_module, from_state_dict

_LOGGED = ("spectra/num_intruders", "spectra/intruder_energy_share", "spectra/spike_ratio")
_OFTEN = 10**9  # as many tuned matrices as one base may have: its decomposition always pays


class SpectraCallback(TrainerCallback):
    """Logs through the Trainer's own logging, so to TensorBoard, Weights & Biases, … and `state.log_history`.

    ``spectra/num_intruders``; ``spectra/intruder_energy_share``, ``Σ s_j² / Σ ‖W‖_F²`` over the intruders and all
    matrices; ``spectra/spike_ratio``, the largest ``σ1(ΔW) / σ1(W0)``. All NaN once a weight is not finite.

    Parameters
    ----------
    trainer : transformers.Trainer
        Its model, as it is now, is the base: make the callback before training, also where it resumes.
    every : int
        Log every so many steps, and at the end.
    steps : iterable of int
        Log at these steps instead.
    k, epsilon, include, exclude
        Of `spectra.compare`.

    Examples
    --------
    >>> trainer.add_callback(SpectraCallback(trainer, every=200))  # doctest: +SKIP
    """

    def __init__(
        self,
        trainer: Any,
        *,
        every: int = 100,
        steps: Iterable[int] = (),
        k: int = 10,
        epsilon: float = 0.5,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> None:
        check_options(k=k, epsilon=epsilon, side="left", method="auto")
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.trainer, self.every, self.steps, self.k, self.epsilon = trainer, every, frozenset(steps), k, epsilon
        self._selection = {"include": tuple(include), "exclude": tuple(exclude)}
        self._base = _snapshot(trainer.model)
        self._bases: dict[str, BaseMatrix] = {}
        self._logged = -1  # the step
        self._pairs()  # a selection that finds nothing is an error now, not at the first log

    def measure(self) -> dict[str, float]:
        """What is logged, of the trainer's model as it stands."""
        intruders, energy, whole, spike = 0, 0.0, 0.0, 0.0
        for one in self._pairs():
            W0 = one.read_base(dtype=torch.float32, device=str(self.trainer.args.device))
            tuned = one.read_tuned(W0)
            if not is_finite(tuned):  # diverged; a log is no place to end a training
                return dict.fromkeys(_LOGGED, math.nan)
            update = Update(W0, tuned)
            whole += update.norm**2
            if not float(update.directions().s[0]):
                continue
            if one.name not in self._bases:
                self._bases[one.name] = BaseMatrix(W0, "auto", self.k, _OFTEN)
            (found,) = self._bases[one.name].examine(update, self.k, "left", [self.epsilon])
            chosen = found.intruders(self.epsilon)
            intruders += len(chosen)
            energy += float((found.singular_values[chosen].double() ** 2).sum())
            if largest := float(found.base_singular_values[0]):  # none for a layer that begins at zero
                spike = max(spike, update.spectral_norm() / largest)
        return dict(zip(_LOGGED, (intruders, energy / whole if whole else 0.0, spike), strict=True))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        due = step in self.steps if self.steps else step % self.every == 0 or step == state.max_steps
        if due:
            self._log(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.steps and state.global_step != self._logged:  # stopped early
            self._log(state)

    def _log(self, state: Any) -> None:
        self._logged = state.global_step
        if state.is_world_process_zero:
            self.trainer.log(self.measure())

    def _pairs(self) -> tuple[Pair, ...]:
        return pair(self._base, from_module(self.trainer.model), **self._selection).pairs


def _snapshot(model: nn.Module) -> Checkpoint:
    """The base's weights: copies of what will be trained, the rest as it is."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    state = {
        name: tensor.clone() if name in trained else tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name and ".original_module." not in name
    }
    found = from_state_dict(state)
    config = getattr(model, "config", None)
    values = config.to_dict() if config is not None else {}
    return Checkpoint(found.label, found.kind, found.tensors, Config(values, "the model's config"))
