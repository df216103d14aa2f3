"""A report as tidy tables: pandas frames, and CSV and Parquet files of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from study.results import reading
from study.results.reading import Part, Report, number, part, parts


def frames(report: Report) -> dict[str, pd.DataFrame]:
    """The tables of a report.

    `pairs`: a row per cell, its profile (bits), strategy and gain. `encoders`: a row per encoder, λ*, interval, gain,
    verdict. `curves`: a row per encoder and strength. `scores`: a row per training of those. `alignment`: a row per
    cell and strength. All but `pairs` carry `cell`, the id that `pairs` has too.
    """
    cells = parts(report, "cells")
    tables: Mapping[str, Iterator[dict[str, Any]]] = {
        "pairs": (_pair(cell) for cell in cells),
        "encoders": (row for cell in cells for row in _encoders(cell)),
        "curves": (row for cell in cells for row in _curves(cell)),
        "scores": (row for cell in cells for row in _scores(cell)),
        "alignment": ({**_of(cell), **point} for cell in cells for point in parts(cell, "alignment")),
    }
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


def _of(cell: Part) -> dict[str, Any]:
    first, second = reading.pair_of(cell)
    return {
        "cell": reading.identity_of(cell),
        "dataset": cell.get("dataset"),
        "modality_1": first,
        "modality_2": second,
    }


def _pair(cell: Part) -> dict[str, Any]:
    choice, profile = part(cell, "pair_choice"), part(cell, "pid")
    first, second = (*(choice.get("strengths") or ()), None, None)[:2]
    return {
        **_of(cell),
        **{f"variant_{key}": value for key, value in part(cell, "variant").items()},
        "stand_in": bool(cell.get("stand_in")),
        **{key: number(profile.get(key)) for key in reading.COMPONENTS},
        "dominant": profile.get("dominant"),
        "estimator": profile.get("estimator"),
        "strategy": choice.get("strategy"),
        "strength_1": number(first),
        "strength_2": number(second),
        **_answer(choice),
        "trainings": number(part(cell, "counts").get("trainings")),
        "error": cell.get("error"),
    }


def _encoders(cell: Part) -> Iterator[dict[str, Any]]:
    for index, entry in enumerate(parts(cell, "encoders")[:2]):
        model = part(entry, "model")
        yield {
            **_of(cell),
            "modality": reading.pair_of(cell)[index],
            "metric": reading.metric_of(cell, index),
            **_answer(entry),
            "lambda_1se": number(entry.get("lambda_1se")),
            "shape": entry.get("shape"),
            "flags": " ".join(map(str, entry.get("flags") or ())),
            "baseline": number(part(entry, "baseline").get("mean")),
            "model": model.get("registered"),
            "model_score": number(model.get("score")),
        }


def _answer(entry: Part) -> dict[str, Any]:
    gain = part(entry, "gain_over_zero")
    low, high = reading.interval(entry.get("interval")) or (None, None)
    gain_low, gain_high = reading.interval(gain.get("interval")) or (None, None)
    return {
        "lambda_star": number(entry.get("lambda_star")),
        "lambda_star_low": low,
        "lambda_star_high": high,
        "gain": number(gain.get("mean")),
        "gain_low": gain_low,
        "gain_high": gain_high,
        "p_value": number(gain.get("p_value")),
        "p_adjusted": number(gain.get("p_adjusted")),
        "seeds": number(gain.get("seeds")),
        "verdict": entry.get("verdict"),
    }


def _curves(cell: Part) -> Iterator[dict[str, Any]]:
    for index, point in _points(cell):
        values = {key: number(point.get(key)) for key in ("strength", "mean", "sd", "seeds", "diverged")}
        yield {**_of(cell), "modality": reading.pair_of(cell)[index], **values}


def _scores(cell: Part) -> Iterator[dict[str, Any]]:
    for index, point in _points(cell):
        for seed, score in enumerate(point.get("scores") or ()):
            row = {"strength": number(point.get("strength")), "replicate": seed, "score": number(score)}
            yield {**_of(cell), "modality": reading.pair_of(cell)[index], **row}


def _points(cell: Part) -> Iterator[tuple[int, Part]]:
    for index, entry in enumerate(parts(cell, "encoders")[:2]):
        for point in parts(entry, "curve"):
            yield index, point
