"""The tables of the page, as HTML text; every value escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from study.results.model import CellResult, CrossedPoint, GainResult, JointResult, SubjectResult
from study.results.page.parts import escaped
from study.results.text import amounts
from study.results.text.beforehand import profile_text
from study.results.text.joint import TOGETHER, joint_metric
from study.results.text.pair import advice_with_gain, is_unaligned, reason_text, strategy_name
from trainables.metrics.scores import LOWER

_SIMILARITIES = {"cka": "CKA", "svcca": "SVCCA", "mutual_knn": "mutual k-NN"}  # the columns, and their heads


def answer_table(cells: Sequence[CellResult]) -> str:
    """One group of rows per pair: its strategy and profile, then each encoder. Cards on a narrow screen."""
    columns = ("Encoder", "λ* [90 %]", "Score at λ = 0", "Gain [90 %]", "p (Holm)", "Verdict", "Curve")
    rows = []
    for position, cell in enumerate(cells, start=1):
        title = f"{position} · {cell.title}: {advice_with_gain(cell)}"
        rows.append(
            f'<tr class="pair"><th scope="rowgroup" colspan="{len(columns)}">{escaped(title)}'
            f"{_small(profile_text(cell))}</th></tr>\n"
        )
        for index, name, answer in cell.told_encoders:
            baseline = answer.baseline.mean if answer.baseline else None
            rows.append(_answer_row(name, answer, columns, metric=cell.metric(index), baseline=baseline))
        if cell.joint:
            change = cell.joint.change
            baseline = change.at_zero if change and change.gain and change.gain.source == "confirm" else None
            name = f"{TOGETHER}, by a probe"
            rows.append(_answer_row(name, cell.joint, columns, metric=joint_metric(cell), baseline=baseline))
    head = "".join(f'<th scope="col"{_numeric(0 < i < 5)}>{label}</th>' for i, label in enumerate(columns))
    caption = (
        "The strategy in the first line of each pair weighs both encoders; its gain is that of the pair as one. λ* is "
        "each encoder's own best strength when one λ is shared; gain and p are those of the difference to λ = 0 there, "
        "or at the strength named: where the searched curve is highest, if λ* is 0. On test rows, unless marked."
    )
    table = f'<table class="answer"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{"".join(rows)}'
    return _scrolling(f"{table}</tbody></table>", "Answers of every pair and encoder")


def _answer_row(
    name: str, answer: SubjectResult, columns: Sequence[str], *, metric: str, baseline: float | None
) -> str:
    verdict = answer.verdict or "–"
    values = (
        amounts.strength_with_interval(answer),
        amounts.score_text(baseline, metric),
        amounts.gain_text(answer, metric),
        amounts.p_text(amounts.told_gain(answer)[0]),
        verdict,
        amounts.curve_text(answer, metric) or "–",
    )
    styles = ("n", "n", "n", "n", verdict if verdict in ("align", "avoid") else "", "")
    cells = "".join(
        f'<td class="{style}" data-label="{escape(label)}">{escaped(value)}</td>'
        for label, value, style in zip(columns[1:], values, styles, strict=True)
    )
    return f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>\n'


def _small(text: str) -> str:
    return f"<small>{escaped(text)}</small>" if text else ""


def alternatives_table(cell: CellResult) -> str:
    """What each strategy would have given, the chosen one in bold."""
    if cell.has_one_score:  # there is one, and the table above has its gain
        return ""
    choice, metrics = cell.pair_choice, (cell.metric(0), cell.metric(1))
    both = amounts.common_metric(*metrics)
    rows = []
    for alternative in choice.alternatives:
        chosen = alternative.strategy == choice.strategy
        gains = [gain or GainResult() for gain in alternative.gains]
        mean = alternative.gain_mean or GainResult()
        told = [
            *(amounts.gain_with_interval(gain, metric) for gain, metric in zip(gains, metrics, strict=False)),
            amounts.gain_with_interval(mean, both),
            amounts.p_text(mean),
        ]
        if is_unaligned(alternative):  # there is nothing to gain over λ = 0
            told = ["–"] * len(told)
        values = [" / ".join(map(amounts.strength_text, alternative.strengths or ())), *told]
        label = escaped(strategy_name(cell, alternative.strategy or "–")) + (" (chosen)" if chosen else "")
        rows.append(_row(label, values, style="chosen" if chosen else ""))
    if not rows:
        return ""
    heads = [
        "λ₁ / λ₂",
        *(f"{name}, {amounts.gain_unit(metric)}" for name, metric in zip(cell.names, metrics, strict=True)),
        f"the pair as one, {amounts.gain_unit(both)}",
        "p of that (Holm)",
    ]
    reason = f" Why: {escaped(why)}." if (why := reason_text(cell)) else ""
    caption = f"What each way of aligning gives over λ = 0.{reason}"
    return _table("Strategy", heads, rows, caption=caption, label="Strategies compared")


def curve_table(cell: CellResult) -> str:
    """The numbers behind the curves, all in validation, folded away."""
    rows = []
    told = cell.told_encoders
    similar = _SIMILARITIES if any(point.similarities for point in cell.alignment) or not cell.own_training else {}
    numbers = {point.strength: point.numbers for point in cell.other_numbers}
    other = list(dict.fromkeys(name for point in cell.other_numbers for name in point.numbers))
    joint = cell.joint or JointResult()
    together, metric = dict(joint.means), joint_metric(cell)
    crossed = {point.strength: point for point in joint.crossed}
    for at in cell.by_strength:
        values = []
        for index, point in list(enumerate(at.points))[: len(told)]:
            values += [
                amounts.score_text(point.mean, cell.metric(index)),
                amounts.spread_text(point.sd, cell.metric(index)),
                f"{point.seeds or 0}" + (f" (+{point.diverged} diverged)" if point.diverged else ""),
            ]
        values += [amounts.score_text(together.get(at.strength), metric)] if together else []
        if crossed:
            across = crossed.get(at.strength, CrossedPoint())
            told_of_both = (across.encoder_1, cell.metric(1)), (across.encoder_2, cell.metric(0))
            values += [amounts.score_text(mean, own) for mean, own in told_of_both]
        values += [_decimal(at.similarities.get(name)) for name in similar]
        values += [_decimal(numbers.get(at.strength, {}).get(name)) for name in other]
        rows.append(_row(f"{at.strength:.4g}", values))
    if not rows:
        return ""
    heads = [
        f"{name} {what}"
        for index, name, _ in told
        for what in ("mean", f"sd, {amounts.gain_unit(cell.metric(index))}", "seeds")
    ]
    heads += [f"{TOGETHER} mean"] if together else []
    first, second = cell.names
    heads += [f"{first} on the target of {second}", f"{second} on that of {first}"] if crossed else []
    table = _table("λ", [*heads, *similar.values(), *other], rows, label="Scores at every strength")
    return f"<details><summary>The numbers behind the curves, in validation</summary>\n{table}</details>\n"


def scores_table(cell: CellResult) -> str:
    """Every score of both encoders at λ = 0 and at λ*, the one that decides in bold, folded away."""
    rows = []
    for _, name, answer in cell.told_encoders:
        for one in answer.scores:
            metric = f"{LOWER}{one.score}" if one.better == "lower" else str(one.score)
            values = [_told(one.at_zero, metric), _told(one.at_star, metric), str(one.better)]
            head = f"{name}: {amounts.score_name(metric)}" + (" (decides)" if one.decides else "")
            rows.append(_row(escaped(head), values, style="chosen" if one.decides else ""))
    if not rows:
        return ""
    table = _table("Score", ["at λ = 0", "at λ*", "better is"], rows, label="All scores at λ = 0 and at λ*")
    return f"<details><summary>All scores at λ = 0 and at λ*, on test rows</summary>\n{table}</details>\n"


def _told(value: float | None, metric: str) -> str:
    """A score that is not turned, as people read it."""
    return amounts.score_text(None if value is None else amounts.as_told(value, metric), metric)


def _table(corner: str, heads: Sequence[str], rows: Sequence[str], *, label: str, caption: str = "") -> str:
    head = "".join(f'<th scope="col" class="n">{escaped(name)}</th>' for name in heads)
    told = f"<caption>{caption}</caption>" if caption else ""
    body = f'<thead><tr><th scope="col">{corner}</th>{head}</tr></thead><tbody>\n{"".join(rows)}</tbody>'
    return _scrolling(f"<table>{told}{body}</table>", label)


def _row(head: str, values: Sequence[str], *, style: str = "") -> str:
    cells = "".join(f'<td class="n">{escaped(value)}</td>' for value in values)
    return f'<tr class="{style}"><th scope="row">{head}</th>{cells}</tr>\n'


def _scrolling(table: str, label: str) -> str:
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>\n'


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _numeric(is_number: bool) -> str:
    return ' class="n"' if is_number else ""
