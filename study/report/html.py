"""The report as one self-contained HTML page: no script, nothing loaded from anywhere, every value escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from study.report import reading, words
from study.report.reading import Part, Report, number, part, parts

_OVERVIEW = "00-strength-against-redundancy"
_CAPTIONS = {
    "curve-1": "Encoder 1 against λ. Dots are single trainings, circles their means; the band is the 90 % posterior of "
    "the curve; the diamond and the bar under it are λ* and its 90 % interval; the dotted line is the level at λ = 0.",
    "curve-2": "Encoder 2 against λ, drawn as encoder 1.",
    "alignment": "How similar the two representations become, by three metrics.",
    "pid": "What the pair knows about the target. Dotted marks: what chance alone would give; n.s.: not above chance.",
    _OVERVIEW: "λ* of every encoder against its pair's redundancy; the numbers are those of the pairs above.",
}
_METHOD = (
    "The same seeds are trained at every strength, λ = 0 among them. A Gaussian process smooths the validation scores "
    "over λ; λ* and its 90 % interval come from the posterior of where that curve is highest. Gains are paired "
    "differences to λ = 0 on the test split, with 90 % intervals; where a study confirms, they come from fresh seeds.",
    "Verdicts: align, the gain is above 0 after Holm's correction for all claims of the study; avoid, alignment is "
    "shown to hurt; indifferent, neither. “Within 1 s.e.” marks the smallest strength within one standard error of the "
    "best.",
)


def render(report: Report, figures: Mapping[str, str] | None = None) -> str:
    """A report dict as HTML text; `figures` maps the names of `study.report.figures` to their SVG text."""
    cells = parts(report, "cells")
    drawings = figures or {}
    title = f"How strongly to align: {_text(report.get('study') or 'study')}"
    css = resources.files("study.report").joinpath("report.css").read_text(encoding="utf-8")
    versions = sorted((_text(name), _text(value)) for name, value in part(report, "versions").items())
    overview = _figure(drawings.get(_OVERVIEW), _OVERVIEW, _CAPTIONS[_OVERVIEW], style="wide")
    evidence = (_evidence(cell, position, drawings) for position, cell in enumerate(cells, start=1))
    sections = (
        _answers(report, cells, title),
        _section("The answer in numbers", _answer_table(cells)),
        _section("The evidence", overview, *evidence),
        _section("What would change the answer", _caveats(cells)),
        _section("How it was computed", *(f"<p>{line}</p>" for line in _METHOD), _facts(report, cells)),
        _section("Versions", _definitions(versions)),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def _answers(report: Report, cells: Sequence[Part], title: str) -> str:
    facts = [f"{number(report.get('trainings')) or 0:.0f} trainings"]
    if seconds := number(report.get("wall_seconds")):
        facts.append(_duration(seconds))
    if report.get("seed") is not None:
        facts.append(f"seed {_text(report['seed'])}")
    banners = []
    if report.get("status", "complete") != "complete":
        banners.append("This study has not ended: what is missing is still to be trained, what is here may move.")
    if report.get("stand_in"):
        banners.append(
            "Stand-in data, generated to try the path out: these numbers say nothing about the real dataset."
        )
    told = "".join(f'<p class="banner" role="note">{banner}</p>\n' for banner in banners)
    items = "".join(
        f"<li>{_text(words.cell_sentence(cell))}"
        f'<span class="where">{_text(reading.label_of(cell))}; {_text(_profile(cell))}</span></li>\n'
        for cell in cells
    )
    return (
        f'<header>\n<h1>{title}</h1>\n<p class="meta">{" · ".join(facts)}</p>\n{told}</header>\n'
        f'<ol class="answers">\n{items}</ol>\n'
    )


def _answer_table(cells: Sequence[Part]) -> str:
    """One group of rows per pair: its strategy and profile, then each encoder. Cards on a narrow screen."""
    columns = ("Encoder", "λ* [90 %]", "Score at λ = 0", "Gain [90 %]", "p (Holm)", "Verdict", "Curve")
    rows = []
    for position, cell in enumerate(cells, start=1):
        head = f"{position} · {reading.label_of(cell)}: {words.advice(cell)}"
        rows.append(
            f'<tr class="pair"><th scope="rowgroup" colspan="{len(columns)}">{_text(head)}'
            f"<small>{_text(_profile(cell))}</small></th></tr>\n"
        )
        for index, entry in enumerate(parts(cell, "encoders")[:2]):
            rows.append(_encoder_row(cell, index, entry, columns))
    head = "".join(f'<th scope="col"{_numeric(0 < i < 5)}>{label}</th>' for i, label in enumerate(columns))
    caption = (
        "λ* is each encoder's own best strength when one λ is shared; the gain is the difference to λ = 0 there, on "
        "the test split. The strategy in the first line of each pair weighs both encoders."
    )
    table = f'<table class="answer"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{"".join(rows)}'
    return _scrolling(f"{table}</tbody></table>", "Answers of every pair and encoder")


def _encoder_row(cell: Part, index: int, entry: Part, columns: Sequence[str]) -> str:
    metric, gain = reading.metric_of(cell, index), part(entry, "gain_over_zero")
    verdict = str(entry.get("verdict") or "–")
    told_gain = words.gain_with_interval(gain, metric)
    if told_gain != "–":
        told_gain += f" {words.gain_unit(metric)}{' (search seeds)' if gain.get('source') == 'search' else ''}"
    values = (
        words.strength_with_interval(entry),
        words.score_text(part(entry, "baseline").get("mean"), metric),
        told_gain,
        _p_value(gain.get("p_adjusted", gain.get("p_value"))),
        verdict,
        str(entry.get("shape") or "–"),
    )
    styles = ("n", "n", "n", "n", verdict if verdict in ("align", "avoid") else "", "")
    cells = "".join(
        f'<td class="{style}" data-label="{escape(label)}">{_text(value)}</td>'
        for label, value, style in zip(columns[1:], values, styles, strict=True)
    )
    return f'<tr><th scope="row">{_text(reading.pair_of(cell)[index])}</th>{cells}</tr>\n'


def _evidence(cell: Part, position: int, figures: Mapping[str, str]) -> str:
    """A pair's sentences, its four figures, what each strategy would have given, and the numbers, folded away."""
    stem = reading.file_stem(cell, position)
    count = len(parts(cell, "encoders")[:2])
    sentences = [words.encoder_sentence(cell, index) for index in range(count)]
    told = {
        "curve-1": sentences[0] if count > 0 else "",
        "curve-2": sentences[1] if count > 1 else "",
        "pid": _profile(cell),
    }
    drawn = "".join(
        _figure(figures.get(f"{stem}-{kind}"), f"{position}{kind}", _CAPTIONS[kind], more=told.get(kind, ""))
        for kind in ("curve-1", "curve-2", "alignment", "pid")
    )
    return (
        f"<h3>{position} · {_text(reading.label_of(cell))}</h3>\n"
        + "".join(f"<p>{_text(_capital(sentence))}</p>\n" for sentence in sentences)
        + (f'<div class="figures">\n{drawn}</div>\n' if drawn else "")
        + _alternatives(cell)
        + _curve_values(cell)
    )


def _alternatives(cell: Part) -> str:
    """What each strategy would have given, the chosen one in bold."""
    choice = part(cell, "pair_choice")
    rows = []
    for alternative in parts(choice, "alternatives"):
        name = str(alternative.get("strategy"))
        chosen = name == choice.get("strategy")
        gains = [gain if isinstance(gain, Mapping) else {} for gain in (alternative.get("gains") or ())[:2]]
        values = [" / ".join(map(words.strength_text, alternative.get("strengths") or ()))]
        values += [words.gain_with_interval(gain, reading.metric_of(cell, index)) for index, gain in enumerate(gains)]
        label = _text(words.strategy_name(cell, name)) + (" (chosen)" if chosen else "")
        rows.append(_row(label, values, style="chosen" if chosen else ""))
    if not rows:
        return ""
    units = [words.gain_unit(reading.metric_of(cell, index)) for index in (0, 1)]
    heads = ["λ₁ / λ₂", *(f"{name}, {unit}" for name, unit in zip(reading.pair_of(cell), units, strict=True))]
    reason = f" Why: {_text(choice['reason'])}." if choice.get("reason") else ""
    caption = f"What each way of aligning gives over λ = 0.{reason}"
    return _table("Strategy", heads, rows, caption=caption, label="Strategies compared")


def _curve_values(cell: Part) -> str:
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
                words.score_text(point.get("mean"), reading.metric_of(cell, index)),
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


def _caveats(cells: Sequence[Part]) -> str:
    found = []
    for position, cell in enumerate(cells, start=1):
        if lines := "".join(f"<li>{_text(_capital(line))}</li>" for line in words.caveats(cell)):
            found.append(f'<h3>{position} · {_text(reading.label_of(cell))}</h3>\n<ul class="plain">{lines}</ul>\n')
    nothing = (
        "Nothing that this study could notice: no optimum at the edge of the range, no training cut short or lost."
    )
    return "".join(found) or f"<p>{nothing}</p>\n"


def _facts(report: Report, cells: Sequence[Part]) -> str:
    facts = [
        ("Configuration", f"<code>{_text(report.get('config_hash') or '–')}</code>, in config.yaml beside this file")
    ]
    estimators = sorted({str(part(cell, "pid")["estimator"]) for cell in cells if part(cell, "pid").get("estimator")})
    if estimators:
        facts.append(("Information profile", f"{_text(', '.join(estimators))}, in bits"))
    for cell in cells:
        counts = {key: number(value) for key, value in part(cell, "counts").items()}
        if counts.get("trainings"):
            told = f"{counts['trainings']:.0f} trainings"
            if counts.get("strengths") and counts.get("replicates"):
                told += f", {counts['strengths']:.0f} strengths of {counts['replicates']:.0f} seeds each in the search"
            facts.append((_text(reading.label_of(cell)), told))
    for key, label in (("wall_seconds", "Time, all in all"), ("training_seconds", "Time, in training")):
        if (seconds := number(report.get(key))) is not None:
            facts.append((label, _duration(seconds)))
    if peak := number(report.get("peak_memory_bytes")):
        facts.append(("Peak memory", f"{peak / 2**30:.2f} GiB, all processes together"))
    return _definitions(facts)


def _figure(svg: str | None, key: str, caption: str, *, style: str = "", more: str = "") -> str:
    """Inline SVG, its ids made unique to the page so that no figure's clip paths serve another; "" without one."""
    start = (svg or "").find("<svg")
    if svg is None or start < 0:
        return ""
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>f{key}-", svg[start:])
    told = escape(f"{caption} {more}".strip())
    body = body.replace("<svg", f'<svg role="img" aria-label="{told}"', 1)
    return f'<figure class="{style}">{body}<figcaption>{_text(caption)}</figcaption></figure>\n'


def _profile(cell: Part) -> str:
    first, second = reading.pair_of(cell)
    names = {"unique_1": f"unique to {first}", "unique_2": f"unique to {second}"}
    profile = part(cell, "pid")
    known = [(names.get(key, key), number(profile.get(key))) for key in reading.COMPONENTS]
    bits = ", ".join(f"{name} {value:.2f}" for name, value in known if value is not None)
    return f"{bits} {profile.get('units') or 'bits'}" if bits else "no information profile"


def _section(title: str, *content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{''.join(content)}</section>\n"


def _table(corner: str, heads: Sequence[str], rows: Sequence[str], *, label: str, caption: str = "") -> str:
    head = "".join(f'<th scope="col" class="n">{_text(name)}</th>' for name in heads)
    told = f"<caption>{caption}</caption>" if caption else ""
    body = f'<thead><tr><th scope="col">{corner}</th>{head}</tr></thead><tbody>\n{"".join(rows)}</tbody>'
    return _scrolling(f"<table>{told}{body}</table>", label)


def _row(head: str, values: Sequence[str], *, style: str = "") -> str:
    cells = "".join(f'<td class="n">{_text(value)}</td>' for value in values)
    return f'<tr class="{style}"><th scope="row">{head}</th>{cells}</tr>\n'


def _scrolling(table: str, label: str) -> str:
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>\n'


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in facts) + "</dl>\n"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _p_value(value: object) -> str:
    p_value = number(value)
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _decimal(value: object) -> str:
    decimal = number(value)
    return "–" if decimal is None else f"{decimal:.4f}"


def _numeric(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(value: object) -> str:
    return escape(str(value))
