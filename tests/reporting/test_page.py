from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spectra
from spectra import Comparison, ResultError, Study, compare, report
from spectra.reporting.page import _study
from spectra.reporting.words import verdict
from tests.oracles import pico_state, tuned_state

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def result() -> Comparison:
    base = pico_state(layers=3)
    base["odd<b>&name.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    tuned = tuned_state(base, scale=1.0)
    tuned["odd<b>&name.weight"] += 0.1
    return compare(base, tuned, k=6, epsilon=[0.5, 0.8])


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    rows = [
        {"run": f"r{r}-{s}", "status": "done", "method": "lora" if r else "full", "rank": r or None, "seed": s,
         "learning_rate": 1e-3, "num_intruders_0.5": 10 - r + s, "forgetting": 0.3 - 0.02 * r + 0.01 * s}
        for r in (0, 1, 8) for s in (0, 1)
    ]  # fmt: skip
    sweep = pd.DataFrame(rows).astype({"rank": float})
    lost = pd.DataFrame(
        {"model": ["base", "tuned"], "loss": [1.0, 1.4], "standard_error": [0.1, 0.1], "rise": [0.0, 0.4],
         "rise_standard_error": [0.0, 0.05]}
    )  # fmt: skip
    return [Study("sweep", sweep, {"base": "b"}), Study("forgetting", lost, {"objective": "causal"})]


def test_it_is_one_file_that_needs_nothing(result: Comparison, studies: list[Study]) -> None:
    page = report([result], studies)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "@import" not in page
    assert "odd&lt;b&gt;&amp;name" in page
    assert "odd<b>" not in page


def test_it_says_what_the_result_says(result: Comparison) -> None:
    page = report([result])
    assert result.summary() in page
    for name in result.matrices["name"]:
        assert page.count(name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) >= 2, name
    for reason in result.skipped["reason"].unique():
        assert reason in page
    assert result.provenance["versions"]["torch"] in page


def test_the_verdict_in_words(result: Comparison) -> None:
    words = verdict(result)
    assert words[0].startswith(f"{result.num_intruders} intruder dimensions")
    assert any(f"{result.count(0.8)} at ε = 0.8" in sentence for sentence in words)
    assert f"{result.at_chance_bounds()[0]} of the vectors are no nearer" in " ".join(words)
    base = pico_state(layers=1, width=140)
    bounded = compare(base, tuned_state(base, scale=0.6, rank=2), k=4, method="certified")
    least, most = bounded.at_chance_bounds()
    assert f"Between {least} and {most} (method exact tells) of the vectors" in " ".join(verdict(bounded))
    gentle = compare(pico_state(), tuned_state(pico_state(), scale=1e-3))
    assert "still has a cosine of 0.5 or more with a pretrained one" in verdict(gentle)[0]


def test_nothing_in_a_name_can_end_the_script() -> None:
    base = pico_state()
    base["x.</script><script>alert(1)//.weight"] = base["layers.0.mlp.up_proj.weight"].clone()
    page = report([compare(base, tuned_state(base) | {"x.</script><script>alert(1)//.weight": base["layers.0.mlp.up_proj.weight"] + 1})])  # fmt: skip
    assert "</script><script>alert" not in page


def test_what_is_missing_is_a_dash() -> None:
    study = Study("counts", pd.DataFrame({"run": ["a", "b"], "reason": ["x", np.nan], "n": [1.0, np.nan]}), {})
    assert ">nan<" not in _study(study)
    assert "nan" not in study.to_bytes("markdown").decode()


def test_nothing_in_a_study_can_be_markup(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    page = report([], [Study(bad, pd.DataFrame({bad: [1.0], "x": [bad]}), {bad: bad})])
    assert bad not in page
    (tmp_path / "s.json").write_bytes(Study(bad, pd.DataFrame({"x": [1]}), {}).to_bytes("json"))
    with pytest.raises(ResultError, match="unknown kind"):
        Study.read(tmp_path / "s.json")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, result: Comparison, studies: list[Study], tmp_path: Path) -> Iterator[tuple[Any, list[str]]]:
    (tmp_path / "report.html").write_text(report([result], studies), encoding="utf-8")
    page, errors = browser.new_page(viewport={"width": 1100, "height": 900}), []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else errors.append(request.url)
    )
    page.goto((tmp_path / "report.html").as_uri())
    yield page, errors
    page.close()


@pytest.mark.parametrize("heading", ["intruders", "σ1(ΔW)/σ1(W0)", "matrix"])
def test_a_heading_sorts_both_ways(opened: tuple[Any, list[str]], result: Comparison, heading: str) -> None:
    page, errors = opened
    at = [h.inner_text().rstrip(" ↕↑↓") for h in page.locator("table.rows thead th").all()].index(heading)
    column = page.locator("table.rows thead th").nth(at)

    def cells() -> list[str]:
        return [row.locator("td").nth(at).inner_text() for row in page.locator("table.rows tbody tr").all()]

    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "descending"
    down = cells()
    column.locator("button").click()
    assert column.get_attribute("aria-sort") == "ascending"
    up = cells()
    if heading == "matrix":
        assert sorted(up) == sorted(down)
        assert up == down[::-1] != down
    else:
        assert [float(v) for v in down] == sorted((float(v) for v in down), reverse=True)
        assert [float(v) for v in up] == sorted(float(v) for v in up)
        assert up != down
    assert len(up) == result.num_matrices
    assert errors == []


def test_pointing_at_a_cell_shows_its_numbers(opened: tuple[Any, list[str]], result: Comparison) -> None:
    page, errors = opened
    worst = result.worst_first().iloc[0]
    layers = [h.inner_text() for h in page.locator("table.map thead th").all()]
    row = page.locator("table.map tbody tr").filter(has=page.locator("th", has_text=worst["module"])).first
    cell = row.locator("td").nth(layers.index(str(worst["layer"])) - 1)
    assert cell.inner_text() == str(worst["num_intruders"])
    cell.hover()
    shown = page.locator("output").first.inner_text()
    assert shown.startswith(f"{worst['name']} ({worst['rows']}×{worst['cols']}): {worst['num_intruders']} intruder")
    assert f"{worst['lowest_cosine']:.3f}" in shown
    assert errors == []


def test_a_row_shows_its_singular_values(opened: tuple[Any, list[str]], result: Comparison) -> None:
    page, errors = opened
    last = result.worst_first().iloc[-1]
    page.locator("table.rows tbody tr").last.click()
    drawn = page.locator("figure.spectrum circle")
    assert drawn.count() == len(last["singular_values"])
    assert f"σ1 = {float(f'{last.singular_values[0]:.4g}'):g}" in drawn.first.inner_html()
    assert errors == []


def test_it_is_readable_at_400_pixels(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    page.set_viewport_size({"width": 400, "height": 800})
    # Nothing but the tables, each in its own frame, is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("p.verdict").first.bounding_box()["width"] > 300


def test_the_browser_tests_can_fail(browser: Any, tmp_path: Path, result: Comparison) -> None:
    broken = report([result]).replace("body.append(...rows);", "nowhere.append(...rows);")
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "broken.html").as_uri())
    page.locator("table.rows thead button").first.click()
    page.wait_for_timeout(50)
    assert errors
    page.close()


def test_it_is_a_public_name() -> None:
    assert spectra.report is report
