"""The figure and the page of answers from trainings that are done already."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from study.config import ConfigError
from study.outside import text
from study.results.figures.canvas import ENCODER_STYLES, encoded, style
from study.results.figures.curves import answer_figure
from study.results.model import OutsideResult
from study.results.page.parts import definitions, document, escaped, figure, section, sentence
from study.results.text.amounts import p_text, shape_text, strength_text, strength_with_interval, told_gain

_CAPTION = (
    "Dots are single trainings, circles the means of several; the band is the 90 % posterior of the curve; the diamond "
    "and the bar under it are the best strength and its 90 % interval; the star is the best trial."
)
_METHOD = (
    "A Gaussian process smooths the scores over the strength; the best strength and its 90 % interval come from the "
    "posterior of where that curve is highest. Where the same seeds stand at several strengths, a seed is compared "
    "with itself. Without a split to confirm on, a gain is claimed only where a test rejects a flat curve, too."
)


def answer_drawing(answer: OutsideResult) -> Figure:
    """The scores against the strength, with the curve, the answer and the luckiest training."""
    best, told = answer.best_trial, ", ".join(word for word in (answer.verdict, shape_text(answer)) if word)
    with style():
        return answer_figure(
            answer,
            title=f"{answer.modality or text.starred(answer)}: {told}",
            look=ENCODER_STYLES[0],
            strength="alignment strength λ" if text.symbol(answer) == "λ" else text.symbol(answer),
            score=f"{answer.score}{', lower is better' if answer.minimise else ''}",
            symbol=text.symbol(answer),
            best=None if best is None or best.strength is None or best.score is None else (best.strength, best.score),
        )


def page(answers: Sequence[OutsideResult], drawings: Mapping[str, str]) -> str:
    """The answers as one self-contained page; `drawings` are the SVG texts by `stem`."""
    first = answers[0]
    title = f"{escaped(text.symbol(first))} from trainings that are done"
    items = "".join(
        f'<li>{sentence(text.headline(answer))}<span class="where">{escaped(text.title(answer))}</span></li>\n'
        for answer in answers
    )
    header = (
        f'<header>\n<h1>{title}</h1>\n<p class="meta">{escaped(first.source or "")}</p>\n</header>\n'
        f'<ol class="answers">\n{items}</ol>\n'
    )
    evidence = "".join(_evidence(answer, position, drawings) for position, answer in enumerate(answers, start=1))
    doubts = "".join(
        f'<h3>{escaped(text.title(answer))}</h3>\n<ul class="plain">'
        + "".join(f"<li>{escaped(remark)}</li>" for remark in text.remarks(answer))
        + "</ul>\n"
        for answer in answers
    )
    return document(
        title,
        header,
        section("The evidence", evidence),
        section("What these trainings cannot tell", doubts),
        section("How it was computed", f"<p>{_METHOD}</p>"),
    )


def _evidence(answer: OutsideResult, position: int, drawings: Mapping[str, str]) -> str:
    told = [*text.sentences(answer)[1:], text.counts_sentence(answer), text.fixed_sentence(answer)]
    paragraphs = "".join(f"<p>{sentence(line)}</p>\n" for line in told if line)
    drawn = figure(drawings.get(stem(answer, position)), str(position), _CAPTION, style="wide")
    return f"<h3>{escaped(text.title(answer))}</h3>\n{numbers(answer)}{paragraphs}{drawn}"


def numbers(answer: OutsideResult) -> str:
    """The answer in numbers, as a list of definitions in HTML."""
    gain, _ = told_gain(answer)
    facts = [
        (f"{text.starred(answer)} [90 %]", strength_with_interval(answer)),
        ("within one s.e.", strength_text(answer.lambda_1se)),
        (
            f"gain over {strength_text(answer.relative_to)} [90 %]",
            "–" if gain.mean is None else f"{text.gain_text(answer, gain)}, {text.basis(gain)}",
        ),
        ("p", p_text(gain)),
        ("verdict", answer.verdict or "–"),
        ("curve", shape_text(answer) or "–"),
    ]  # fmt: skip
    return definitions((escaped(name), escaped(value)) for name, value in facts)


def stem(answer: OutsideResult, position: int) -> str:
    """The name of an answer's figure."""
    name = re.sub(r"[^a-z0-9]+", "-", (answer.modality or "").lower()).strip("-")[:60]
    return f"{position:02d}-{name}-curve" if name else f"{position:02d}-curve"


def write_answers(answers: Sequence[OutsideResult], folder: Path) -> list[Path]:
    """Write `select.html`, and each figure as PNG and SVG, into `folder` (made if missing); the files.

    Raises:
        ConfigError: the folder cannot be written.
    """
    written, drawings = [], {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for position, answer in enumerate(answers, start=1):
            name = stem(answer, position)
            for extension, content in encoded(answer_drawing(answer)).items():
                path = folder / f"{name}.{extension}"
                path.write_bytes(content)
                written.append(path)
                if extension == "svg":
                    drawings[name] = content.decode("utf-8")
        path = folder / "select.html"
        path.write_text(page(answers, drawings), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to --out {folder}: {error.strerror}; give another folder") from None
    return [*written, path]
