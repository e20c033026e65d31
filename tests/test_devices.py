from __future__ import annotations

import pytest
import torch

from spectra import SpectraError, compare, examine
from spectra.devices import check_device
from spectra.linalg import LowRank
from spectra.update import Update
from tests.oracles import pico_state, tuned_state

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("method", ["exact", "certified"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_verdicts_are_those_of_the_cpu(device: str, method: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    W0 = torch.randn(300, 200, generator=generator).to(dtype)
    W = W0 + 2 * torch.randn(300, 4, generator=generator).to(dtype) @ torch.randn(4, 200, generator=generator).to(dtype)
    expected = examine(W0, W, side="both", method="exact")
    for here, there in zip(expected, examine(W0.to(device), W.to(device), side="both", method=method), strict=True):
        assert there.intruders(0.5) == here.intruders(0.5)
        assert len(here.intruders(0.5)) >= 2
        assert (there.lower.cpu() <= here.max_cosine + 1e-3).all()
        assert (here.max_cosine <= there.upper.cpu() + 1e-3).all()
        torch.testing.assert_close(there.novelty, here.novelty, atol=0.02, rtol=0)


@pytest.mark.parametrize("ranks", ["exact", "estimated"])
def test_measures_are_those_of_the_cpu(device: str, ranks: str) -> None:
    generator = torch.Generator().manual_seed(0)
    W0, W, B, A = (torch.randn(*shape, generator=generator) for shape in ((200, 180), (200, 180), (200, 3), (3, 180)))
    for tuned in (W, LowRank(B, A, 0.1)):
        there = tuned.to(device) if isinstance(tuned, torch.Tensor) else LowRank(B.to(device), A.to(device), 0.1)
        expected = Update(W0, tuned).measures(ranks)
        assert Update(W0.to(device), there).measures(ranks) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_compare_computes_there(device: str) -> None:
    base = pico_state()
    result = compare(base, tuned_state(base), device=device)
    assert result.num_intruders == compare(base, tuned_state(base)).num_intruders
    assert result.provenance["device"] == device


@pytest.mark.parametrize("name", ["cuda:99", "nowhere", "meta", ""])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(SpectraError, match="cannot be used here"):
        check_device(name)
