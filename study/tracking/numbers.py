"""Metrics of a cell and of each of its strengths, as MLflow should show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from study.results.flat import advised_numbers, answer_numbers, with_limits
from study.results.model import (
    AlignmentPoint,
    Baseline,
    CellResult,
    CrossedPoint,
    CurvePoint,
    EncoderResult,
    JointResult,
    LearningCurve,
    OtherNumbers,
    PairResult,
    ProfileResult,
    to_json,
)
from study.results.text.amounts import as_told, told_as
from study.results.text.joint import joint_metric
from study.tracking.content import Metric
from study.tracking.naming import key


def cell_metrics(cell: CellResult) -> tuple[Metric, ...]:
    """The answers of a cell: what the pair is advised to do, λ* of one λ for both, λ* and gains of both encoders and
    of the joint probe, gains of every strategy, the profile, counts.
    """
    numbers = advised_numbers(cell.advice)
    numbers |= with_limits("lambda_star", cell.pair_choice.lambda_star, cell.pair_choice.interval)
    for told in cell.told_encoders:
        numbers |= _encoder(told.answer, cell.metric(told.place), suffix=f"_{told.place + 1}")
    if cell.joint:
        numbers |= answer_numbers(cell.joint, suffix="_joint")
    numbers |= _strategies(cell.pair_choice)
    numbers |= (cell.pid or ProfileResult()).components
    numbers |= to_json(cell.counts)
    return tuple(_known(numbers))


def strength_metrics(cell: CellResult, strength: float) -> tuple[Metric, ...]:
    """What was measured at one strength: scores of both encoders, of probes, similarities, and by epoch."""
    numbers: dict[str, float | None] = {}
    for index, point in enumerate(points_at(cell, strength)):
        score = _score(cell, index)
        numbers |= {
            score: None if point.mean is None else as_told(point.mean, cell.metric(index)),
            f"{score}_sd": point.sd,
            f"seeds_{index + 1}": point.seeds,
            f"diverged_{index + 1}": point.diverged,
        }
    numbers |= _joint(cell, strength)
    similar = next((point for point in cell.alignment if point.strength == strength), AlignmentPoint())
    numbers |= {f"similarity_{key(name)}": value for name, value in similar.similarities.items()}
    other = next((point for point in cell.other_numbers if point.strength == strength), OtherNumbers())
    numbers |= {f"number_{key(name)}": value for name, value in other.numbers.items()}
    return (*_known(numbers), *_by_epoch(cell, strength))


def _joint(cell: CellResult, strength: float) -> dict[str, float | None]:
    """What both representations tell together at a strength, and each of the other's target, as they are told."""
    joint, metric = cell.joint or JointResult(), joint_metric(cell)
    point = next((one for one in joint.curve if one.strength == strength), CurvePoint())
    across = next((one for one in joint.crossed if one.strength == strength), CrossedPoint())
    return {
        "joint": None if point.mean is None else as_told(point.mean, metric),
        "joint_sd": point.sd,
        "crossed_1": None if across.encoder_1 is None else as_told(across.encoder_1, cell.metric(1)),
        "crossed_2": None if across.encoder_2 is None else as_told(across.encoder_2, cell.metric(0)),
    }


def points_at(cell: CellResult, strength: float) -> list[CurvePoint]:
    """The point of each encoder's curve at a strength; an empty one where it was not measured there."""
    return [
        next((point for point in encoder.curve if point.strength == strength), CurvePoint())
        for encoder in cell.encoders[:2]
    ]


def _known(numbers: Mapping[str, float | None]) -> Iterator[Metric]:
    return ((key(name), float(value), 0) for name, value in numbers.items() if value is not None)


def _encoder(encoder: EncoderResult, metric: str, *, suffix: str) -> dict[str, float | None]:
    baseline = encoder.baseline or Baseline()
    return {
        **answer_numbers(encoder, suffix=suffix),
        f"lambda_1se{suffix}": encoder.lambda_1se,
        f"baseline{suffix}": None if baseline.mean is None else as_told(baseline.mean, metric),
    }


def _strategies(choice: PairResult) -> dict[str, float | None]:
    """The gains of both encoders by every strategy."""
    numbers: dict[str, float | None] = {}
    for alternative in choice.alternatives:
        for index, of_encoder in enumerate(alternative.gains[:2], start=1):
            numbers[f"gain_{key(alternative.strategy)}_{index}"] = None if of_encoder is None else of_encoder.mean
    return numbers


def _by_epoch(cell: CellResult, strength: float) -> Iterator[Metric]:
    """The learning curves of a strength; each point one metric value at step = epoch."""
    curve = next((curve for curve in cell.learning_curves if curve.strength == strength), LearningCurve())
    for index, scores in enumerate((curve.score_1, curve.score_2)):
        for epoch, score in zip(curve.epoch, scores, strict=False):
            if epoch is not None and score is not None:
                yield f"by_epoch/{_score(cell, index)}", as_told(score, cell.metric(index)), int(epoch)


def _score(cell: CellResult, index: int) -> str:
    """The metric that holds the score of encoder 0 or 1, as it is called: `rmse_1` is the error itself."""
    return f"{key(told_as(cell.metric(index)))}_{index + 1}"
