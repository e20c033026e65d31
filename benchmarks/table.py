"""The saved results as the tables of BENCHMARKS.md."""

from __future__ import annotations

from typing import Any


def table(results: dict[str, Any]) -> str:
    """Markdown: the machine, the rows, growth and the streamed run, whichever there are."""
    parts = ["Machine: " + ", ".join(f"{name} {value}" for name, value in results["machine"].items()) + "."]
    if rows := results.get("rows"):
        lines = ["| work | peer | ratio (range) | goal | peer | ours |", "|---|---|--:|--:|--:|--:|"]
        for row in rows:
            ratio = f"**{row['ratio']:.1f}×** ({row['ratio_min']:.1f} to {row['ratio_max']:.1f})"
            goal = f"{row['goal']:g}×" if row["goal"] else ""
            times = f"{_seconds(row['peer_seconds'])} | {_seconds(row['seconds'])}"
            lines.append(f"| {row['work']} | {row['peer']} | {ratio} | {goal} | {times} |")
        parts.append("\n".join(lines))
    if agreement := results.get("agreement"):
        lines = [
            "| base | tuned by | vectors | intruders at ε = 0.3, 0.5, 0.8 | told otherwise | matrices without an SVD "
            "| exact | certified |"
        ]
        lines += ["|---|---|--:|--:|--:|--:|--:|--:|"]
        for row in agreement:
            told = f"{', '.join(map(str, row['intruders']))} | {row['different']}"
            decided = f"{row['without_svd']} of {row['matrices']}"
            decided += f" | {_seconds(row['exact_seconds'])} | {_seconds(row['seconds'])}"
            lines.append(f"| {row['model']} | {row['method']} | {row['vectors']} | {told} | {decided} |")
        parts.append("\n".join(lines))
        outside = max(0.0, *(row["outside"] for row in agreement))
        parts.append(
            f"Exact cosines lie outside of their bounds by {outside:.1g} at most."
            if outside
            else "Every exact cosine lies between its bounds."
        )
    if growth := results.get("growth"):
        lines = ["| rows | two full SVDs | `spectra.compare` | ratio |", "|--:|--:|--:|--:|"]
        for row in growth:
            times = f"{_seconds(row['peer_seconds'])} | {_seconds(row['seconds'])}"
            lines.append(f"| {row['n']} | {times} | {row['ratio']:.1f}× |")
        parts.append("\n".join(lines))
    if memory := results.get("memory"):
        lines = ["| pair of files | peak above the interpreter, in matrices | goal |", "|---|--:|--:|"]
        lines += [f"| {row['pair']} | {row['matrices']:.1f} | 3 |" for row in memory]
        parts.append("\n".join(lines))
    if one := results.get("streamed"):
        parts.append(
            f"{one['layers']} layers ({one['gigabytes']:.1f} GB in bfloat16), {one['matrices']} matrices: "
            f"{one['seconds']:.0f} s, {one['matrices_per_second']:.2f} matrices/s, peak memory {one['peak_mb']:.0f} MB "
            f"({one['interpreter_mb']:.0f} MB of it the interpreter with torch; the largest matrix is "
            f"{one['largest_matrix_mb']:.0f} MB in float32), {one['intruders']} intruders; decided: "
            + ", ".join(f"{count} {method}" for method, count in one["methods"].items())
            + "."
        )
    return "\n\n".join(parts)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"
