"""The report as one self-contained HTML page: no script, nothing loaded from anywhere, every value escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from study.report import words
from study.report.words import Part, Report, number, part, parts

# What each figure shows, for its caption and for readers who do not see it.
_CAPTIONS = {
    "curve-1": "Validation score of encoder 1 against λ. Points are single trainings, the band is the 90 % posterior of "
    "the curve, the diamond and the bar under it are λ* and its 90 % interval, the dotted line is the level at λ = 0.",
    "curve-2": "Validation score of encoder 2 against λ, drawn as for encoder 1.",
    "alignment": "How similar the two representations become, by three metrics.",
    "pid": "What the pair knows about the target, in bits. Dotted marks: what chance alone would give.",
}
_STRATEGIES = {
    "none": "do not align",
    "shared": "one λ for both",
    "to_1": "pull encoder 1 only",
    "to_2": "pull encoder 2 only",
    "per_encoder": "each encoder its own λ",
}


def render(report: Report, figures: Mapping[str, str] | None = None) -> str:
    """A report dict as HTML text; `figures` maps the names of `study.report.figures` to their SVG text."""
    figures = figures or {}
    cells = parts(report, "cells")
    css = resources.files("study.report").joinpath("report.css").read_text(encoding="utf-8")
    title = _text(report.get("study") or "study")
    sections = [
        _answers(report, cells),
        _section("The answer in numbers", _answer_table(cells)),
        _section("The evidence", _overview(figures), *(_evidence(cell, i, figures) for i, cell in enumerate(cells, 1))),
        _section("What would change the answer", _caveats(report, cells)),
        _section("How it was computed", _method(report, cells)),
        _section("Versions", _definitions((name, _text(value)) for name, value in sorted(part(report, "versions").items()))),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{title}: how strongly to align</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _answers(report: Report, cells: Sequence[Part]) -> str:
    facts = [f"{number(report.get('trainings')) or 0:.0f} trainings"]
    if seconds := number(report.get("wall_seconds")):
        facts.append(f"{_duration(seconds)}")
    if report.get("seed") is not None:
        facts.append(f"seed {_text(report['seed'])}")
    banners = []
    if report.get("status", "complete") != "complete":
        banners.append("This study has not ended: what is missing here is still being trained, what is here may move.")
    if report.get("stand_in"):
        banners.append("Stand-in data: generated to try the path out. These numbers say nothing about the real dataset.")
    items = "".join(
        f'<li>{_text(words.cell_sentence(cell))}<span class="where">{_text(words.label_of(cell))}</span></li>' for cell in cells
    )
    return (
        f"<header>\n<h1>How strongly to align: {_text(report.get('study') or 'study')}</h1>\n"
        f'<p class="meta">{" · ".join(facts)}</p>\n'
        + "".join(f'<p class="banner" role="note">{banner}</p>\n' for banner in banners)
        + f'</header>\n<ol class="answers">{items}</ol>'
    )


def _answer_table(cells: Sequence[Part]) -> str:
    """One group of rows per pair (its choice and profile, then each encoder), cards on a narrow screen."""
    head = ("Encoder", "λ* [90 %]", "Score at λ = 0", "Gain over λ = 0 [95 %]", "p", "Verdict", "Curve")
    body = []
    for position, cell in enumerate(cells, 1):
        choice, profile = part(cell, "pair_choice"), part(cell, "pid")
        known = [(key, number(profile.get(key))) for key in words.COMPONENTS]
        bits = ", ".join(f"{_component(cell, key)} {value:.2f}" for key, value in known if value is not None)
        advice = _STRATEGIES.get(str(choice.get("strategy")), str(choice.get("strategy") or "no answer yet"))
        if choice.get("strategy") not in (None, "none"):
            advice += f", λ = {words.strength_with_interval(choice)}"
        body.append(
            f'<tr class="pair"><th scope="rowgroup" colspan="{len(head)}">{position} · {_text(words.label_of(cell))}: {_text(advice)}'
            + (f"<small>{_text(bits)} ({_text(profile.get('units') or 'bits')})</small>" if bits else "")
            + "</th></tr>"
        )
        for index, entry in enumerate(parts(cell, "encoders")[:2]):
            metric, gain = words.metric_of(cell, index), part(entry, "gain_over_zero")
            verdict = str(entry.get("verdict") or "–")
            p_value = number(gain.get("p_adjusted", gain.get("p_value")))
            values = (
                (words.strength_with_interval(entry), "n"),
                (words.score_text(part(entry, "baseline").get("mean"), metric), "n"),
                (f"{words.gain_with_interval(gain, metric)} {words.gain_unit(metric) if gain else ''}", "n"),
                ("–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.2g}", "n"),
                (verdict, verdict if verdict in ("align", "avoid") else ""),
                (str(entry.get("shape") or "–"), ""),
            )
            row = "".join(
                f'<td class="{style}" data-label="{escape(label)}">{_text(value)}</td>'
                for label, (value, style) in zip(head[1:], values, strict=True)
            )
            body.append(f'<tr><th scope="row">{_text(words.pair_of(cell)[index])}</th>{row}</tr>')
    columns = "".join(f'<th scope="col"{_numeric(0 < i < 5)}>{label}</th>' for i, label in enumerate(head))
    caption = (
        "Gains are paired differences on the test split, from fresh seeds where the study confirmed them; "
        "p is adjusted for all claims of the study (Holm)."
    )
    return _scrolling(
        f'<table class="answer"><caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{"".join(body)}</tbody></table>',
        "Answers of every pair and encoder",
    )


def _evidence(cell: Part, position: int, figures: Mapping[str, str]) -> str:
    stem = words.file_stem(cell, position)
    shown = []
    for kind, caption in _CAPTIONS.items():
        if svg := figures.get(f"{stem}-{kind}"):
            shown.append(_figure(svg, f"{stem}-{kind}", caption))
    sentences = "".join(f"<p>{_text(words.encoder_sentence(cell, i))}</p>" for i in range(len(parts(cell, "encoders")[:2])))
    return (
        f"<h3>{position} · {_text(words.label_of(cell))}</h3>\n{sentences}\n"
        + (f'<div class="figures">{"".join(shown)}</div>\n' if shown else "")
        + _alternatives(cell)
        + _curve_values(cell)
    )


def _alternatives(cell: Part) -> str:
    """What each strategy would have given, the chosen one in bold."""
    choice = part(cell, "pair_choice")
    rows = []
    for alternative in parts(choice, "alternatives"):
        gains = alternative.get("gains") or (None, None)
        told = [
            words.gain_with_interval(gain, words.metric_of(cell, i)) if isinstance(gain, Mapping) else "–"
            for i, gain in enumerate(gains[:2])
        ]
        name = str(alternative.get("strategy"))
        values = " / ".join(words.strength_text(value) for value in alternative.get("strengths") or ())
        chosen = name == choice.get("strategy")
        rows.append(
            f'<tr{" class=chosen" if chosen else ""}><th scope="row">{_text(_STRATEGIES.get(name, name))}{" (chosen)" if chosen else ""}</th>'
            f'<td class="n">{values}</td>' + "".join(f'<td class="n">{_text(gain)}</td>' for gain in told) + "</tr>"
        )
    if not rows:
        return ""
    names = words.pair_of(cell)
    head = "".join(
        f'<th scope="col" class="n">{_text(name)}, {_text(words.gain_unit(words.metric_of(cell, i)))}</th>'
        for i, name in enumerate(names)
    )
    reason = f"Why this one: {_text(choice['reason'])}." if choice.get("reason") else ""
    return _scrolling(
        f'<table><caption>What each way of aligning would have given over λ = 0. {reason}</caption><thead><tr><th scope="col">Strategy</th>'
        f'<th scope="col" class="n">λ₁ / λ₂</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>',
        "Strategies compared",
    )


def _curve_values(cell: Part) -> str:
    """The numbers behind the curves, folded away."""
    entries = parts(cell, "encoders")[:2]
    similarity = {number(point.get("strength")): point for point in parts(cell, "alignment")}
    rows = []
    for strength in sorted({value for entry in entries for value in words.strengths_of(entry)}):
        cells = []
        for index, entry in enumerate(entries):
            point = next((p for p in parts(entry, "curve") if p.get("strength") == strength), {})
            spread = number(point.get("sd"))
            cells.append(words.score_text(point.get("mean"), words.metric_of(cell, index)))
            cells.append("–" if spread is None else f"{spread:.4f}")
            lost = number(point.get("diverged")) or 0
            cells.append(f"{number(point.get('seeds')) or 0:.0f}" + (f" (+{lost:.0f} diverged)" if lost else ""))
        for key in ("cka", "svcca", "mutual_knn"):
            value = number(part(similarity, "").get(key)) if False else number(similarity.get(strength, {}).get(key))
            cells.append("–" if value is None else f"{value:.3f}")
        body = "".join(f'<td class="n">{text}</td>' for text in cells)
        rows.append(f'<tr><th scope="row">{strength:g}</th>{body}</tr>')
    if not rows:
        return ""
    heads = [f"{name} {what}" for name in words.pair_of(cell)[: len(entries)] for what in ("mean", "sd", "seeds")]
    columns = "".join(f'<th scope="col" class="n">{_text(head)}</th>' for head in (*heads, "CKA", "SVCCA", "mutual k-NN"))
    table = f'<table><thead><tr><th scope="col">λ</th>{columns}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f"<details><summary>The numbers behind the curves</summary>{_scrolling(table, 'Scores at every strength')}</details>\n"


def _overview(figures: Mapping[str, str]) -> str:
    name = "00-strength-against-redundancy"
    caption = "λ* of every encoder against its pair's redundancy; the numbers are those of the pairs above."
    return _figure(figures[name], name, caption, style="wide") if name in figures else ""


def _caveats(report: Report, cells: Sequence[Part]) -> str:
    lists = []
    for cell in cells:
        if found := words.caveats(cell):
            items = "".join(f"<li>{_text(line)}</li>" for line in found)
            lists.append(f'<h3>{_text(words.label_of(cell))}</h3><ul class="plain">{items}</ul>')
    return "".join(lists) or "<p>Nothing that this study could notice: no optimum at the edge of its range, no training cut short, none diverged.</p>"


def _method(report: Report, cells: Sequence[Part]) -> str:
    facts = [("Configuration", f"<code>{_text(report.get('config_hash') or '–')}</code>, resolved in <code>config.yaml</code> beside this file")]
    estimators = sorted({str(part(cell, "pid").get("estimator")) for cell in cells if part(cell, "pid").get("estimator")})
    if estimators:
        facts.append(("Information profile", _text(", ".join(estimators)) + ", in bits, with bootstrap interval"))
    for key, label in (("wall_seconds", "Time, all in all"), ("training_seconds", "of it in training")):
        if (seconds := number(report.get(key))) is not None:
            facts.append((label, _duration(seconds)))
    if peak := number(report.get("peak_memory_bytes")):
        facts.append(("Peak memory", f"{peak / 2**30:.2f} GiB, all processes together"))
    method = (
        "<p>The same seeds are trained at every strength, λ = 0 among them. A Gaussian process over a warp of λ smooths the "
        "validation scores; λ* is the mean of the posterior of its maximum, with a 90 % interval. Gains are paired differences "
        "to λ = 0 on the test split, which nothing else has touched, with 95 % intervals.</p>"
    )
    return method + _definitions(facts)


def _figure(svg: str, name: str, caption: str, *, style: str = "") -> str:
    """Inline SVG with its ids made unique to the page, so that one figure's clip paths never serve another."""
    body = svg[svg.index("<svg") :] if "<svg" in svg else ""
    prefix = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    body = re.sub(r'\bid="', f'id="f{prefix}-', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>f{prefix}-", body)
    body = body.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return f'<figure class="{style}">{body}<figcaption>{_text(caption)}</figcaption></figure>'


def _component(cell: Part, key: str) -> str:
    first, second = words.pair_of(cell)
    return {"unique_1": f"unique to {first}", "unique_2": f"unique to {second}"}.get(key, key)


def _section(title: str, *content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n" + "\n".join(text for text in content if text) + "\n</section>"


def _scrolling(table: str, label: str) -> str:
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>\n'


def _definitions(facts: Iterable[tuple[object, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{value}</dd>" for name, value in facts) + "</dl>"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _numeric(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _text(value: object) -> str:
    return escape(str(value))
