"""Forgetting: how much a model's loss on general text rose over the untouched base."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..devices import check_device
from ..errors import CheckpointError, SpectraError
from ..files import fingerprint
from ..text_files import read_json_object
from ..trainer.loading import (
    OBJECTIVES,
    is_causal,
    load_for_text,
    load_tokenizer,
    model_directory,
    most_tokens,
    own_random_state,
    quiet_libraries,
)
from ..trainer.tasks import load_text
from ..weights import Adapter, Checkpoint, graft, open_checkpoint
from .objectives import LOSSES, Losses, blocks, sampled, sentence_pairs
from .study import Study, versions

SELF = "self"  # the text that the base model writes itself


def forgetting(
    base: str | Path,
    tuned: Any,
    text: str | Path,
    *,
    objective: str = "auto",
    num_sequences: int = 128,
    length: int = 128,
    batch_size: int = 16,
    device: str = "cpu",
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Measure the loss of tuned models on general text against that of the base they were tuned from.

    Parameters
    ----------
    base : str or Path
        A transformers directory or hub id.
    tuned : checkpoint, adapter, or a list of them
        Every form that `spectra.compare` takes. Their weights go into the base model, which keeps its own head.
    text : str or Path
        A ``.txt`` file, a data file or hub data set with a text column, or ``"self"``: what the base (a causal model)
        writes itself at temperature 1, where the rise is the Kullback-Leibler divergence from it.
    objective : {"auto", "causal", "masked", "contrastive"}
        Next-token loss; pseudo-loss of a masked model, one position masked at a time; InfoNCE of neighbouring
        sentences for sentence encoders, whose checkpoints carry no masked-LM head. ``"auto"`` takes what the base's
        ``config.json`` says it is.
    num_sequences, length : int
        At most so many sequences (or pairs of sentences), evenly from the text, of so many tokens.
    batch_size : int
    device : str
    seed : int
        Of ``text="self"``.
    progress : callable, optional
        Called with models done, models in all, and the name of the current one.

    Returns
    -------
    Study
        A row a model, the base's first: ``model``, ``loss`` (nats a prediction), ``standard_error``, ``rise`` and
        ``rise_standard_error`` over the base on the same sequences, ``num_sequences``, ``num_predictions``; `reason`
        why one of several could not be measured, empty for the others.

    Raises
    ------
    SpectraError
        If the base is no such model, the text is too short, or no tuned one fits and has a finite loss.
    """
    reference = Reference(
        base,
        text,
        objective=objective,
        num_sequences=num_sequences,
        length=length,
        batch_size=batch_size,
        device=device,
        seed=seed,
    )
    sources = list(tuned) if isinstance(tuned, (list, tuple)) else [tuned]
    rows: list[dict[str, Any]] = [{"model": str(base), **reference.row(reference.base_losses), "reason": ""}]
    failures: list[SpectraError] = []
    for done, source in enumerate(sources):
        label = str(source) if isinstance(source, (str, Path)) else type(source).__name__
        try:
            opened = open_checkpoint(source)
            label = opened.label
            if progress:
                progress(done, len(sources), label)
            rows.append({"model": label, **reference.measure(opened), "reason": ""})
        except SpectraError as error:  # the others are measured all the same
            failures.append(error)
            rows.append({"model": label, "reason": str(error)})
    if failures and len(failures) == len(sources):
        raise failures[0]
    if progress:
        progress(len(sources), len(sources), "done")
    return Study("forgetting", pd.DataFrame(rows), reference.provenance)


class Reference:
    """The untouched base on a text: what every tuned model's loss is held against.

    Parameters are those of `forgetting`.

    Attributes
    ----------
    model : transformers model
        Holds whatever weights were last put into it.
    base_losses : Losses
    provenance : dict
    """

    def __init__(
        self,
        base: str | Path,
        text: str | Path,
        *,
        objective: str = "auto",
        num_sequences: int = 128,
        length: int = 128,
        batch_size: int = 16,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        check_device(device)
        if length < 4 or num_sequences < 2 or batch_size < 1:
            raise ValueError(
                "forgetting takes a length of at least 4, two sequences and a batch of one, got "
                f"length={length}, num_sequences={num_sequences}, batch_size={batch_size}"
            )
        directory = model_directory(base)
        self.objective = objective_of(directory) if objective == "auto" else objective
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of auto, {', '.join(OBJECTIVES)}, got {objective!r}")
        self._options: dict[str, Any] = {"batch_size": batch_size}
        with quiet_libraries():
            tokenizer = load_tokenizer(directory)
            self.model = load_for_text(directory, self.objective).to(device)
            room = most_tokens(self.model)
            if room is not None and length > room:
                raise CheckpointError(f"{base}: takes at most {room} tokens, not {length}; give a smaller --length")
            with own_random_state(seed):
                self._sequences = self._prepared(tokenizer, str(text), num_sequences, length)
        self._pristine = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.base_losses = self.losses()
        of_text = text_provenance(base, text, self.objective, len(self._sequences), length)
        self.provenance = {"base": str(base), **of_text, "seed": seed, "versions": versions()}

    def losses(self) -> Losses:
        """Those of `model` as it stands."""
        self.model.eval()
        return LOSSES[self.objective](self.model, self._sequences, **self._options)

    def restore(self) -> None:
        """Give `model` the base's weights back."""
        self.model.load_state_dict(self._pristine)

    def measure(self, tuned: Checkpoint | Adapter) -> dict[str, float]:
        """The row of one tuned checkpoint."""
        self.restore()
        graft(self.model, tuned)
        losses = self.losses()
        if not math.isfinite(losses.mean):
            raise CheckpointError(
                f"{tuned.label}: its loss on this text is {losses.mean}, as its weights hold NaN, Inf or values "
                "without bound; spectra compare says where"
            )
        return self.row(losses)

    def row(self, losses: Losses) -> dict[str, float]:
        """Loss and its rise over the base's, with standard errors."""
        return {
            "loss": losses.mean,
            "standard_error": losses.standard_error(),
            "rise": losses.mean - self.base_losses.mean,
            "rise_standard_error": losses.standard_error(self.base_losses),
            "num_sequences": len(losses.sums),
            "num_predictions": int(losses.counts.sum()),
        }

    def _prepared(self, tokenizer: Any, text: str, most: int, length: int) -> Sequence[Any]:
        if text == SELF:
            if self.objective != "causal":
                raise CheckpointError(f"{text}: only a causal language model writes its own text; name a text file")
            return sampled(self.model, tokenizer, length, most, self._options["batch_size"])
        found: Sequence[Any]
        if self.objective == "contrastive":
            self._options |= {"tokenizer": tokenizer, "length": length}
            found = sentence_pairs(load_text(text), most)
        else:
            masked = self.objective == "masked"
            if masked:
                self._options |= {"mask": tokenizer.mask_token_id, "special": set(tokenizer.all_special_ids)}
            found = blocks(load_text(text), tokenizer, length, most, masked=masked)
        if len(found) < 2:
            raise CheckpointError(f"{text}: too little text for two sequences of {length} tokens; give more of it")
        return found


def text_provenance(
    base: str | Path, text: str | Path | None, objective: str, num_sequences: int, length: int
) -> dict[str, Any]:
    """Which text (with its SHA-256) and loss forgetting was measured with."""
    if text is None:
        return {"text": None}
    return {
        "text": fingerprint(Path(text)) if Path(text).is_file() else str(text),
        "objective": objective_of(model_directory(base)) if objective == "auto" else objective,
        "num_sequences": num_sequences,
        "length": length,
    }


def objective_of(directory: Path) -> str:
    """What the model in a directory was pretrained to do, by its config.

    Raises
    ------
    CheckpointError
        If it does not say.
    """
    config = read_json_object(directory / "config.json", error=CheckpointError)
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{directory}: architectures in config.json is not a list of names; save it again")
    if is_causal(names):
        return "causal"
    if any(OBJECTIVES["masked"] in name for name in names):
        return "masked"
    shown = ", ".join(names or ["no architecture"])
    raise CheckpointError(
        f"{directory}: config.json names {shown}, no language model; choose --objective causal, masked or contrastive"
    )
