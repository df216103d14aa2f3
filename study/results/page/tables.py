"""The tables of the page, as HTML text; every value escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from study.results import reading
from study.results.reading import Part, number, part, parts
from study.results.text import amounts
from study.results.text import sentences as words


def escaped(value: object) -> str:
    """A value as text in HTML."""
    return escape(str(value))


def answer_table(cells: Sequence[Part]) -> str:
    """One group of rows per pair: its strategy and profile, then each encoder. Cards on a narrow screen."""
    columns = ("Encoder", "λ* [90 %]", "Score at λ = 0", "Gain [90 %]", "p (Holm)", "Verdict", "Curve")
    rows = []
    for position, cell in enumerate(cells, start=1):
        title = f"{position} · {reading.label_of(cell)}: {words.advice_with_gain(cell)}"
        rows.append(
            f'<tr class="pair"><th scope="rowgroup" colspan="{len(columns)}">{escaped(title)}'
            f"<small>{escaped(words.profile_text(cell))}</small></th></tr>\n"
        )
        for index, entry in enumerate(parts(cell, "encoders")[:2]):
            rows.append(_encoder_row(cell, index, entry, columns))
    head = "".join(f'<th scope="col"{_numeric(0 < i < 5)}>{label}</th>' for i, label in enumerate(columns))
    caption = (
        "The strategy in the first line of each pair weighs both encoders; its gain is that of the pair as one. λ* is "
        "each encoder's own best strength when one λ is shared; gain and p are those of the difference to λ = 0 there, "
        "or at the strength named: where the searched curve is highest, if λ* is 0. On the test split, unless marked."
    )
    table = f'<table class="answer"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{"".join(rows)}'
    return _scrolling(f"{table}</tbody></table>", "Answers of every pair and encoder")


def _encoder_row(cell: Part, index: int, entry: Part, columns: Sequence[str]) -> str:
    metric = reading.metric_of(cell, index)
    verdict = str(entry.get("verdict") or "–")
    values = (
        amounts.strength_with_interval(entry),
        amounts.score_text(part(entry, "baseline").get("mean"), metric),
        amounts.gain_text(entry, metric),
        amounts.p_text(amounts.told_gain(entry)[0]),
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
    both = amounts.common_metric(reading.metric_of(cell, 0), reading.metric_of(cell, 1))
    rows = []
    for alternative in parts(choice, "alternatives"):
        name = str(alternative.get("strategy"))
        chosen = name == choice.get("strategy")
        gains = [gain if isinstance(gain, Mapping) else {} for gain in (alternative.get("gains") or ())[:2]]
        values = [" / ".join(map(amounts.strength_text, alternative.get("strengths") or ()))]
        values += [amounts.gain_with_interval(gain, reading.metric_of(cell, index)) for index, gain in enumerate(gains)]
        mean = part(alternative, "gain_mean")
        values += [amounts.gain_with_interval(mean, both), amounts.p_text(mean)]
        label = escaped(words.strategy_name(cell, name)) + (" (chosen)" if chosen else "")
        rows.append(_row(label, values, style="chosen" if chosen else ""))
    if not rows:
        return ""
    units = [amounts.gain_unit(reading.metric_of(cell, index)) for index in (0, 1)]
    heads = ["λ₁ / λ₂", *(f"{name}, {unit}" for name, unit in zip(reading.pair_of(cell), units, strict=True))]
    heads += [f"the pair as one, {amounts.gain_unit(both)}", "p of that (Holm)"]
    reason = f" Why: {escaped(choice['reason'])}." if choice.get("reason") else ""
    caption = f"What each way of aligning gives over λ = 0.{reason}"
    return _table("Strategy", heads, rows, caption=caption, label="Strategies compared")


def curve_table(cell: Part) -> str:
    """The numbers behind the curves, all in validation, folded away."""
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
                amounts.spread_text(point.get("sd"), reading.metric_of(cell, index)),
                seeds,
            ]
        values += [_decimal(similarity.get(strength, {}).get(key)) for key in ("cka", "svcca", "mutual_knn")]
        rows.append(_row(f"{strength:.4g}", values))
    if not rows:
        return ""
    heads = [
        f"{name} {what}"
        for index, name in enumerate(reading.pair_of(cell)[: len(entries)])
        for what in ("mean", f"sd, {amounts.gain_unit(reading.metric_of(cell, index))}", "seeds")
    ]
    table = _table("λ", [*heads, "CKA", "SVCCA", "mutual k-NN"], rows, label="Scores at every strength")
    return f"<details><summary>The numbers behind the curves, in validation</summary>\n{table}</details>\n"


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


def _decimal(value: object) -> str:
    decimal = number(value)
    return "–" if decimal is None else f"{decimal:.4f}"


def _numeric(is_number: bool) -> str:
    return ' class="n"' if is_number else ""
