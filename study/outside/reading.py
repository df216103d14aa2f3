"""From trials, arrays or a report to answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from study.config import ConfigError
from study.outside.answer import answers
from study.outside.tables import encoder_tables
from study.outside.trials import Asked, Trials, choose_columns
from study.results.model import EncoderResult, OutsideResult, Report


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


def trials_of_arrays(strengths: ArrayLike, scores: ArrayLike, seeds: ArrayLike | None) -> tuple[Trials, Asked]:
    """Trials (N,) of so many strengths and scores, with a seed each or without; or scores (S, R) as of
    `study.selection.select`, a column a seed, NaN for a training that was not run.

    Raises:
        ConfigError: the shapes disagree, or they hold no numbers.
    """
    try:
        axis, values = np.asarray(strengths, float), np.asarray(scores, float)
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
        return Trials(source="arrays", frame=frame, parameters=("strength",)), Asked(seed="seed")
    frame = pd.DataFrame({"strength": axis, "score": values})
    if seeds is not None:
        if np.shape(seeds) != values.shape:
            raise ConfigError(f"seeds have shape {np.shape(seeds)}, scores {values.shape}; they must agree")
        frame["seed"] = np.asarray(seeds)
    return Trials(source="arrays", frame=frame, parameters=("strength",)), Asked(seed=None if seeds is None else "seed")


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
