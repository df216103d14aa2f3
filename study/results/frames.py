"""A report as tidy tables: pandas frames, and CSV and Parquet files of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from study.results.flat import advised_numbers, answer_numbers, with_limits
from study.results.model import CellResult, CrossedPoint, CurvePoint, GainResult, ProfileResult, Report
from study.results.text.amounts import standing


def frames(report: Report) -> dict[str, pd.DataFrame]:
    """The tables of a report.

    `pairs`: a row per cell, its profile (bits), λ* of one λ for both, and what it is advised to do. `encoders`: a row
    per encoder, λ*, interval, gain, verdict. `curves`: a row per encoder and strength. `scores`: a row per training of
    those. `joint`: a row per cell and strength, where both representations were probed together, `crossed_1` and
    `crossed_2` what each tells of the other's target. `alignment`: a row per cell and strength. `numbers`: the same,
    where a function of the user's returned other numbers than scores. All but `pairs` carry `cell`, the id that `pairs`
    has too. Other names are those of report.json (`study.results.flat`); `standing` is what a gain may be told as
    (`study.results.text.amounts.standing`), `for_new_rows` whether its interval counts the luck of the rows.
    """
    cells = report.cells
    tables: dict[str, Iterator[dict[str, Any]]] = {
        "pairs": (_pair(cell) for cell in cells),
        "encoders": (row for cell in cells for row in _encoders(cell)),
        "curves": (row for cell in cells for row in _curves(cell)),
        "scores": (row for cell in cells for row in _scores(cell)),
        "joint": (row for cell in cells for row in _joint(cell)),
        "alignment": (
            {**_of(cell), "strength": point.strength, **point.similarities}
            for cell in cells
            for point in cell.alignment
        ),
        "numbers": (
            {**_of(cell), "strength": point.strength, **{f"number_{key}": one for key, one in point.numbers.items()}}
            for cell in cells
            for point in cell.other_numbers
        ),
    }
    if not any(cell.joint for cell in cells):
        del tables["joint"]
    if not any(cell.other_numbers for cell in cells):  # of a function alone
        del tables["numbers"]
    return {name: pd.DataFrame(list(rows)) for name, rows in tables.items()}


def export(report: Report, folder: Path) -> list[Path]:
    """Write every table into `folder` (made if missing) as CSV and as Parquet; the files written.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, frame in frames(report).items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        written += [folder / f"{name}.csv", folder / f"{name}.parquet"]
    return written


def _of(cell: CellResult) -> dict[str, Any]:
    first, second = cell.names
    return {"cell": cell.identity, "dataset": cell.dataset, "modality_1": first, "modality_2": second}


def _pair(cell: CellResult) -> dict[str, Any]:
    advised, profile = cell.advice, cell.pid or ProfileResult()
    first, second = advised.strengths or (None, None)
    return {
        **_of(cell),
        **{f"variant_{key}": value for key, value in cell.variant.items()},
        "stand_in": cell.stand_in,
        **profile.components,
        "dominant": profile.dominant,
        "estimator": profile.estimator,
        "strategy": advised.strategy,
        "strength_1": first,
        "strength_2": second,
        **with_limits("lambda_star", cell.pair_choice.lambda_star, cell.pair_choice.interval),
        **advised_numbers(advised),
        "verdict": advised.verdict,
        **_trust(advised.gain or GainResult()),
        "trainings": _as_float(cell.counts.trainings),
        "error": cell.error,
    }


def _encoders(cell: CellResult) -> Iterator[dict[str, Any]]:
    for index, name, encoder in cell.told_encoders:
        yield {
            **_of(cell),
            "modality": name,
            "metric": cell.metric(index),
            **answer_numbers(encoder),
            "verdict": encoder.verdict,
            **_trust(encoder.told_gain),
            "lambda_1se": encoder.lambda_1se,
            "shape": encoder.shape,
            "flags": " ".join(encoder.flags),
            "baseline": encoder.baseline.mean if encoder.baseline else None,
            "model": encoder.model.registered if encoder.model else None,
            "model_score": encoder.model.score if encoder.model else None,
        }


def _trust(gain: GainResult) -> dict[str, Any]:
    """What a gain rests on, and what it may be told as."""
    return {
        "seeds": _as_float(gain.seeds),
        "standing": standing(gain),
        "for_new_rows": None if gain.mean is None else gain.is_for_new_rows,
    }


def _curves(cell: CellResult) -> Iterator[dict[str, Any]]:
    for name, point in _points(cell):
        yield {
            **_of(cell),
            "modality": name,
            "strength": point.strength,
            "mean": point.mean,
            "sd": point.sd,
            "seeds": _as_float(point.seeds),
            "diverged": _as_float(point.diverged),
        }


def _scores(cell: CellResult) -> Iterator[dict[str, Any]]:
    for name, point in _points(cell):
        for seed, score in enumerate(point.scores):
            row = {"strength": point.strength, "replicate": seed, "score": score}
            yield {**_of(cell), "modality": name, **row}


def _joint(cell: CellResult) -> Iterator[dict[str, Any]]:
    """The third curve: `mean` and `sd` over the replicates, with λ* and verdict of the probe beside every point."""
    if cell.joint is None:
        return
    crossed = {point.strength: point for point in cell.joint.crossed}
    for point in cell.joint.curve:
        across = crossed.get(point.strength, CrossedPoint())
        yield {
            **_of(cell),
            "strength": point.strength,
            "mean": point.mean,
            "sd": point.sd,
            "seeds": _as_float(point.seeds),
            "crossed_1": across.encoder_1,
            "crossed_2": across.encoder_2,
            "lambda_star": cell.joint.lambda_star,
            "verdict": cell.joint.verdict,
        }


def _points(cell: CellResult) -> Iterator[tuple[str, CurvePoint]]:
    for _, name, encoder in cell.told_encoders:
        for point in encoder.curve:
            yield name, point


def _as_float(count: int | None) -> float | None:
    """A count as tables hold it: some row may lack it, and a column of pandas has one type."""
    return None if count is None else float(count)
