"""Studies from a notebook or a script: the same study as the command line, its results as tables and figures.

And what trainings say that somebody else has run: `select`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from study.cli.python_words import told_in_python

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from study.cli.progress import StudyProgress
    from study.config import StudyConfig
    from study.config.keys import StudyKeys
    from study.outside.notebook import Answer
    from study.results.model import AdvisedResult, Report

Space = str | Path | Mapping[str, Any] | Callable[[Any], object]


@dataclass(frozen=True)
class Results:
    """What a study found: `report`, the content of report.json as `data`, and its `folder`, or address in a bucket.

    `pairs`, `encoders`, `curves`, `scores` and `alignment` are pandas frames, see `study.results.frames`.
    """

    data: Mapping[str, Any]
    folder: Path | str

    @cached_property
    def report(self) -> Report:
        """The report, typed; see `study.results.model`."""
        from study.results.model import Report

        return Report.from_json(self.data)

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every frame by name."""
        from study.results.frames import frames

        return frames(self.report)

    @property
    def pairs(self) -> pd.DataFrame:
        """A row per pair: profile in bits, strategy, strengths, gain."""
        return self.tables["pairs"]

    @property
    def encoders(self) -> pd.DataFrame:
        """A row per encoder: λ*, its interval, gain, verdict, shape."""
        return self.tables["encoders"]

    @property
    def curves(self) -> pd.DataFrame:
        """A row per encoder and strength: mean and sd over seeds."""
        return self.tables["curves"]

    @property
    def scores(self) -> pd.DataFrame:
        """A row per training of the curves."""
        return self.tables["scores"]

    @property
    def alignment(self) -> pd.DataFrame:
        """A row per pair and strength: CKA, SVCCA, mutual k-NN."""
        return self.tables["alignment"]

    @property
    def decision(self) -> dict[str, AdvisedResult]:
        """What each pair is advised to do, by what the pair is called: strategy, strengths, gain, verdict."""
        return {cell.title: cell.advice for cell in self.report.cells}

    def plot(self, pair: str | int | tuple[str, str] = 0) -> Figure:
        """The curves of both encoders of a pair, as a matplotlib object.

        Args:
            pair: its place in the report, its title as `decision` has it, or its two modalities; where several pairs
                have these, as of a dataset with variants, the first.

        Raises:
            KeyError: there is no such pair; the message names those that there are.
        """
        from study.results.figures.canvas import style
        from study.results.figures.curves import pair_figure

        cells = self.report.cells
        for place, cell in enumerate(cells):
            if pair in (place, cell.title, cell.pair):
                with style():
                    return pair_figure(cell)
        raise KeyError(f"there is no pair {pair!r}; the report has {', '.join(repr(cell.title) for cell in cells)}")

    @property
    def sentences(self) -> list[str]:
        """The answer of each pair in one sentence."""
        from study.results.text.pair import cell_sentence

        return [cell_sentence(cell) for cell in self.report.cells]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Every figure of the report as a matplotlib object, by name."""
        from study.results.figures.drawing import figures

        return figures(self.report.cells)

    def __repr__(self) -> str:
        return "\n".join([f"Report of {self.report.study} in {self.folder}", *self.sentences])

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentences with a small curve of each encoder, and the answers as a table."""
        from html import escape

        from study.results.page.card import small_curves
        from study.results.page.parts import fragment
        from study.results.page.tables import answer_table

        cells = self.report.cells
        told = "".join(
            f'<li>{escape(sentence)}<div class="curves">{small_curves(cell)}</div></li>'
            for sentence, cell in zip(self.sentences, cells, strict=True)
        )
        return fragment(f"<ol>{told}</ol>", answer_table(cells))


def load_report(study: str | Path, *, out: str | Path = "studies") -> Results:
    """The report of a study, by its folder, its report.json, or its name in the folder `out` of all studies.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: `out` is a bucket that cannot be read.
    """
    from study.config.folder import StudyFolder, out_of
    from trainables.saving.place import Place

    if isinstance(place := out_of(out), Place):
        from study.session.bucket import at_hand

        with at_hand(place, [str(study)], say=lambda _: None, writes=False) as home:
            if not StudyFolder(home.folder / str(study)).report.is_file():
                raise FileNotFoundError(f"no report.json at {place}/{study}; run the study first")
            return replace(load_report(home.folder / study), folder=f"{place}/{study}")
    given = Path(study)
    places = (given, StudyFolder(given).report, StudyFolder(Path(out) / given).report)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no report.json at {given} or {Path(out) / given}; run the study first")
    return Results(json.loads(path.read_text(encoding="utf-8")), path.parent)


def read_study(
    space: Space,
    *,
    keys: StudyKeys | None = None,
    overrides: Sequence[str] = (),
    stand_in: Literal["full", "small"] | None = None,
    address: str | None = None,
) -> StudyConfig:
    """The configuration of a study that may be run from here, at the cluster `address` or on this machine.

    Must be called before Ray is imported: a cluster elsewhere needs a token. `keys` are those of a study whose `space`
    is a function; the other arguments are those of `run`.

    Raises:
        ConfigError: the file is not valid, there is no token, `address` holds a password, or the versions are not those
            a job was submitted with.
    """
    from study.cluster.access import check_token
    from study.config import ConfigError, load_config, parse_config
    from study.config.keys import of_function
    from study.search.record.storage import check_cluster
    from study.search.record.versions import check_versions

    check_versions()
    check_cluster(address or "")
    check_token(address or None)
    if callable(space):
        text = of_function(space, keys or {})
        return parse_config(text, source="run()", overrides=overrides, stand_in=stand_in)
    if keys:
        raise ConfigError(
            f"run(): {next(iter(keys))} is given beside a study file; give it as overrides=['key=value'], or give a "
            "function in the file's place"
        )
    if isinstance(space, Mapping):
        return parse_config(json.dumps(_with_names(space)), source="the study", overrides=overrides, stand_in=stand_in)
    return load_config(Path(space), overrides=overrides, stand_in=stand_in)


def _with_names(space: Mapping[str, Any]) -> dict[str, Any]:
    """A study's content with factories of encoders, and scores, by name, where they are functions.

    Raises:
        ConfigError: one cannot be sent to other processes.
    """
    from study.config import ConfigError
    from trainables.code.calls import SourceError
    from trainables.sources import remembered

    def named(key: str, value: Any) -> Any:
        if not callable(value):
            return value
        try:
            return remembered(value)
        except SourceError as error:
            raise ConfigError(f"{key}: {error}") from None

    def encoder(section: Any) -> Any:
        if not isinstance(section, Mapping) or "factory" not in section:
            return section
        return {**section, "factory": named("factory", section["factory"])}

    content = {**space}
    if "encoder" in content:
        content["encoder"] = encoder(content["encoder"])
    if isinstance(content.get("encoders"), Mapping):
        content["encoders"] = {name: encoder(section) for name, section in content["encoders"].items()}
    if isinstance(scores := content.get("score"), Mapping):
        content["score"] = {name: named(f"score.{name}", score) for name, score in scores.items()}
    elif "score" in content:
        content["score"] = named("score", content["score"])
    return content


@told_in_python()
def run(
    space: Space,
    *,
    overrides: Sequence[str] = (),
    out: str | Path = "studies",
    address: str | None = None,
    tracking_uri: str | None = None,
    stand_in: Literal["full", "small"] | None = None,
    progress: bool = True,
    on_progress: Callable[[StudyProgress], object] | None = None,
    **keys: Unpack[StudyKeys],
) -> Results:
    """Run, resume or extend a study, as `python -m study.run` does, and return its report.

    Args:
        space: the study file, its content as a mapping (a factory of an encoder, or a score, may be the
            function itself there), or a function `train(trial)` of your own: then `keys` are the rest of the study,
            `run(train, study="mine", pairs=[("image", "text")], options={"epochs": 20})`.
        overrides: `key=value` each, as the command's `--set`.
        out: folder of all studies, or `s3://BUCKET/PREFIX`.
        address: of a running Ray cluster; None starts Ray on this machine.
        tracking_uri: of MLflow; None is what the command line takes.
        stand_in: `full` or `small` for generated data of the dataset's layout.
        progress: show lines and a progress bar; the logger `align_study` has the lines in any case.
        on_progress: called with where the study is, a `study.StudyProgress` (phase, trainings done and planned, time
            left, answers so far), twice a second at most. What it raises is told once, and stops nothing.
        keys: of the study file, beside a function.

    Raises:
        ConfigError: the file, the data or the machine does not allow the study; the message is one line.
    """
    started = time.monotonic()
    config = read_study(space, keys=keys, overrides=overrides, stand_in=stand_in, address=address)

    from rich.console import Console

    from study.cli.display import Display
    from study.config.folder import out_of
    from study.results.model import to_json

    place = out_of(out)
    with Display(Console(stderr=True, quiet=not progress), on_progress=on_progress) as display:
        from study.session.running import run_study  # seconds of imports, during which something is shown
        from study.tracking import Tracker
        from study.tracking import tracking_uri as resolved_uri

        uri = resolved_uri(tracking_uri)
        report = run_study(
            config,
            out=place,
            address=address,
            tracker=Tracker(uri, say=display.say),
            display=display,
            started=started,
            function=space if callable(space) else None,
        )
    return Results(to_json(report), place / config.study if isinstance(place, Path) else f"{place}/{config.study}")


@told_in_python()
def select(
    strengths: ArrayLike | pd.DataFrame | Results | Report,
    scores: ArrayLike | None = None,
    seeds: ArrayLike | None = None,
    *,
    strength: str | None = None,
    score: str | None = None,
    seed: str | None = None,
    encoder: str | None = None,
    split: str | None = None,
    minimise: bool | None = None,
    log: bool = False,
    name: str | None = None,
) -> Answer:
    """λ* from trainings that are done already, as `python -m study.select` finds it.

    Args:
        strengths: (N,) of the trainings; or a frame with a row per training, whose columns `strength`, `score`, `seed`,
            `encoder` and `split` name where they are not obvious; or a report, for its search alone.
        scores: (N,) of the trainings, NaN for one that diverged; or (N, R), column r of the r-th common seed.
        seeds: (N,) of the trainings, or (R,) of the columns; None is not known, or 0, 1, … of columns.
        strength: column of the frame.
        score: column of the frame.
        seed: column of the frame.
        encoder: column of the frame, an answer for each of its values.
        split: column of the frame: searched on `validation`, confirmed on `test`.
        minimise: whether a lower score is better; None goes by the score's name.
        log: the strengths lie on a logarithmic scale.
        name: of the hyperparameter, if it is not λ.

    Raises:
        ConfigError: there are too few trainings for a curve, or what is given cannot be, as an argument of another type
            or of another kind of input; the message is one line.
    """
    from study.outside.notebook import Answer
    from study.outside.reading import answer_given
    from study.outside.trials import Asked

    given = strengths.report if isinstance(strengths, Results) else strengths
    asked = Asked(
        strength=strength, score=score, seed=seed, encoder=encoder, split=split, minimise=minimise, log=log, name=name
    )
    return Answer(answer_given(given, scores, seeds, asked))
