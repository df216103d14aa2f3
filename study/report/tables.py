"""The tables of the page, as HTML text; every value escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from study.report import amounts, reading, words
from study.report.reading import Part, number, part, parts


def escaped(value: object) -> str:
    """A value as text in HTML."""
    return escape(str(value))


def answer_table(cells: Sequence[Part]) -> str:
    """One group of rows per pair: its strategy and profile, then each encoder. Cards on a narrow screen."""
    columns = ("Encoder", "λ* [90 %]", "Score at λ = 0", "Gain [90 %]", "p (Holm)", "Verdict", "Curve")
    rows = []
    for position, cell in enumerate(cells, start=1):
        title = f"{position} · {reading.label_of(cell)}: {words.advice(cell)}"
        rows.append(
            f'<tr class="pair"><th scope="rowgroup" colspan="{len(columns)}">{escaped(title)}'
            f"<small>{escaped(words.profile_text(cell))}</small></th></tr>\n"
        )
        for index, entry in enumerate(parts(cell, "encoders")[:2]):
            rows.append(_encoder_row(cell, index, entry, columns))
    head = "".join(f'<th scope="col"{_numeric(0 < i < 5)}>{label}</th>' for i, label in enumerate(columns))
    caption = (
        "λ* is each encoder's own best strength when one λ is shared; the gain is the difference to λ = 0 there, on "
        "the test split; where λ* is 0, what the strongest alignment costs in validation. The strategy in the first "
        "line of each pair weighs both encoders."
    )
    table = f'<table class="answer"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{"".join(rows)}'
    return _scrolling(f"{table}</tbody></table>", "Answers of every pair and encoder")


def _encoder_row(cell: Part, index: int, entry: Part, columns: Sequence[str]) -> str:
    metric, gain = reading.metric_of(cell, index), part(entry, "gain_over_zero")
    verdict = str(entry.get("verdict") or "–")
    values = (
        amounts.strength_with_interval(entry),
        amounts.score_text(part(entry, "baseline").get("mean"), metric),
        amounts.gain_or_cost(entry, metric),
        _p_value(gain.get("p_adjusted", gain.get("p_value"))),
        verdict,
        str(entry.get("shape") or "–"),
    )
    styles = ("n", "n", "n", "n", verdict if verdict in ("align", "avoid") else "", "")
    cells = "".join(
        f'<td class="{style}" data-label="{escape(label)}">{escaped(value)}</td>'
        for label, value, style in zip(columns[1:], values, styles, strict=True)
    )
    return f'<tr><th scope="row">{escaped(reading.pair_of(cell)[index])}</th>{cells}</tr>\n'


def alternatives_table(cell: Part) -> str:
    """What each strategy would have given, the chosen one in bold."""
    choice = part(cell, "pair_choice")
    rows = []
    for alternative in parts(choice, "alternatives"):
        name = str(alternative.get("strategy"))
        chosen = name == choice.get("strategy")
        gains = [gain if isinstance(gain, Mapping) else {} for gain in (alternative.get("gains") or ())[:2]]
        values = [" / ".join(map(amounts.strength_text, alternative.get("strengths") or ()))]
        values += [amounts.gain_with_interval(gain, reading.metric_of(cell, index)) for index, gain in enumerate(gains)]
        label = escaped(words.strategy_name(cell, name)) + (" (chosen)" if chosen else "")
        rows.append(_row(label, values, style="chosen" if chosen else ""))
    if not rows:
        return ""
    units = [amounts.gain_unit(reading.metric_of(cell, index)) for index in (0, 1)]
    heads = ["λ₁ / λ₂", *(f"{name}, {unit}" for name, unit in zip(reading.pair_of(cell), units, strict=True))]
    reason = f" Why: {escaped(choice['reason'])}." if choice.get("reason") else ""
    caption = f"What each way of aligning gives over λ = 0.{reason}"
    return _table("Strategy", heads, rows, caption=caption, label="Strategies compared")


def curve_table(cell: Part) -> str:
    """The numbers behind the curves, folded away."""
    entries = parts(cell, "encoders")[:2]
    similarity = {number(point.get("strength")): point for point in parts(cell, "alignment")}
    rows = []
    for strength in sorted({value for entry in entries for value in reading.strengths_of(entry)}):
        values = []
        for index, entry in enumerate(entries):
            point = next((p for p in parts(entry, "curve") if number(p.get("strength")) == strength), {})
            lost = number(point.get("diverged")) or 0
            seeds = f"{number(point.get('seeds')) or 0:.0f}" + (f" (+{lost:.0f} diverged)" if lost else "")
            values += [
                amounts.score_text(point.get("mean"), reading.metric_of(cell, index)),
                _decimal(point.get("sd")),
                seeds,
            ]
        values += [_decimal(similarity.get(strength, {}).get(key)) for key in ("cka", "svcca", "mutual_knn")]
        rows.append(_row(f"{strength:.4g}", values))
    if not rows:
        return ""
    heads = [f"{name} {what}" for name in reading.pair_of(cell)[: len(entries)] for what in ("mean", "sd", "seeds")]
    table = _table("λ", [*heads, "CKA", "SVCCA", "mutual k-NN"], rows, label="Scores at every strength")
    return f"<details><summary>The numbers behind the curves</summary>\n{table}</details>\n"


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


def _p_value(value: object) -> str:
    p_value = number(value)
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _decimal(value: object) -> str:
    decimal = number(value)
    return "–" if decimal is None else f"{decimal:.4f}"


def _numeric(is_number: bool) -> str:
    return ' class="n"' if is_number else ""
