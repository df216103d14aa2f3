"""From trials, arrays or a report to answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from study.config import ConfigError
from study.outside.answer import answers
from study.outside.tables import encoder_tables
from study.outside.trials import COLUMNS, Asked, Trials, check_asked, choose_columns
from study.results.model import EncoderResult, OutsideResult, Report

_ASKED = Asked(strength="strength", score="score")  # of arrays


def answer_trials(trials: Trials, asked: Asked, *, scale: float | None = None) -> tuple[OutsideResult, ...]:
    """The answer of each encoder of a source.

    Raises:
        ConfigError: the columns do not say what is what, or there are too few trainings for a curve.
    """
    columns = choose_columns(trials, asked)
    try:
        return answers(encoder_tables(trials, columns), columns, source=trials.source, scale=scale)
    except ConfigError:
        raise
    except ValueError as error:  # of the selection
        raise ConfigError(f"{trials.source}: {error}") from None


def answer_given(
    given: ArrayLike | pd.DataFrame | Report, scores: ArrayLike | None, seeds: ArrayLike | None, asked: Asked
) -> tuple[OutsideResult, ...]:
    """The answers of what Python gives: strengths (N,) with scores and perhaps seeds, or a frame or a report alone.

    Raises:
        ConfigError: as `answer_trials`, or something is given that this kind of input does not take.
    """
    check_asked(asked)
    arrays = [name for name, values in (("scores", scores), ("seeds", seeds)) if values is not None]
    columns = [role for role in COLUMNS if getattr(asked, role) is not None]
    if isinstance(given, Report):
        named = [option for option in ("minimise", "name") if getattr(asked, option) is not None]
        if unused := (*arrays, *columns, *named, *(["log"] if asked.log else [])):
            raise ConfigError(f"{unused[0]}= was given beside a report, which says it itself; leave it out")
        return answer_report(given)
    if isinstance(given, pd.DataFrame):
        if arrays:
            raise ConfigError(
                f"{arrays[0]}= was given beside a frame, of whose columns one is to hold it; name that one with "
                f"{arrays[0].removesuffix('s')}='COLUMN', or give arrays only"
            )
        return answer_trials(_trials_of_frame(given), asked)
    if isinstance(given, str | Path):
        raise ConfigError(f"select() was given {str(given)!r}; read it, as pandas.read_csv does, and give its frame")
    if scores is None:
        raise ConfigError("strengths were given without scores; give both, or a frame that has them")
    if columns:
        raise ConfigError(
            f"{columns[0]}= names a column of a frame, and arrays were given; leave it out, or give the frame"
        )
    trials, roles = trials_of_arrays(given, scores, seeds)
    return answer_trials(trials, replace(roles, minimise=bool(asked.minimise), log=asked.log, name=asked.name))


def _trials_of_frame(frame: pd.DataFrame) -> Trials:
    """The rows of a frame; of columns of several levels the names are joined."""
    levels = [frame.columns.get_level_values(level).map(str) for level in range(frame.columns.nlevels)]
    named = frame.set_axis(["_".join(parts) for parts in zip(*levels, strict=True)], axis="columns")
    if named.columns.has_duplicates:
        twice = named.columns[named.columns.duplicated()][0]
        raise ConfigError(f"the frame has two columns {twice!r}; give each its own name")
    return Trials(source="the frame", frame=named)


def trials_of_arrays(strengths: ArrayLike, scores: ArrayLike, seeds: ArrayLike | None) -> tuple[Trials, Asked]:
    """Trials (N,) of so many strengths and scores, with a seed each or without; or scores (S, R) as of
    `study.selection.select`, a column a seed, NaN for a training that was not run.

    Raises:
        ConfigError: the shapes disagree, or they hold no numbers.
    """
    try:
        axis, values = _floats(strengths), _floats(scores)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"strengths and scores must be arrays of numbers: {error}") from None
    if axis.ndim != 1 or values.shape[:1] != axis.shape or values.ndim > 2:
        raise ConfigError(
            f"strengths have shape {axis.shape}, scores {values.shape}; give (N,) and (N,), or (S,) and (S, seeds)"
        )
    if values.ndim == 2:
        if seeds is not None and np.shape(seeds) != values.shape[1:]:
            raise ConfigError(f"seeds have shape {np.shape(seeds)}; give one for each of {values.shape[1]} columns")
        names = np.arange(values.shape[1]) if seeds is None else np.asarray(seeds)
        axis, names = np.repeat(axis, values.shape[1]), np.tile(names, values.shape[0])
        frame = pd.DataFrame({"strength": axis, "score": values.ravel(), "seed": names})
        return Trials(source="arrays", frame=frame, parameters=("strength",)), replace(_ASKED, seed="seed")
    masked = np.ma.getmaskarray(np.ma.asarray(scores))
    told = pd.Series(values, dtype=object).mask(np.isnan(values), "nan").mask(masked, None)  # "nan": it diverged
    frame = pd.DataFrame({"strength": axis, "score": told})
    if seeds is not None:
        if np.shape(seeds) != values.shape:
            raise ConfigError(f"seeds have shape {np.shape(seeds)}, scores {values.shape}; they must agree")
        frame["seed"] = np.asarray(seeds)
    known = None if seeds is None else "seed"
    return Trials(source="arrays", frame=frame, parameters=("strength",)), replace(_ASKED, seed=known)


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    """An array of numbers, NaN where one of NumPy's masked arrays has none."""
    return np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)


def answer_report(report: Report) -> tuple[OutsideResult, ...]:
    """The answer of every encoder of a study, from the scores of its search alone, on the axis of the study."""
    told: list[OutsideResult] = []
    for cell in report.cells:
        for index, encoder in enumerate(cell.encoders[:2]):
            if encoder.curve:
                told += _answer_encoder(encoder, cell.title, cell.names[index], cell.metric(index))
    if not told:
        raise ConfigError(f"the report of {report.study} has no curve yet; run the study first")
    return tuple(told)


def _answer_encoder(encoder: EncoderResult, title: str, modality: str, metric: str) -> tuple[OutsideResult, ...]:
    rows = [
        {"strength": point.strength, metric: "nan" if score is None else score, "seed": seed, "encoder": modality}
        for point in encoder.curve
        for seed, score in enumerate(point.scores)
        if score is not None or point.diverged
    ]
    trials = Trials(source=title, frame=pd.DataFrame(rows), parameters=("strength",))
    asked = Asked(strength="strength", score=metric, seed="seed", encoder="encoder", minimise=False)
    return answer_trials(trials, asked, scale=encoder.posterior.scale if encoder.posterior else None)
