"""From stored tensors to matrices ``(out, in)``: orientation, fused projections, experts, convolutions, ties."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .config import Config
from .fused import Rows, fused_rows
from .stored import Skipped, Stored

# Architectures whose linear layers are transformers' Conv1D, stored (in, out), and the layers concerned.
_CONV1D_MODELS = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"}
_CONV1D_LAYERS = {"c_attn", "q_attn", "c_fc", "c_proj"}
# Architectures whose stacked experts are stored (expert, in, out); the others are (expert, out, in). Asked only where
# the shapes do not tell: files and models of one architecture may differ, and so may versions of transformers.
_TRANSPOSED_EXPERTS = {"gpt_oss", "llama4", "llama4_text", "aria", "aria_text", "openai_privacy_filter"}
_GATE_UP = re.compile(r"gate_up_proj(\.weight)?$")
_DOWN = re.compile(r"down_proj(\.weight)?$")
# What a config's tie_word_embeddings ties.
_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_INPUT = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings)\.weight$")
# Parameters of two dimensions and more that multiply nothing: biases of experts, tables of positions, Mamba's A.
_NO_LAYER = re.compile(r"(bias|bias_table|A_log)$")
# More than any model has. A few megabytes can claim a million matrices of one value each.
_MOST_EXPERTS = 4_096
_MOST_MATRICES = 200_000
_FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}


@dataclass(frozen=True)
class Matrix:
    """One matrix of a checkpoint, not yet read.

    Attributes
    ----------
    name : str
        The tensor's name without ``.weight``; parts of a tensor carry theirs in brackets: ``…c_attn[q]``,
        ``…experts.gate_up_proj[7]``.
    rows, cols : int
        Output and input size.
    tensor : str
        Name of the tensor it lies in.
    stored : Stored
    transposed : bool
        Whether the tensor is stored (in, out).
    expert : int or None
        Entry of the first axis.
    parts : tuple of range, or None
        Rows of the whole matrix that belong to this part of a fused one.
    """

    name: str
    rows: int
    cols: int
    tensor: str
    stored: Stored
    transposed: bool = False
    expert: int | None = None
    parts: Rows | None = None

    def read(self, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
        """The matrix, shape (rows, cols)."""
        tensor = self.stored.load(self.expert)
        if self.transposed:
            tensor = tensor.mT
        return take_rows(tensor.reshape(-1, self.cols), self.parts).to(device=device, dtype=dtype)

    def write(self, W: Tensor) -> None:
        """Overwrite the matrix by `W`, shape (rows, cols) or fewer rows; for tensors in memory, not in files."""
        tensor = self.stored.load(self.expert)
        whole = (tensor.mT if self.transposed else tensor).view(-1, self.cols)
        done = 0
        for part in self.parts or (range(len(W)),):
            whole[part.start : part.stop] = W[done : done + len(part)]
            done += len(part)


def take_rows(matrix: Tensor, parts: Rows | None) -> Tensor:
    """The rows of one part of a fused matrix; all of them for None."""
    if parts is None:
        return matrix
    blocks = [matrix[part.start : part.stop] for part in parts]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def matrices(tensors: Mapping[str, Stored], config: Mapping[str, Any]) -> tuple[list[Matrix], list[Skipped]]:
    """Every matrix of a checkpoint in its own order, and every tensor that is none, with the reason."""
    config = Config.of(config)
    language = config.section("text_config")
    model_types = {config.text("model_type"), language.text("model_type")}
    config = Config({**language, **config}, config.source)
    conv1d = bool(model_types & _CONV1D_MODELS) or _biases_show_conv1d(tensors)
    ties = _ties(tensors, config)
    found: list[Matrix] = []
    skipped: list[Skipped] = []
    for tensor_name, stored in tensors.items():
        name = tensor_name.removesuffix(".weight")
        if tensor_name in ties:
            skipped.append(Skipped(name, f"tied to {ties[tensor_name].removesuffix('.weight')}, which is counted"))
        elif reason := _not_a_matrix(tensor_name, stored, tensors):
            skipped.append(reason)
        elif len(stored.shape) == 3 and "conv" not in tensor_name:  # a stack of experts, whatever it is called
            told = _shapes_tell_transposed(tensor_name, tensors)
            transposed = bool(model_types & _TRANSPOSED_EXPERTS) if told is None else told
            whole = _oriented(name, tensor_name, stored, stored.shape[1:], transposed)
            found += [replace(whole, name=f"{name}[{i}]", expert=i) for i in range(stored.shape[0])]
            if len(found) > _MOST_MATRICES:
                raise CheckpointError(
                    f"{stored.where}: the experts up to here are {len(found)} matrices, more than any model has; "
                    "check that it is the right file"
                )
        else:
            transposed = conv1d and name.rsplit(".", 1)[-1] in _CONV1D_LAYERS and len(stored.shape) == 2
            whole = _oriented(name, tensor_name, stored, stored.shape, transposed)
            parts = fused_rows(tensor_name, whole.rows, config)
            found += [
                replace(whole, name=f"{name}[{part}]", rows=sum(map(len, rows)), parts=rows)
                for part, rows in parts.items()
            ] or [whole]
    return found, skipped


def _oriented(name: str, tensor: str, stored: Stored, shape: tuple[int, ...], transposed: bool) -> Matrix:
    rows = shape[0]
    cols = math.prod(shape[1:])  # a convolution is (out, in·kh·kw)
    if transposed:
        rows, cols = cols, rows
    return Matrix(name, rows, cols, tensor, stored, transposed)


def _not_a_matrix(tensor_name: str, stored: Stored, tensors: Mapping[str, Stored]) -> Skipped | None:
    name = tensor_name.removesuffix(".weight")
    if stored.unreadable:
        return Skipped(name, stored.unreadable, problem=True)
    if len(stored.shape) < 2:
        if stored.shape == (0,) and tensor_name.endswith("weight"):
            return Skipped(name, "empty, shape [0]: a ZeRO-3 shard that was saved without gathering", problem=True)
        return Skipped(name, f"not a matrix: {len(stored.shape)}-D")
    if _NO_LAYER.search(tensor_name):
        return Skipped(name, "not a layer's matrix: a bias or a table")
    if 0 in stored.shape:
        return Skipped(name, f"empty: shape {list(stored.shape)}", problem=True)
    if len(stored.shape) == 3 and "conv" not in tensor_name and stored.shape[0] > _MOST_EXPERTS:
        return Skipped(name, f"shape {list(stored.shape)} would be {stored.shape[0]} experts", problem=True)
    if stored.dtype not in _FLOATS:
        kind = str(stored.dtype).removeprefix("torch.")
        if any(f"{name}{suffix}" in tensors for suffix in (".weight_scale", ".weight_scale_inv", ".weight.absmax")):
            return Skipped(name, f"quantized ({kind} with scales): dequantize it first", problem=True)
        is_weight = tensor_name.endswith(("weight", "_blocks"))  # MXFP4 keeps experts as blocks
        return Skipped(name, f"stored as {kind}, which is not a weight type spectra reads", problem=is_weight)
    return None


def _shapes_tell_transposed(tensor_name: str, tensors: Mapping[str, Stored]) -> bool | None:
    """Whether experts are (in, out), from the shapes of both of a layer's stacks; None where these do not tell.

    Gate and up together are (2f, h) where down is (h, f); transposed, (h, 2f) and (f, h). No sizes fit both.
    """
    gate_up = tensors.get(_DOWN.sub(r"gate_up_proj\1", tensor_name))
    down = tensors.get(_GATE_UP.sub(r"down_proj\1", tensor_name))
    if gate_up is None or down is None or not len(gate_up.shape) == len(down.shape) == 3:
        return None
    _, rows, cols = gate_up.shape
    return {(cols, rows / 2): False, (cols / 2, rows): True}.get(down.shape[1:])


def _biases_show_conv1d(tensors: Mapping[str, Stored]) -> bool:
    """Without a config, a bias tells the output side: as long as the second axis and not the first means Conv1D."""
    for name, stored in tensors.items():
        if name.endswith(("c_fc.weight", "c_attn.weight")) and len(stored.shape) == 2:
            bias = tensors.get(name.removesuffix("weight") + "bias")
            if bias is not None and stored.shape[0] != stored.shape[1]:
                return bias.shape == (stored.shape[1],)
    return False


def _ties(tensors: Mapping[str, Stored], config: Config) -> dict[str, str]:
    """Tensors that repeat an earlier one, with the name of that one."""
    ties: dict[str, str] = {}
    seen: dict[Any, str] = {}
    for name, stored in tensors.items():
        if stored.storage is not None and 0 not in stored.shape:
            first = seen.setdefault(stored.storage, name)
            if first != name:
                ties[name] = first
    if config.flag("tie_word_embeddings"):
        for head in filter(_OUTPUT.search, tensors):
            for name in filter(_INPUT.search, tensors):
                if head not in ties and tensors[head].shape == tensors[name].shape:
                    ties[head] = name
    return ties
