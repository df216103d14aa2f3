"""The table that a study ends with on the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from study.results.model import CellResult, Report
from study.results.text import amounts
from study.results.text.budget import budget_lines
from study.results.text.joint import TOGETHER, joint_metric
from study.results.text.pair import advice_with_gain


def summary(report: Report) -> Group:
    """What a study ends with: for each pair its profile, its strategy and what that gains; then both encoders,
    and what they tell together where that was probed.

    Of each λ* [90 % interval], the gain there, verdict and shape.
    """
    title = f"{report.study or 'study'}{' (stand-in data)' if report.stand_in else ''}"
    lines: list[RenderableType] = [
        Text(title, style="bold"),
        _row("", "λ* [90 %]", "gain over λ = 0", "verdict", "curve"),
    ]
    for cell in report.cells:
        lines.append(Rule(style="dim"))
        lines.append(Text.assemble((cell.title, "bold"), f"   {_profile(cell)}"))
        lines.append(Text(f"  {advice_with_gain(cell)}"))
        lines += [
            _row(
                f"  {told.name}",
                amounts.strength_with_interval(told.answer),
                amounts.gain_text(told.answer, cell.metric(told.place)),
                told.answer.verdict or "no answer",
                amounts.curve_text(told.answer, cell.metric(told.place)) or "–",
            )
            for told in cell.told_encoders
        ]
        if cell.joint is not None:
            metric = joint_metric(cell)
            lines.append(
                _row(
                    f"  {TOGETHER}",
                    amounts.strength_with_interval(cell.joint),
                    amounts.gain_text(cell.joint, metric),
                    cell.joint.verdict or "no answer",
                    amounts.curve_text(cell.joint, metric) or "–",
                )
            )
    if told := budget_lines(report):
        lines.append(Rule(style="dim"))
        lines += [Text(line) for line in told]
    return Group(*lines)


def _row(*texts: str) -> Table:
    """Five columns that are aligned over all rows and fit 80 characters; what is longer goes on in the next line."""
    table = Table.grid(padding=(0, 1))
    for width in (12, 19, 24, 11, 10):
        table.add_column(width=width, overflow="fold")
    table.add_row(*(Text(text) for text in texts))
    return table


def _profile(cell: CellResult) -> str:
    profile = cell.pid
    if profile is None:
        return "" if cell.own_training and cell.dataset is None else "no profile"
    values = zip(("R", "U₁", "U₂", "S"), profile.components.values(), strict=True)
    told = "  ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in values)
    return f"{told} bits, {profile.dominant or 'none'}"
