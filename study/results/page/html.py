"""The report as one self-contained HTML page: no script, nothing loaded from anywhere, every value escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from study.results.claims.published import published_sentence
from study.results.figures import theory
from study.results.figures.names import CHANGES, FIGURES, OVERVIEW, SIDE_BY_SIDE
from study.results.model import CellResult, ForecastAgreement, OwnTraining, Report
from study.results.names import capital, one_line
from study.results.page.parts import Running, definitions, document, escaped, figure, links, section, sentence
from study.results.page.tables import alternatives_table, answer_table, curve_table, scores_table
from study.results.text.amounts import correlation_text, duration, gain_unit, in_unit
from study.results.text.beforehand import learnt_text, profile_text
from study.results.text.budget import budget_text, remedy_text
from study.results.text.doubts import caveats
from study.results.text.encoder import encoder_sentence
from study.results.text.joint import joint_sentence
from study.results.text.pair import cell_sentence

_FEWEST_RANKED = 5  # encoders whose order is told
_CAPTIONS = {  # {first} and {second} stand for the modalities
    "curve-1": "The encoder of {first} against λ. Dots are single trainings, circles their means; the band is the 90 % "
    "posterior of the curve; the diamond and the bar under it are λ* and its 90 % interval; the dotted line is the "
    "level at λ = 0.",
    "curve-2": "The encoder of {second} against λ, drawn as that of {first}.",
    "joint": "What both representations tell together against λ, drawn as an encoder's score: the score of a ridge "
    "probe of the two, fitted on the training rows. It decides nothing.",
    "space": "Where the representations of the same validation rows lie, of one seed, at λ = 0, next to λ* and at the "
    "largest strength: the first two principal components of both modalities together, each row of length 1. "
    "Dots: {first}; squares: {second}; a line joins the two of a row; colours are classes, or fifths of the target.",
    "classes": "Which classes gain and which lose: the share of each class's test rows that an encoder tells, mean "
    "over the confirming seeds.",
    "learning": "How training goes at λ = 0 and next to λ*, or at the largest strength where λ* is 0: mean over the "
    "seeds of the search, on validation rows. A curve that still rises at its end asks for more epochs.",
    "numbers": "Other numbers that the function returned, each on an axis of its own: means over the seeds.",
    "alignment": "How similar the two representations become, by three metrics.",
    "pid": "What the pair knows about the target. Dotted marks: what chance alone would give; n.s.: not above chance.",
    "forecast": "What linear encoders would lose, from second moments alone; thin lines: strengths at which a "
    "direction that predicts is swapped for one that is shared. Read their order over pairs, not their size.",
    "theory": "What the linear theory expects of linear encoders trained with this study's losses (lines) and what was "
    "trained (marks, 90 % intervals). Below: where half of the loss is expected (diamond, thin line) and where it was "
    "measured, with its 90 % interval.",
    OVERVIEW: "λ* of every encoder against its pair's redundancy; the numbers are those of the pairs above.",
    SIDE_BY_SIDE: "Every pair: the scores of both encoders with 90 % intervals, and how similar their representations "
    "become.",
    CHANGES: "How much each strength changes each encoder's validation score against λ = 0: blue gains, red loses.",
}
_METHOD = (
    "The same seeds are trained at every strength, λ = 0 among them. A Gaussian process smooths the validation scores "
    "over λ; λ* and its 90 % interval come from the posterior of where that curve is highest. Gains are paired "
    "differences to λ = 0 on test rows, with 90 % intervals; where a study confirms, they come from fresh seeds.",
    "Verdicts: align, the gain is above 0 after Holm's correction for all claims of the study; avoid, the curve is "
    "shown to fall and λ = 0 may be its best, which is then reported; indifferent, neither. A curve is flat unless a "
    "test says otherwise; an inverted U lies at λ* above the strong end and above λ = 0, by the search or by the "
    "confirmed gain. “Within 1 s.e.” marks the smallest strength within one standard error of the best.",
)
_TARGETS = {  # what a gain is, by how it was confirmed
    "rows": "A gain is the expected gain of this way of training on new rows of this population: its interval counts "
    "the luck of the seeds, of the training rows, which each replicate draws anew, and of the {units} test rows.",
    "groups": "A gain is the expected gain of this way of training on new groups of this population (new people, where "
    "rows are grouped by person): its interval counts the luck of the seeds, of the training rows, which each "
    "replicate draws anew, and of the {units} groups of test rows.",
    "blocks": "A gain is the expected gain of this way of training on new rows of this population: its interval counts "
    "the luck of the seeds, of the training rows, which each replicate draws anew, and of the test rows, by leaving "
    "out each of {units} blocks of them in turn (grouped jackknife), since the score is no mean over rows.",
    "splits": "A gain is the expected gain of this way of training on new rows of this population: each of its seeds "
    "has a random split of all rows, and its interval allows for what splits share (corrected resampled t). λ* was "
    "found with rows that its gain is measured on.",
    "fixed": "A gain is that of this way of training on these very rows: all replicates share one split, and its "
    "interval counts the luck of the seeds alone. What is to be expected on new rows it does not tell.",
}


_SECTIONS = {  # by what links to them name
    "numbers": "The answer in numbers",
    "evidence": "The evidence",
    "doubts": "What would change the answer",
    "method": "How it was computed",
    "files": "Files",
    "versions": "Versions",
}


def render(
    report: Report,
    figures: Mapping[str, str] | None = None,
    *,
    files: Mapping[str, str] | None = None,
    running: Running | None = None,
) -> str:
    """A report as HTML text; `figures` maps the names of `study.results.figures.drawing` to their SVG text, and `files`
    what else lies beside the page, by its address from there, to what it is. Of a study that is `running` the page says
    so, and reloads itself.
    """
    cells, drawings = report.cells, figures or {}
    title = f"How strongly to align: {escaped(report.study or 'study')}"
    versions = sorted((escaped(name), escaped(value)) for name, value in report.versions.items())
    whole = (OVERVIEW, SIDE_BY_SIDE, CHANGES)
    overview = "".join(figure(drawings.get(name), name, _CAPTIONS[name], style="wide") for name in whole)
    evidence = (_evidence(cell, position, drawings) for position, cell in enumerate(cells, start=1))
    contents = {
        "numbers": [answer_table(cells)],
        "evidence": [overview, *evidence],
        "doubts": [_caveats(cells)],
        "method": [*(f"<p>{line}</p>" for line in _method(report)), _facts(report)],
        "files": [links("Files", files.items())] if files else [],
        "versions": [definitions(versions)],
    }
    told = {name: section(_SECTIONS[name], *parts, anchor=name) for name, parts in contents.items() if parts}
    to_pairs = ((f"#pair-{position}", f"{position} · {cell.title}") for position, cell in enumerate(cells, start=1))
    to_sections = ((f"#{name}", _SECTIONS[name]) for name in told)
    return document(
        title,
        _answers(report, title, running),
        links("Contents", (*to_sections, *to_pairs)),
        *told.values(),
        reload=running.seconds if running else None,
    )


def _answers(report: Report, title: str, running: Running | None) -> str:
    facts = [f"{report.trainings or 0} trainings"]
    if report.wall_seconds:
        facts.append(duration(report.wall_seconds))
    if report.seed is not None:
        facts.append(f"seed {report.seed}")
    banners = []
    if running:
        banners.append(
            f"This study is running: {escaped(running.counted)} by {running.at:%H:%M:%S}. What is said here is "
            f"provisional, and may move. The page reloads itself every {running.seconds:.0f} seconds."
        )
    elif report.status not in ("complete", None):
        banners.append("This study has not ended: what is missing is still to be trained, what is here may move.")
    if report.stand_in:
        banners.append(
            "Stand-in data, generated to try the path out: these numbers say nothing about the real dataset."
        )
    told = "".join(f'<p class="banner" role="note">{banner}</p>\n' for banner in banners)
    items = "".join(
        f"<li>{sentence(cell_sentence(cell))}"
        f'<span class="where">{escaped("; ".join(filter(None, (cell.title, profile_text(cell)))))}</span></li>\n'
        for cell in report.cells
    )
    return (
        f'<header>\n<h1>{title}</h1>\n<p class="meta">{" · ".join(facts)}</p>\n{told}</header>\n'
        f'<ol class="answers">\n{items}</ol>\n'
    )


def _evidence(cell: CellResult, position: int, figures: Mapping[str, str]) -> str:
    """A pair's sentences, its figures, what each strategy would have given, and the numbers, folded away."""
    stem = cell.file_stem(position)
    sentences = [encoder_sentence(cell, told.place) for told in cell.told_encoders]
    told = {
        **dict(zip(FIGURES, sentences, strict=False)),
        "joint": joint_sentence(cell),
        "pid": profile_text(cell),
        "theory": theory.together_sentence(cell),
    }
    first, second = cell.names
    drawn = "".join(
        figure(
            figures.get(f"{stem}-{kind}"),
            f"{position}{kind}",
            _CAPTIONS[kind].format(first=first, second=second),
            more=told.get(kind, ""),
        )
        for kind in FIGURES
    )
    return (
        f'<h3 id="pair-{position}">{position} · {escaped(cell.title)}</h3>\n'
        + "".join(
            f"<p>{sentence(capital(line))}</p>\n"
            for line in [
                *sentences,
                told["joint"],
                told["theory"],
                theory.flat_sentence(cell),
                published_sentence(cell),
            ]
            if line
        )
        + (f'<div class="figures">\n{drawn}</div>\n' if drawn else "")
        + alternatives_table(cell)
        + curve_table(cell)
        + scores_table(cell)
    )


def _method(report: Report) -> Iterator[str]:
    """How the answers were computed, and what a gain of this study is the gain of."""
    yield from _METHOD
    alternatives = [one for cell in report.cells for one in cell.pair_choice.alternatives]
    gains = [one.gain_mean for one in alternatives if one.gain_mean and one.gain_mean.source == "confirm"]
    targets = dict.fromkeys(
        _TARGETS["splits" if gain.splits else "fixed" if gain.units is None else gain.unit or "rows"].format(
            units=gain.units
        )
        for gain in gains
    )
    yield from targets
    if smallest := next((gain.smallest_gain for gain in gains if gain.smallest_gain), None):
        told = dict.fromkeys(
            f"{in_unit(smallest, metric):g} {gain_unit(metric)}"
            for cell in report.cells
            for metric in cell.metrics or ("accuracy",)
        )
        yield (
            f"The smallest gain of interest is {escaped(' or '.join(told))}: a gain or loss whose interval lies within "
            "± that is called too small to matter, and nothing is advised for its sake."
        )


def _caveats(cells: Sequence[CellResult]) -> str:
    doubts = []
    for position, cell in enumerate(cells, start=1):
        if lines := "".join(f"<li>{escaped(capital(line))}</li>" for line in caveats(cell)):
            doubts.append(f'<h3>{position} · {escaped(cell.title)}</h3>\n<ul class="plain">{lines}</ul>\n')
    nothing = (
        "Nothing among what is looked for: an optimum at the edge of the range, trainings cut short or lost, few "
        "seeds or groups, a gain that more seeds or rows would confirm, an answer near a limit, validation and test "
        "split that disagree."
    )
    return "".join(doubts) or f"<p>{nothing}</p>\n"


def _facts(report: Report) -> str:
    facts = [("Configuration", f"<code>{escaped(report.config_hash or '–')}</code>, in config.yaml beside this file")]
    if budget := budget_text(report):
        facts.append(("Budget", escaped(" ".join([f"{budget}.", remedy_text(report)]).strip())))
    estimators = sorted({cell.pid.estimator for cell in report.cells if cell.pid and cell.pid.estimator})
    if estimators:
        facts.append(("Information profile", f"{escaped(', '.join(estimators))}, in bits"))
    facts += [(escaped(cell.title), escaped(told)) for cell in report.cells if (told := _trained(cell))]
    trainers = {cell.own_training.call: cell.own_training for cell in report.cells if cell.own_training}
    facts += [(f"Trained by <code>{escaped(call)}</code>", escaped(_own(one))) for call, one in trainers.items()]
    agreement = report.forecast_agreement or ForecastAgreement()
    encoders = agreement.encoders or 0
    if encoders >= _FEWEST_RANKED and agreement.spearman is not None and agreement.interval is not None:
        low, high = map(correlation_text, agreement.interval)
        facts.append(
            (
                "Linear forecast against λ*",
                f"rank correlation {correlation_text(agreement.spearman)} [{low}, {high}] over {encoders} encoders: "
                "believe it where the interval lies above 0",
            )
        )
    times = (("Time, last run", report.wall_seconds), ("Time, of that in training", report.training_seconds))
    facts += [(label, duration(seconds)) for label, seconds in times if seconds is not None]
    if peak := report.peak_memory_bytes:
        facts.append(("Peak memory", f"{peak / 2**30:.2f} GiB, all processes together"))
    return definitions(facts)


def _trained(cell: CellResult) -> str:
    """How much was trained for a pair, and from which earlier studies its search learnt; "" where nothing was."""
    counts = cell.counts
    if not counts.trainings:
        return ""
    told = f"{counts.trainings} trainings"
    if seeds := [(at.seeds or 0) + (at.diverged or 0) for encoder in cell.encoders[:1] for at in encoder.curve]:
        fewest, most = min(seeds), max(seeds)
        each = f"{most} seed{'s' * (most > 1)} each" if fewest == most else f"{fewest} to {most} seeds"
        told += f", {len(seeds)} strength{'s' * (len(seeds) > 1)} of {each} in the search"
    if cell.stopping_spared:
        told += f"; its target was met early, which spared {cell.stopping_spared} more"
    learnt = learnt_text(cell)
    return f"{told}; {learnt}" if learnt else told


def _own(training: OwnTraining) -> str:
    """What of the user's function decides results: the states of its code, its options, what its scores are."""
    states = ", ".join(state[:8] for state in training.code) or "not known"
    told = [f"code {states}", *(f"{key} {value}" for key, value in training.options.items())]
    told += [] if training.maximise else ["it returns losses: scores are their negatives"]
    told += ["one score stands for both encoders"] if training.one_score else []
    return one_line("; ".join(told))
