"""What a budget cut, in plain words: what was not placed, and what more would have bought."""

from __future__ import annotations

from study.results.model import CellResult, Report
from study.results.model.budget import BudgetResult
from study.results.text.amounts import strength_text

UNITS = {"trainings": "trainings", "minutes": "minutes", "gpu_hours": "GPU-hours"}


def amount_text(value: float) -> str:
    """An estimate in a limit's unit, as exact as it is worth reading."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def budget_text(report: Report) -> str:
    """The limits of a study's budget, and what was used of them: `90 trainings (88 used)`; "" where it has none."""
    budget = report.budget
    if budget is None:
        return ""
    known = {"trainings": report.trainings, "minutes": budget.used_minutes, "gpu_hours": budget.used_gpu_hours}
    told = []
    for name, unit in UNITS.items():
        if (limit := getattr(budget, name)) is not None:
            one = known[name]
            taken = f"{one:.3g}" if isinstance(one, float) else str(one or 0)
            told.append(f"{limit:,.10g} {unit} ({taken} used)")
    limit, used = budget.trainings or 0, report.trainings or 0
    spare = "; what is left was set aside for a confirmation of more strengths than there were" if used < limit else ""
    return ", ".join(told) + (spare if any(cell.cut and cell.cut.by == "trainings" for cell in report.cells) else "")


def cut_text(cell: CellResult) -> str:
    """What the budget cut from a pair's search and what that would have bought, as a clause; "" for nothing."""
    cut = cell.cut
    if cut is None:
        return ""
    missing = []
    if cut.strengths:
        missing.append(f"{cut.strengths} more strength{'s' * (cut.strengths > 1)}")
    if cut.one_sided:
        missing.append(f"up to {cut.one_sided} one-sided strength{'s' * (cut.one_sided > 1)}")
    told = f"budget.{cut.by or 'trainings'} left no room for {' and '.join(missing) or 'more'}"
    told += f", {'up to ' if cut.one_sided else ''}{cut.trainings} trainings"
    if cut.expected_width is not None and cut.width:
        told += (
            f": with {'the shared ones' if cut.one_sided else 'them'} the interval of the pair's λ* would be about "
            f"{strength_text(cut.expected_width)} wide, not {strength_text(cut.width)}"
        )
    return told


def remedy_text(report: Report) -> str:
    """What to do about a budget that cut something, as a sentence; "" where none did."""
    budget = report.budget or BudgetResult()
    limits = {cell.cut.by for cell in report.cells if cell.cut}
    if not limits:
        return ""
    most = f": {budget.enough} are enough for all of it" if limits == {"trainings"} and budget.enough else ""
    keys = " and ".join(f"budget.{name}" for name in UNITS if name in limits)
    return f"Raise {keys} and run the same command to go on from there{most}."


def budget_lines(report: Report) -> list[str]:
    """What the terminal says of a budget; nothing where it cut nothing."""
    cut = [f"  {cell.title}: {told}" for cell in report.cells if (told := cut_text(cell))]
    return [f"budget: {budget_text(report)}", *cut, f"  {remedy_text(report)}"] if cut else []
