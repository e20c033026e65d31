"""Hub ids, ``org/name`` or ``org/name@revision``: fetch only the files that hold weights."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CheckpointError
from .shards import shard_names

_HUB_ID = re.compile(r"^([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*(@[\w./-]+)?$")  # the oldest have no owner: gpt2
_FILE_SUFFIX = re.compile(r"\.(safetensors|pt|pth|bin|ckpt|json|gguf|h5|onnx)$")
# Tried in this order; the first that the repository has is all that is fetched.
_CHOICES = (
    ["adapter_model.safetensors"],
    ["adapter_model.bin"],
    ["model.safetensors"],
    ["pytorch_model.bin"],
    ["*.safetensors"],
)


def looks_like_hub_id(text: str) -> bool:
    """Whether `text` could name a repository and not a local file."""
    return bool(_HUB_ID.match(text)) and not _FILE_SUFFIX.search(text)


def snapshot(hub_id: str, *, with_tokenizer: bool = False) -> tuple[Path, str]:
    """The local folder of a repository's weights, from the cache where it is there, and the commit it is of.

    With `with_tokenizer`, what a tokenizer may need beside its JSON comes along: word lists and merges, never code.

    Raises
    ------
    CheckpointError
        If the repository, the revision or its weights cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repo, _, revision = hub_id.partition("@")

    def fetch(patterns: list[str]) -> Path:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))

    try:
        folder = fetch(["*.json", "*.txt", "*.model"] if with_tokenizer else ["*.json"])
        for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
            if (folder / index).is_file():
                return fetch(shard_names(folder / index, (".safetensors", ".bin"))), folder.name
        for patterns in _CHOICES:
            folder = fetch(patterns)
            if any(any(folder.glob(pattern)) for pattern in patterns):
                break
    # LocalEntryNotFoundError is an OSError; a repository that is not there, an HfHubHTTPError.
    except (HfHubHTTPError, HFValidationError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{hub_id}: neither a local path nor a model that can be had from the hub "
            f"({str(error).strip().splitlines()[0]}); check the name, the revision and the network"
        ) from error
    return folder, folder.name
