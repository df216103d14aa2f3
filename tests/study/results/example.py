"""Reports as a finished, a partial and a hostile study leave them, made from planted curves: no training needed."""

from __future__ import annotations

import base64
import copy
import math
from typing import Any

import numpy as np

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 4.0)
SYNTHETIC_STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0)

# Means measured on the synthetic generator at R = 0, 2, 4, 6, 8 (encoder 1, encoder 2), one value per strength above.
SYNTHETIC = {
    0: ((0.467, 0.465, 0.454, 0.452, 0.445, 0.438, 0.383), (0.467, 0.464, 0.461, 0.455, 0.454, 0.452, 0.388)),
    2: ((0.520, 0.519, 0.517, 0.514, 0.515, 0.514, 0.495), (0.533, 0.532, 0.528, 0.529, 0.527, 0.511, 0.495)),
    4: ((0.593, 0.596, 0.593, 0.590, 0.588, 0.594, 0.589), (0.555, 0.557, 0.553, 0.554, 0.547, 0.560, 0.561)),
    6: ((0.757, 0.756, 0.754, 0.757, 0.752, 0.754, 0.752), (0.630, 0.632, 0.632, 0.638, 0.641, 0.639, 0.640)),
    8: ((0.848, 0.853, 0.853, 0.852, 0.853, 0.856, 0.857), (0.717, 0.729, 0.736, 0.743, 0.752, 0.752, 0.765)),
}


def digits_report() -> dict[str, Any]:
    """A complete study of three pairs: one to align, one to align one-sidedly, one to leave alone."""
    s = np.asarray(STRENGTHS)
    hump = 0.92 + 0.016 * np.exp(-((np.sqrt(s) - 0.8) ** 2) / 0.15) - 0.004 * s
    rising = 0.86 + 0.031 * (1 - np.exp(-1.5 * s))
    flat = 0.93 + 0 * s
    falling = 0.91 - 0.021 * s**0.8
    cells = [
        _cell(
            "digits", ("left", "right"), STRENGTHS, (hump, rising), label="digits, left + right", seeds=5, sd=0.006,
            answers=(
                _answer(0.62, (0.31, 1.1), "align", "inverted-u"),
                _answer(2.6, (1.4, 4.0), "align", "rising", ["edge"]),
            ),
            choice=_choice("shared", 0.9, (0.5, 1.6), "align"), pid=(1.92, 0.21, 0.17, 0.44),
        ),
        _cell(
            "digits", ("left", "fourier"), STRENGTHS, (flat, rising - 0.05), label="digits, left + fourier", seeds=5,
            sd=0.006,
            answers=(_answer(0.3, (0.0, 3.1), "indifferent", "flat"), _answer(1.9, (0.8, 3.6), "align", "rising")),
            choice=_choice("to_2", 1.9, (0.8, 3.6), "align"), pid=(1.61, 0.48, 0.09, 0.39),
        ),
        _cell(
            "digits", ("right", "fourier"), STRENGTHS, (falling, falling - 0.1), label="digits, right + fourier",
            seeds=5, sd=0.006,
            answers=(
                _answer(0.0, (0.0, 0.12), "avoid", "falling"),
                _answer(0.0, (0.0, 0.2), "avoid", "falling", ["undertrained"]),
            ),
            choice=_choice("none", 0.0, (0.0, 0.1), "avoid"), pid=(0.72, 0.61, 0.55, 0.93),
        ),
    ]  # fmt: skip
    cells[2]["encoders"][1]["curve"][-1]["scores"][3] = None
    cells[2]["encoders"][1]["curve"][-1]["diverged"] = 1
    cells[2]["counts"]["diverged"] = 1
    cells[2]["encoders"][1]["flags"].append("diverged")
    cells[0]["pictures"] = _pictures("left", "right", star=(0.9, 0.9))
    cells[1]["pictures"] = _pictures("left", "fourier", star=(0.0, 1.9))
    return _report("digits", cells)


def _pictures(first: str, second: str, *, star: tuple[float, float], rows: int = 120) -> dict[str, Any]:
    """Projections in which the two modalities come together, and accuracies of ten classes that all rise."""
    drawn = np.random.default_rng(0)
    labels = np.arange(rows) % 10
    places = np.stack([np.cos(labels), np.sin(labels)], 1)
    projections = []
    for strengths, apart in (((0.0, 0.0), 1.0), (star, 0.3), ((4.0, 4.0), 0.1)):
        points = np.stack([places, places * (1 - apart)]) + drawn.normal(0, 0.1, (2, rows, 2))
        projections.append(
            {
                "strengths": list(strengths),
                "points": base64.b64encode(points.astype("<f2").tobytes()).decode(),
                "labels": base64.b64encode(labels.astype(np.uint8).tobytes()).decode(),
                "classes": True,
                "shares": [0.4, 0.2],
            }
        )
    at_zero = [round(0.85 + 0.01 * k, 4) for k in range(10)]
    classes = [
        {"modality": name, "at_zero": at_zero, "at_star": [round(value + 0.02, 4) for value in at_zero]}
        for name in (first, second)
    ]
    return {"projections": projections, "strengths": list(star), "classes": classes}


def synthetic_report() -> dict[str, Any]:
    """Five cells of one pair at rising redundancy, with the generator's exact profile."""
    verdicts = {
        0: (_answer(0.0, (0.0, 0.15), "avoid", "falling"), _answer(0.0, (0.0, 0.25), "avoid", "falling"), "none"),
        2: (_answer(0.05, (0.0, 0.4), "avoid", "falling"), _answer(0.0, (0.0, 0.3), "avoid", "falling"), "none"),
        4: (_answer(0.2, (0.0, 1.4), "indifferent", "flat"), _answer(1.5, (0.0, 2.0), "indifferent", "flat"), "none"),
        6: (_answer(0.1, (0.0, 1.2), "indifferent", "flat"), _answer(0.9, (0.5, 2.0), "align", "rising"), "shared"),
        8: (
            _answer(1.7, (0.8, 2.0), "align", "rising"),
            _answer(2.0, (1.5, 2.0), "align", "rising", ["edge"]),
            "shared",
        ),
    }
    cells = []
    for redundancy, means in SYNTHETIC.items():
        first, second, strategy = verdicts[redundancy]
        star = 0.0 if strategy == "none" else second["lambda_star"]
        pid = (0.12 + 0.11 * redundancy, 0.28 - 0.03 * redundancy, 0.26 - 0.028 * redundancy, 0.55 - 0.03 * redundancy)
        cell = _cell(
            "synthetic", ("view_1", "view_2"), SYNTHETIC_STRENGTHS, tuple(np.asarray(m) for m in means), seeds=8,
            sd=0.008, label=f"synthetic R = {redundancy}", answers=(first, second), pid=pid,
            choice=_choice(strategy, star, (0.0, 0.2) if star == 0 else (0.6, 2.0), "align" if star else "indifferent"),
        )  # fmt: skip
        cell["variant"] = {"redundancy": redundancy}
        cell["id"] = f"synthetic/view_1+view_2/redundancy={redundancy}"
        cell["pid"]["exact"] = dict(zip(_COMPONENTS, (v * 0.93 for v in pid), strict=True))
        cells.append(cell)
    return _report("synthetic", cells)


def partial_report() -> dict[str, Any]:
    """The digits study half-way: one cell answered, one with a few strengths and no answer yet, one untouched."""
    report = digits_report()
    report["status"] = "partial"
    _, searching, untouched = report["cells"]
    for encoder in searching["encoders"]:
        encoder["curve"] = encoder["curve"][:4]
        for key in ("lambda_star", "interval", "lambda_1se", "gain_over_zero", "verdict", "shape", "posterior"):
            encoder[key] = None
    searching["alignment"] = searching["alignment"][:4]
    searching["pair_choice"] = None
    report["cells"][2] = {k: untouched[k] for k in ("id", "label", "dataset", "pair", "pid")}
    return report


def hostile_report() -> dict[str, Any]:
    """Names that try to break out of HTML, Markdown, SVG, MLflow keys and file paths."""
    report = digits_report()
    evil = "<script>alert('x')</script>"
    report["study"] = f'../{evil} | **bold** & "quotes"'
    for cell in report["cells"]:
        cell["label"] = f"{evil} $\\frac{{1}}{{0}}$, [link](javascript:1)"
        cell["id"] = f"../../{cell['id']}/{evil}"
        cell["pair"] = [f"{evil}|1", "$x_{2}$ `code`\nnew line"]
        for encoder, name in zip(cell["encoders"], cell["pair"], strict=True):
            encoder["modality"] = name
            encoder["flags"] = [evil]
        cell["pair_choice"]["reason"] = evil
    report["versions"] = {evil: evil}
    return report


def without_optional_fields(report: dict[str, Any]) -> dict[str, Any]:
    """The same report with the fields of the stable schema only."""
    keep_encoder = (
        "modality", "lambda_star", "interval", "lambda_1se", "gain_over_zero", "verdict", "shape", "flags", "curve",
    )  # fmt: skip
    keep_choice = ("lambda_star", "interval", "gain_over_zero", "verdict", "strategy", "strengths")
    bare = {k: report[k] for k in ("schema", "study", "config_hash", "versions", "wall_seconds", "trainings")}
    bare["cells"] = []
    for cell in copy.deepcopy(report["cells"]):
        for encoder in cell["encoders"]:
            encoder["curve"] = [
                {k: point[k] for k in ("strength", "mean", "sd", "seeds")} for point in encoder["curve"]
            ]
        bare["cells"].append(
            {
                "dataset": cell["dataset"],
                "pair": cell["pair"],
                "pid": {k: cell["pid"][k] for k in (*_COMPONENTS, "units", "estimator", "interval", "dominant")},
                "encoders": [{k: e[k] for k in keep_encoder} for e in cell["encoders"]],
                "pair_choice": {k: cell["pair_choice"][k] for k in keep_choice},
                "alignment": cell["alignment"],
            }
        )
    return bare


_COMPONENTS = ("redundancy", "unique_1", "unique_2", "synergy")


def _answer(
    star: float, interval: tuple[float, float], verdict: str, shape: str, flags: list[str] | None = None
) -> dict[str, Any]:
    return {
        "lambda_star": star, "interval": list(interval), "lambda_1se": round(0.7 * star, 3), "verdict": verdict,
        "shape": shape, "flags": flags or [],
    }  # fmt: skip


def _choice(strategy: str, star: float, interval: tuple[float, float], verdict: str) -> dict[str, Any]:
    strengths = {"none": [0.0, 0.0], "shared": [star, star], "to_1": [star, 0.0], "to_2": [0.0, star]}[strategy]
    return {
        "strategy": strategy, "lambda_star": star, "interval": list(interval), "verdict": verdict,
        "strengths": strengths, "reason": "the largest mean gain among the strategies that harm neither encoder",
    }  # fmt: skip


def _gain(curve: np.ndarray, strengths: np.ndarray, star: float, sd: float, seeds: int = 10) -> dict[str, Any]:
    mean = float(np.interp(star, strengths, curve) - curve[0])
    half = 2.26 * sd / math.sqrt(seeds)
    return {
        "mean": round(mean, 5), "interval": [round(mean - half, 5), round(mean + half, 5)],
        "p_value": 0.31 if abs(mean) < half else 0.0008, "p_adjusted": 0.62 if abs(mean) < half else 0.004,
        "seeds": seeds, "source": "confirm",
    }  # fmt: skip


def _posterior(curve: np.ndarray, strengths: np.ndarray, sd: float) -> dict[str, list[float]]:
    grid = np.linspace(0, np.sqrt(strengths[-1]), 61) ** 2
    mean = np.interp(np.sqrt(grid), np.sqrt(strengths), curve)
    mean = np.convolve(np.pad(mean, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return {
        "strength": grid.round(4).tolist(), "mean": mean.round(5).tolist(),
        "low": (mean - sd).round(5).tolist(), "high": (mean + sd).round(5).tolist(),
    }  # fmt: skip


def _cell(
    dataset: str,
    pair: tuple[str, str],
    strengths: tuple[float, ...],
    curves: tuple[np.ndarray, ...],
    *,
    label: str,
    seeds: int,
    sd: float,
    answers: tuple[dict[str, Any], dict[str, Any]],
    choice: dict[str, Any],
    pid: tuple[float, float, float, float],
) -> dict[str, Any]:
    rng = np.random.default_rng([len(label), seeds, round(1000 * pid[0])])
    x = np.asarray(strengths)
    encoders = []
    for name, curve, answer in zip(pair, curves, answers, strict=True):
        scores = curve[:, None] + sd * (0.7 * rng.standard_normal(seeds) + 0.7 * rng.standard_normal((len(x), seeds)))
        points = [
            {
                "strength": strength, "mean": round(float(row.mean()), 5), "sd": round(float(row.std(ddof=1)), 5),
                "seeds": seeds, "scores": row.round(5).tolist(), "diverged": 0,
            }
            for strength, row in zip(strengths, scores, strict=True)
        ]  # fmt: skip
        baseline = {"mean": round(float(curve[0]) - 0.004, 5), "sd": sd, "split": "test"}
        encoders.append(
            {
                "modality": name, **answer, "curve": points, "baseline": baseline,
                "gain_over_zero": _gain(curve, x, answer["lambda_star"], sd), "posterior": _posterior(curve, x, sd / 2),
            }
        )  # fmt: skip
    both = (curves[0] + curves[1]) / 2
    gains = [_gain(curve, x, choice["lambda_star"], sd) for curve in curves]
    alternatives = [
        {"strategy": "none", "strengths": [0.0, 0.0], "gains": [None, None]},
        {"strategy": "shared", "strengths": [0.9, 0.9], "gains": [_gain(c, x, 0.9, sd) for c in curves]},
        {
            "strategy": "to_2",
            "strengths": [0.0, 1.9],
            "gains": [_gain(0 * x, x, 1.9, sd), _gain(curves[1], x, 1.9, sd)],
        },
    ]
    for alternative in alternatives:
        if alternative["strategy"] == choice["strategy"] and choice["strategy"] != "none":
            alternative.update(strengths=choice["strengths"], gains=gains)
    learning = []
    epochs = list(range(5, 55, 5))
    for k, strength in enumerate(strengths):
        shape = 1 - 0.5 * np.exp(-np.asarray(epochs) / 9)
        score_1, score_2 = ((float(curve[k]) * shape).round(5).tolist() for curve in curves)
        learning.append({"strength": strength, "epoch": epochs, "score_1": score_1, "score_2": score_2})
    components = dict(zip(_COMPONENTS, (round(v, 4) for v in pid), strict=True))
    pull = 1 - np.exp(-2 * x)
    return {
        "id": f"{dataset}/{pair[0]}+{pair[1]}", "label": label, "dataset": dataset, "pair": list(pair), "variant": {},
        "metrics": ["accuracy", "accuracy"],
        "counts": {
            "trainings": len(strengths) * seeds + 20, "diverged": 0, "strengths": len(strengths), "replicates": seeds,
        },
        "pid": {
            **components, "units": "bits", "estimator": "broja",
            "dominant": max(components, key=components.__getitem__),
            "interval": {k: [round(max(0.0, v - 0.06), 4), round(v + 0.06, 4)] for k, v in components.items()},
            "null": {k: 0.04 + 0.02 * i for i, k in enumerate(_COMPONENTS)},
            "significant": {k: v > 0.12 for k, v in components.items()}, "exact": None, "gap": 1e-7,
        },
        "encoders": encoders,
        "pair_choice": {
            **choice, "gain_over_zero": _gain(both, x, choice["lambda_star"], sd), "alternatives": alternatives,
            "posterior": _posterior(both, x, sd / 2),
            "curve": [
                {"strength": s, "mean": float(m), "sd": sd, "seeds": seeds}
                for s, m in zip(strengths, both, strict=True)
            ],
        },
        "alignment": [
            {
                "strength": s, "cka": round(0.31 + 0.45 * p, 4), "svcca": round(0.42 + 0.34 * p, 4),
                "mutual_knn": round(0.12 + 0.21 * p, 4),
            }
            for s, p in zip(strengths, pull.tolist(), strict=True)
        ],
        "learning_curves": learning,
    }  # fmt: skip


def _report(study: str, cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": 1, "study": study, "status": "complete", "seed": 0, "stand_in": False,
        "config_hash": "3f6c1b9a0d2e4c57",
        "versions": {"python": "3.11.7", "torch": "2.13.0", "ray": "2.60.0", "optuna": "5.0.0", "mlflow": "3.17.2"},
        "wall_seconds": 96.4, "training_seconds": 74.2, "peak_memory_bytes": 2_415_919_104,
        "trainings": sum(cell["counts"]["trainings"] for cell in cells), "cells": cells,
    }  # fmt: skip
