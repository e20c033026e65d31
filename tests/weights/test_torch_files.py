from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from spectra import CheckpointError
from spectra.weights.torch_files import open_torch

STATE = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.ones(2, dtype=torch.float16))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "module", "model_state_dict"])
def test_plain_and_wrapped_old_and_new(tmp_path: Path, wrapper: str | None, legacy: bool) -> None:
    path = tmp_path / "x.pt"
    content = STATE if wrapper is None else {"epoch": 3, wrapper: STATE, "optimizer": {"lr": 0.1}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = open_torch(path)
    assert {n: (s.shape, s.dtype) for n, s in found.items()} == {
        "a": ((2, 3), torch.float32),
        "b": ((2,), torch.float16),
    }
    torch.testing.assert_close(found["a"].load(None), STATE["a"])
    torch.testing.assert_close(found["a"].load(1), STATE["a"][1])


def test_state_dicts_inside_state_dicts_are_flattened(tmp_path: Path) -> None:
    torch.save({"model": {"encoder": STATE, "head": {"w": torch.ones(2, 2)}, "step": 3}}, tmp_path / "x.pt")
    assert set(open_torch(tmp_path / "x.pt")) == {"encoder.a", "encoder.b", "head.w"}


def test_an_optimizers_moments_are_no_weights(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"generator": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "x.pt")
    assert set(open_torch(tmp_path / "x.pt")) == {"generator.weight", "generator.bias"}
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_torch(tmp_path / "optimizer.pt")


def test_tied_tensors_share_their_storage_key(tmp_path: Path) -> None:
    weight = torch.ones(4, 2)
    torch.save({"in": weight, "out": weight, "other": torch.ones(4, 2), "part": weight[:2]}, tmp_path / "x.pt")
    found = open_torch(tmp_path / "x.pt")
    assert found["in"].storage == found["out"].storage
    assert len({s.storage for s in found.values()}) == 3


class _RunsCode:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> object:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "evil.pt"
    torch.save({"a": torch.ones(2, 2), "x": _RunsCode(proof)}, path, _use_new_zipfile_serialization=not legacy)
    # Negative control: the file does run code where it is trusted.
    torch.load(path, weights_only=False)
    assert proof.exists()
    proof.unlink()
    with pytest.raises(CheckpointError, match="refused, because it holds Python objects that would run code"):
        open_torch(path)
    assert not proof.exists()


def test_a_bare_pickle_is_refused_too(tmp_path: Path) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(_RunsCode(proof)))
    with pytest.raises(CheckpointError, match=r"evil\.bin"):
        open_torch(path)
    assert not proof.exists()


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"a": torch.zeros(100, 100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pt: not a readable PyTorch file") as caught:
        open_torch(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.ones(2)], torch.ones(2), {"state_dict": {}}])
def test_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        open_torch(tmp_path / "x.pt")
