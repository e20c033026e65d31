from __future__ import annotations

import math

import pytest
import torch

from spectra.linalg import LowRank, effective_rank
from spectra.update import Update


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    W0 = torch.diag(torch.tensor([4.0, 3.0]))
    found = Update(W0, W0 + torch.diag(torch.tensor([2.0, 2.0]))).measures()
    assert found == pytest.approx(
        {
            "effective_rank": 2.0,
            "effective_rank_error": 0.0,
            "stable_rank": 2.0,
            "base_norm": 5.0,
            "delta_norm": 8**0.5,
            "delta_spectral_norm": 2.0,
            "delta_nuclear_norm": 4.0,
            "relative_delta": 8**0.5 / 5,
            "relative_nuclear_norm": 4 / 5,
            "relative_nuclear_norm_error": 0.0,
        },
        abs=1e-5,
    )


@pytest.mark.parametrize("rank", [1, 3, 8, 16, 40])
@pytest.mark.parametrize("shape", [(420, 390), (390, 420), (400, 400)])
def test_a_merged_low_rank_update_is_seen_to_be_one(
    shape: tuple[int, int], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    W0 = _normal(*shape)
    factors = LowRank(_normal(shape[0], rank, seed=1), _normal(rank, shape[1], seed=2), 0.1)
    expected = Update(W0, factors).measures()
    calls = []
    monkeypatch.setattr(
        "spectra.update.singular_values", lambda matrix: calls.append(1) or torch.linalg.svdvals(matrix)
    )
    found = Update(W0, W0 + factors.dense()).measures()
    assert not calls
    assert abs(found["effective_rank"] - expected["effective_rank"]) <= found["effective_rank_error"] + 1e-3
    assert 0 < found["effective_rank_error"] < 0.01 * found["effective_rank"]
    difference = abs(found["relative_nuclear_norm"] - expected["relative_nuclear_norm"])
    assert difference <= found["relative_nuclear_norm_error"] < 0.01 * found["relative_nuclear_norm"]
    for name in ("stable_rank", "delta_norm", "delta_spectral_norm", "relative_delta"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)


def test_rounding_to_half_precision_makes_it_a_full_rank_one() -> None:
    W0 = _normal(200, 180).bfloat16().float()
    merged = (W0 + LowRank(_normal(200, 4, seed=1), _normal(4, 180, seed=2), 0.005).dense()).bfloat16().float()
    found = Update(W0, merged).measures()
    assert found["effective_rank_error"] == 0
    assert found["effective_rank"] == pytest.approx(effective_rank(torch.linalg.svdvals(merged - W0)))
    assert found["effective_rank"] > 20


def test_an_estimate_is_within_its_standard_errors() -> None:
    W0 = _normal(400, 300)
    W = W0 + 0.01 * _normal(400, 300, seed=1) @ torch.diag(torch.linspace(1, 0.01, 300) ** 2)
    exact, estimated = Update(W0, W).measures(), Update(W0, W).measures(ranks="estimated")
    assert exact["effective_rank_error"] == 0
    assert 0 < estimated["effective_rank_error"] < 0.03 * exact["effective_rank"]
    assert abs(estimated["effective_rank"] - exact["effective_rank"]) < 4 * estimated["effective_rank_error"]
    difference = abs(estimated["relative_nuclear_norm"] - exact["relative_nuclear_norm"])
    assert difference < 4 * estimated["relative_nuclear_norm_error"] < 0.1 * exact["relative_nuclear_norm"]
    for name in ("stable_rank", "delta_norm", "delta_spectral_norm"):
        assert estimated[name] == pytest.approx(exact[name], rel=1e-3)


def test_the_norm_of_an_unformed_matrix() -> None:
    W0, factors = _normal(30, 20), LowRank(_normal(30, 3, seed=1), _normal(3, 20, seed=2), 0.7)
    update = Update(W0, factors)
    assert update.norm == pytest.approx(float((W0 + factors.dense()).norm()), rel=1e-5)
    X = _normal(20, 5, seed=3)
    torch.testing.assert_close(update.W @ X, (W0 + factors.dense()) @ X, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        update.W.mT @ _normal(30, 2), (W0 + factors.dense()).mT @ _normal(30, 2), rtol=1e-4, atol=1e-4
    )


def test_a_zero_base_has_no_relative_size() -> None:
    assert math.isnan(Update(torch.zeros(2, 2), torch.eye(2)).measures()["relative_delta"])


SCALES = [(torch.float32, e) for e in (-38, -30, -20, -5, 0, 5, 20, 30, 37)]
SCALES += [(torch.float64, e) for e in (-300, -150, -38, 0, 38, 150, 300)]


@pytest.mark.parametrize(("dtype", "exponent"), SCALES)
@pytest.mark.parametrize("as_factors", [False, True])
def test_measures_do_not_depend_on_the_scale_of_the_weights(
    exponent: int, as_factors: bool, dtype: torch.dtype
) -> None:
    W0, B, A = (_normal(*shape, seed=seed).double() for seed, shape in enumerate([(40, 30), (40, 2), (2, 30)]))
    expected = Update(W0, LowRank(B, A, 0.3) if as_factors else W0 + 0.3 * B @ A).measures()
    scale = 10.0**exponent
    base = (scale * W0).to(dtype)
    if as_factors:  # the size may lie in the factors or beside them
        root = math.sqrt(scale)
        tuned = [
            LowRank((scale * B).to(dtype), A.to(dtype), 0.3),
            LowRank((root * B).to(dtype), (root * A).to(dtype), 0.3),
        ]
    else:
        tuned = [(scale * (W0 + 0.3 * B @ A)).to(dtype)]
    # At 1e-38 single precision has no more than 15 bits left.
    tolerance = 1e-2 if exponent == -38 else 1e-3
    for one in tuned:
        measures = Update(base, one).measures()
        for name, value in expected.items():
            if "error" in name:
                continue
            unit = scale if name == "base_norm" or name.startswith("delta") else 1
            assert measures[name] == pytest.approx(unit * value, rel=tolerance), name


def test_factors_beyond_every_number_are_refused() -> None:
    huge = torch.full((4, 1), 1e300, dtype=torch.float64)
    with pytest.raises(OverflowError):
        Update(torch.eye(4, dtype=torch.float64), LowRank(huge, huge.mT, 1.0))


def test_a_driver_that_fails_on_the_matrix_it_destroys_is_given_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from spectra import update as module

    generator = torch.Generator().manual_seed(0)
    W0, W = (torch.randn(40, 30, generator=generator) for _ in range(2))
    expected = Update(W0, W).measures()
    original = module.singular_values

    def failing(matrix: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        if overwrite:
            matrix.fill_(0)
            raise torch.linalg.LinAlgError("did not converge")
        return original(matrix)

    monkeypatch.setattr(module, "singular_values", failing)
    assert Update(W0, W).measures() == pytest.approx(expected, rel=1e-5)
