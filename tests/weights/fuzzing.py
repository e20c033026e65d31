"""Damaged and hostile checkpoints by the thousand: sound files of each format, changed at random.

    for made in Fuzz(target, folder, seed=0).inputs(1000): ...

Whatever comes of one is an opened checkpoint, all of whose tensors are read or refused, or one sentence.
"""

from __future__ import annotations

import json
import random
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save, save_file

from spectra import SpectraError
from spectra.weights import Adapter, open_checkpoint, pair
from spectra.weights.layout import matrices
from spectra.weights.listing import list_matrices

SECONDS = 20  # what no input may take; most take less than a thousandth
_TOKENS = [b"\x00", b"\xff", b"(", b")", b"}", b"]", b".", b"R", b"t", b"u", b"s", b"Q", b"q\x00", b"h\x00", b"c",
           b"\x81", b"b", b"\x85", b"\x8a\x09" + b"\xff" * 9, b"X\xff\xff\xff\x7f", b"ctorch._utils\n_rebuild_sparse_tensor\n",
           b"ctorch._utils\n_rebuild_qtensor\n", b"ccollections\nOrderedDict\n", b"ctorch\nSize\n", b"cbuiltins\nset\n",
           b"cos\nsystem\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06",
           b"{", b'"', b"[", b",", b":", b"null", b"1e999", b"-1", b'"F4"', b'"F6_E2M3"', b'"BOOL"', b"[0,0]",
           (1 << 63).to_bytes(8, "little"), (1 << 31).to_bytes(4, "little"), b"\n", b"\xed\xa0\x80", b"9" * 400]  # fmt: skip
_VALUES: list[Any] = [None, True, False, 0, 1, -1, 2, 3, 7, 10**9, 1 << 62, 1 << 65, 0.5, -0.0, 1e300, float("nan"),
                      float("inf"), float("-inf"), "", "x", "12", "../x.safetensors", "/etc/passwd", "a\0b", "\n", "w" * 5000,
                      [], [1], {}, {"a": 1}, [[[]]], {"model_type": "gpt2"}, "LORA", "((.*)*)*x", "(a{1000}){1000}", "[",
                      "gpt2", "dbrx", "falcon", "phi3", "gpt_neox", "llama4", "pissa", "._x.safetensors"]  # fmt: skip


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few bytes of a file changed, cut out, repeated, or put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.choice((1, 2, 8, 64))]
        elif kind == 3:
            data[at:at] = data[at : at + rng.choice((1, 8, 64))]
        elif kind == 4:
            data[at:at] = rng.choice(_TOKENS)
        elif kind == 5:
            token = rng.choice(_TOKENS)
            data[at : at + len(token)] = token
        else:
            del data[at:]
    return bytes(data)


def mutated_json(value: Any, rng: random.Random) -> Any:
    """One value somewhere in it changed, taken out, or put under another name."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        rest = {k: v for k, v in value.items() if k != key}
        kind = rng.randrange(8)
        if kind == 0:
            return rest
        if kind == 1:
            return rest | {rng.choice([str(rng.choice(_VALUES)), key + "x", rng.choice(list(value))]): value[key]}
        return value | {key: mutated_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutated_json(value[at], rng), *value[at + rng.randrange(2) :]]
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice((-1, 1, value, -value, -2 * value, 1 << 40))
    return rng.choice(_VALUES)


@dataclass(frozen=True)
class Target:
    """A format: sound inputs, how to change one, and how to write it into a folder (which gives what to open)."""

    sound: Callable[[], list[Any]]
    mutate: Callable[[Any, random.Random], Any]
    write: Callable[[Path, Any], Path]


class Fuzz:
    """A stream of changed inputs of a target, the same for the same seed."""

    def __init__(self, target: Target, folder: Path, *, seed: int) -> None:
        self._target, self._folder = target, folder
        self._rng = random.Random(seed)
        self._sound = target.sound()

    def inputs(self, count: int) -> Iterator[Path]:
        """That many, one at a time: what to open."""
        for _ in range(count):
            content = self._rng.choice(self._sound)
            for _ in range(self._rng.choice((1, 1, 2, 4))):
                content = self._target.mutate(content, self._rng)
            yield self._target.write(self._folder, content)


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path, base: Any = None) -> str:
    """What comes of an input: ``"opened"`` or the sentence; any other exception than SpectraError comes out."""
    with _no_longer_than(SECONDS):
        try:
            opened = open_checkpoint(path)
            if isinstance(opened, Adapter):
                list_matrices(opened)
                for found in pair(base, opened, include=("",)).pairs:
                    found.read_whole(found.read_base(dtype=torch.float32, device="cpu"))
            else:
                for stored in opened.tensors.values():
                    try:
                        assert tuple(stored.load(None).shape) == stored.shape
                    except SpectraError as error:
                        _one_line(error)
                for matrix in matrices(opened.tensors, opened.config)[0]:
                    assert matrix.read().shape == (matrix.rows, matrix.cols)
        except SpectraError as error:
            return _one_line(error)
    return "opened"


def _one_line(error: SpectraError) -> str:
    assert len(str(error).splitlines()) == 1, str(error)
    return str(error)


def _state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "h.0.attn.c_attn.weight": torch.randn(4, 12, generator=generator),
        "h.0.attn.c_attn.bias": torch.randn(12, generator=generator),
        "h.0.mlp.c_fc.weight": torch.randn(4, 16, generator=generator).half(),
        "h.0.mlp.experts": torch.randn(2, 4, 3, generator=generator).bfloat16(),
        "wte.weight": torch.randn(7, 4, generator=generator),
        "steps": torch.tensor(3),
    }


def _one_file(name: str) -> Callable[[Path, bytes], Path]:
    def write(folder: Path, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _torch_saved(*, legacy: bool) -> list[bytes]:
    import io
    import warnings

    weight = torch.arange(12.0).reshape(3, 4)
    contents: list[Any] = [
        _state(),
        {"model": {"a": weight, "b": weight.T, "c": torch.nn.Parameter(weight[:, 1])}, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"state_dict": {"x.weight": weight.to(torch.float8_e4m3fn), "y.weight": weight.to_sparse(), "z": weight.expand(2, 3, 4)}},
        torch.nn.Linear(3, 2).state_dict(),
    ]  # fmt: skip
    saved = []
    for content in contents:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
        saved.append(buffer.getvalue())
    return saved


def _members(content: bytes) -> dict[str, bytes]:
    import io

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _mutate_members(members: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    name = (
        next(name for name in members if name.endswith("data.pkl")) if rng.random() < 0.9 else rng.choice(list(members))
    )
    return members | {name: mutated_bytes(members[name], rng)}


def _write_members(folder: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "x.pt", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder / "x.pt"


def _mutate_header(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header is changed as JSON, and stays where it says it is."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
    except ValueError:
        return mutated_bytes(content, rng)
    text = json.dumps(mutated_json(header, rng)).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


_CONFIGS: list[dict[str, Any]] = [
    {"model_type": "gpt2", "n_head": 2, "tie_word_embeddings": True},
    {"model_type": "dbrx", "n_heads": 4, "d_model": 8, "attn_config": {"kv_n_heads": 2}},
    {"model_type": "falcon", "num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True},
    {"model_type": "phi3", "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 8},
    {"model_type": "gpt_neox", "num_attention_heads": 2},
    {"model_type": "llama4", "text_config": {"model_type": "llama4_text", "num_attention_heads": 2}},
]
_FUSED = ("h.0.attn.c_attn", "blocks.0.Wqkv", "h.0.query_key_value", "layers.0.qkv_proj", "layers.0.gate_up_proj")


def _write_config(folder: Path, config: Any) -> Path:
    if not (folder / "model.safetensors").exists():
        save_file({f"{name}.weight": torch.randn(16, 8) for name in _FUSED}, folder / "model.safetensors")
    (folder / "config.json").write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
    return folder


def _json_or_bytes(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bytes):
        return mutated_bytes(value, rng)
    return mutated_bytes(json.dumps(value).encode(), rng) if rng.random() < 0.2 else mutated_json(value, rng)


def _write_index(folder: Path, index: Any) -> Path:
    for name in ("a.safetensors", "b.safetensors"):
        if not (folder / name).exists():
            save_file({f"{name}.weight": torch.ones(2, 2)}, folder / name)
    path = folder / "model.safetensors.index.json"
    path.write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
    return path


ADAPTER_CONFIG = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": False, "init_lora_weights": True, "target_modules": ["q_proj"],
    "alpha_pattern": {"q_proj": 3, r"layers\.\d+\.v_proj": 5}, "rank_pattern": {}, "modules_to_save": None,
}  # fmt: skip
_ADAPTER_SHAPES: dict[str, list[int]] = {
    "base_model.model.layers.0.q_proj.lora_A.weight": [2, 4],
    "base_model.model.layers.0.q_proj.lora_B.weight": [6, 2],
    "base_model.model.layers.0.q_proj.lora_magnitude_vector": [6],
    "base_model.model.layers.0.v_proj.lora_A.weight": [2, 4],
    "base_model.model.layers.0.v_proj.lora_B.weight": [4, 2],
    "base_model.model.conv.lora_A.weight": [2, 3, 2, 2],
    "base_model.model.conv.lora_B.weight": [5, 2, 1, 1],
    "base_model.model.embed_tokens.lora_embedding_A": [2, 9],
    "base_model.model.embed_tokens.lora_embedding_B": [4, 2],
    "base_model.model.lm_head.weight": [9, 4],
    "base_model.model.layers.0.q_proj.lora_B.bias": [6],
}
ADAPTER_BASE = {
    "layers.0.q_proj.weight": torch.ones(6, 4),
    "layers.0.v_proj.weight": torch.ones(4, 4),
    "conv.weight": torch.ones(5, 3, 2, 2),
    "embed_tokens.weight": torch.ones(9, 4),
    "lm_head.weight": torch.ones(9, 4),
}
_KINDS = [torch.float32] * 6 + [
    torch.float16,
    torch.int8,
    torch.int64,  # complex numbers are none that the library writes at the lower bound
    torch.float8_e4m3fn,
    torch.bool,
    torch.float64,
]


def _write_adapter_config(folder: Path, config: Any) -> Path:
    if not (folder / "adapter_model.safetensors").exists():
        _write_adapter(folder, [(name, shape, 0) for name, shape in _ADAPTER_SHAPES.items()])
    (folder / "adapter_config.json").write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
    return folder


def _mutate_adapter(entries: list[tuple[str, list[int], int]], rng: random.Random) -> list[tuple[str, list[int], int]]:
    """A factor lost, renamed, of another shape or of another type."""
    entries = list(entries)
    at = rng.randrange(len(entries)) if entries else 0
    kind = rng.randrange(6)
    if not entries or kind == 0:
        return entries[:at] + entries[at + 1 :]
    name, shape, dtype = entries[at]
    if kind == 1:
        name = rng.choice(
            [name.replace("lora_A", "lora_B"), name.replace("0.", "1."), name + "x", rng.choice(entries)[0]]
        )
    elif kind == 2:
        dtype = rng.randrange(len(_KINDS))
    elif kind == 3:
        shape = rng.choice([[], [0], [*shape, 1], shape[1:], shape[::-1], [0, *shape[1:]]])
    else:
        shape = [size + rng.choice((0, 0, 1, -1, size)) for size in shape]
    entries[at] = (name, [max(size, 0) for size in shape], dtype)
    return entries


def _write_adapter(folder: Path, entries: list[tuple[str, list[int], int]]) -> Path:
    content = save({name: torch.ones(shape).to(_KINDS[dtype]) for name, shape, dtype in entries})
    (folder / "adapter_model.safetensors").write_bytes(content)
    if not (folder / "adapter_config.json").exists():
        (folder / "adapter_config.json").write_text(json.dumps(ADAPTER_CONFIG))
    return folder


TARGETS = {
    "safetensors bytes": Target(lambda: [save(_state())], mutated_bytes, _one_file("x.safetensors")),
    "safetensors header": Target(lambda: [save(_state())], _mutate_header, _one_file("x.safetensors")),
    "zip bytes": Target(lambda: _torch_saved(legacy=False), mutated_bytes, _one_file("x.pt")),
    "zip pickle": Target(
        lambda: [_members(content) for content in _torch_saved(legacy=False)], _mutate_members, _write_members
    ),
    "old format": Target(lambda: _torch_saved(legacy=True), mutated_bytes, _one_file("x.bin")),
    "index": Target(
        lambda: [{"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}],
        _json_or_bytes,
        _write_index,
    ),
    "config": Target(lambda: list(_CONFIGS), _json_or_bytes, _write_config),
    "adapter config": Target(lambda: [ADAPTER_CONFIG], _json_or_bytes, _write_adapter_config),
    "adapter tensors": Target(
        lambda: [[(name, shape, 0) for name, shape in _ADAPTER_SHAPES.items()]], _mutate_adapter, _write_adapter
    ),
}
