from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra import Comparison, ResultError, compare
from tests.oracles import paper_max_cosines, pico_state, tuned_state


@pytest.fixture(scope="module")
def result() -> Comparison:
    base = pico_state(layers=3)
    return compare(base, tuned_state(base, scale=1.0), k=6)


def test_counts_at_any_threshold_and_k_equal_the_papers(result: Comparison) -> None:
    base = pico_state(layers=3)
    tuned = tuned_state(base, scale=1.0)
    cosines = [paper_max_cosines(base[n], tuned[n], 6) for n in base if "proj" in n]
    for epsilon in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert result.count(epsilon) == sum(int((c < epsilon).sum()) for c in cosines)
        for k in (0, 1, 3, 6):
            assert result.count(epsilon, k=k) == sum(int((c[:k] < epsilon).sum()) for c in cosines)
    assert result.count() == result.num_intruders == result.count(0.5)


def test_more_vectors_than_were_examined_cannot_be_counted(result: Comparison) -> None:
    with pytest.raises(ResultError, match="compare again with k=7"):
        result.count(k=7)


def test_one_row_a_vector(result: Comparison) -> None:
    vectors = result.vectors
    assert len(vectors) == 6 * 6
    assert vectors["is_intruder"].sum() == result.num_intruders
    assert vectors["index"].tolist() == list(range(6)) * 6
    assert set(vectors["side"]) == {"left"}


def test_worst_first_and_finding_a_matrix(result: Comparison) -> None:
    counts = result.worst_first()["num_intruders"].tolist()
    assert counts == sorted(counts, reverse=True)
    assert result.matrix("layers.1.mlp.up_proj")["name"] == "layers.1.mlp.up_proj"
    assert result.matrix("2.mlp")["name"] == "layers.2.mlp.up_proj"
    for part, found in (("mlp", 3), ("nothing", 0)):
        with pytest.raises(ResultError, match=f"{found} matrices of this result match '{part}'"):
            result.matrix(part)


def test_shows_itself(result: Comparison) -> None:
    shown = result._repr_html_()
    assert "layers.0.self_attn.q_proj" in shown
    assert f"{result.num_intruders} intruder dimensions among 36" in shown
    assert result.summary() in repr(result)


@pytest.fixture(scope="module")
def certified() -> Comparison:
    base = pico_state(layers=1, width=140)
    return compare(base, tuned_state(base, scale=0.6, rank=2), k=4, epsilon=[0.5, 0.8], method="certified")


def test_counts_are_certain_where_they_were_asked_for(certified: Comparison) -> None:
    assert (certified.matrices["method"] == "certified").all()
    base = pico_state(layers=1, width=140)
    tuned = tuned_state(base, scale=0.6, rank=2)
    cosines = [paper_max_cosines(base[n], tuned[n], 4) for n in base if "proj" in n]
    assert certified.epsilons == [0.5, 0.8]
    assert certified.epsilon == 0.5
    for epsilon in certified.epsilons:
        assert certified.count(epsilon) == sum(int((c < epsilon).sum()) for c in cosines)
    for epsilon in (0.1, 0.2, 0.3, 0.4, 0.6, 0.9):
        least, most = certified.count_bounds(epsilon)
        assert least <= sum(int((c < epsilon).sum()) for c in cosines) <= most


def test_a_count_that_the_bounds_leave_open_is_refused(certified: Comparison) -> None:
    least, most = certified.count_bounds(0.2)
    assert least < most
    with pytest.raises(ResultError, match=f"between {least} and {most} intruders at epsilon 0.2.*compare again with"):
        certified.count(0.2)


def test_what_is_certain_survives_being_saved(certified: Comparison, tmp_path: Path) -> None:
    for suffix in ("json", "csv", "parquet"):
        certified.write(tmp_path / f"r.{suffix}")
        again = Comparison.read(tmp_path / f"r.{suffix}")
        assert again.count_bounds(0.2) == certified.count_bounds(0.2)
        assert again.epsilons == certified.epsilons


def test_results_from_before_there_were_bounds_are_exact(result: Comparison, tmp_path: Path) -> None:
    result.write(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    for row in document["matrices"]:
        del row["max_cosine_lower"], row["max_cosine_upper"]
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert Comparison.read(tmp_path / "r.json").count(0.7) == result.count(0.7)


def test_how_many_are_at_chance_is_known_as_far_as_the_bounds_go(certified: Comparison) -> None:
    base = pico_state(layers=1, width=140)
    tuned = tuned_state(base, scale=0.6, rank=2)
    exact = compare(base, tuned, k=4, epsilon=[0.5, 0.8], method="exact")
    limits = exact.matrices.set_index("name")["null_cosine_q99"]
    cosines = {n.removesuffix(".weight"): paper_max_cosines(base[n], tuned[n], 4) for n in base if "proj" in n}
    true = sum(int((found < limits[name]).sum()) for name, found in cosines.items())
    assert exact.at_chance_bounds() == (true, true)
    assert true > 0
    least, most = certified.at_chance_bounds()
    assert least < true <= most  # the lower number alone would be wrong
