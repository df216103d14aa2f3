"""The table that a study ends with on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from study.results.reading import COMPONENTS
from study.results.text import amounts
from study.results.text import sentences as words


def summary(report: Mapping[str, Any]) -> Group:
    """What a study ends with: for each pair its profile, its strategy and what that gains; then both encoders.

    Of each encoder λ* [90 % interval], the gain there, verdict and shape.
    """
    title = f"{report['study']}{' (stand-in data)' if report['stand_in'] else ''}"
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        _row("", "λ* [90 %]", "gain over λ = 0", "verdict", "curve"),
    ]
    for cell in report["cells"]:
        parts.append(Rule(style="dim"))
        parts.append(Text.assemble((cell["label"], "bold"), f"   {_profile(cell['pid'])}"))
        parts.append(Text(f"  {words.advice_with_gain(cell)}"))
        for index, encoder in enumerate(cell["encoders"]):
            metric = cell["metrics"][index]
            parts.append(
                _row(
                    f"  {encoder['modality']}",
                    amounts.strength_with_interval(encoder) if encoder["lambda_star"] is not None else "–",
                    amounts.gain_text(encoder, metric),
                    str(encoder["verdict"] or "no answer"),
                    str(encoder["shape"] or "–"),
                )
            )
    return Group(*parts)


def _row(*texts: str) -> Table:
    """Five columns that are aligned over all rows and fit 80 characters; what is longer goes on in the next line."""
    table = Table.grid(padding=(0, 1))
    for width in (12, 19, 24, 11, 10):
        table.add_column(width=width, overflow="fold")
    table.add_row(*(Text(text) for text in texts))
    return table


def _profile(pid: Mapping[str, Any] | None) -> str:
    if pid is None:
        return "no profile"
    redundancy, unique_1, unique_2, synergy = (f"{pid[name]:.2f}" for name in COMPONENTS)
    return f"R {redundancy}  U₁ {unique_1}  U₂ {unique_2}  S {synergy} bits, {pid['dominant']}"
