"""Models and tokenizers from a transformers directory or a hub id, and tuned weights put into them."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import CheckpointError
from ..weights.hub import looks_like_hub_id, snapshot
from .tasks import Task

# What a model is loaded as for each objective on plain text; the words are the ends of transformers' class names.
OBJECTIVES = {"causal": "ForCausalLM", "masked": "ForMaskedLM", "contrastive": ""}

# The class that transformers 5 names in the files it saves; in transformers 4 it is PreTrainedTokenizerFast.
_BY_5 = "TokenizersBackend"


def model_directory(base: str | Path) -> Path:
    """Where the model lies; a hub id is fetched.

    Raises
    ------
    CheckpointError
        If it is no transformers directory.
    """
    directory = Path(base).expanduser()
    if not directory.exists() and looks_like_hub_id(str(base)):
        directory, _ = snapshot(str(base), with_tokenizer=True)
    if not (directory / "config.json").is_file():
        raise CheckpointError(
            f"{base}: running a model needs a transformers directory (config.json, weights, tokenizer) or a hub id"
        )
    return directory


def is_causal(architectures: Sequence[str]) -> bool:
    """Whether a config's ``architectures`` name a causal language model."""
    return any("ForCausalLM" in name or "LMHead" in name for name in architectures)


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer, with something to pad with."""
    import transformers
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    kind: Any = transformers.AutoTokenizer
    try:
        if not hasattr(transformers, _BY_5) and get_tokenizer_config(directory).get("tokenizer_class") == _BY_5:
            kind = transformers.PreTrainedTokenizerFast
        tokenizer = kind.from_pretrained(directory)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(directory, error) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_for_task(directory: Path, task: Task, tokenizer: Any) -> Any:
    """The model that a task trains: with a new head of as many classes as it has labels, or the language model.

    Raises
    ------
    CheckpointError
        If it cannot be loaded, or the task has no labels and the model is no causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    try:
        if task.label_field is None:
            if not is_causal(AutoConfig.from_pretrained(directory).architectures or []):
                raise CheckpointError(
                    f"{directory}: is no causal language model, which a task without labels needs; give one, or name "
                    "the task's column of labels in label_field"
                )
            model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        else:
            model = AutoModelForSequenceClassification.from_pretrained(
                directory,
                dtype=torch.float32,
                num_labels=len(task.labels),
                id2label={index: str(label) for index, label in enumerate(task.labels)},
                label2id={str(label): index for index, label in enumerate(task.labels)},
                problem_type="single_label_classification",
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(directory, error) from error
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def load_for_text(directory: Path, objective: str) -> Any:
    """The pretrained model with the head that `objective` needs, which has to be among its weights.

    Raises
    ------
    CheckpointError
        If it cannot be loaded, or the head would be made anew: a loss under a random head says nothing.
    """
    import transformers

    kind = getattr(transformers, f"AutoModel{OBJECTIVES[objective]}")
    try:
        model, info = kind.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(directory, error) from error
    # A pooler belongs to no objective here, and many encoders are saved without one.
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        raise CheckpointError(
            f"{directory}: has no {missing[0]}, so it is no {objective} language model; "
            "choose another --objective (contrastive needs no head)"
        )
    return model.eval()


def most_tokens(model: Any) -> int | None:
    """How many tokens a sequence of the model may have; None where nothing limits it."""
    places = next(
        (m for name, m in model.named_modules() if name.endswith("position_embeddings") and hasattr(m, "padding_idx")),
        None,
    )
    if places is not None:  # RoBERTa and its kind begin to count after the place of the padding token
        return int(places.num_embeddings) - (0 if places.padding_idx is None else places.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None)


def _unusable(directory: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{directory}: cannot be loaded as a model ({' '.join(str(error).split())[:300]})")


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """The libraries draw from the global generators; seed these, and give the caller back theirs."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed)
                torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No reports on heads made anew, which is what was asked for here, and no deprecations between libraries."""
    import transformers

    transformers_logging: Any = transformers.utils.logging

    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
