"""What a report draws of single trainings, compact enough to stand on record: where representations lie, which classes
are told.

Nothing that is learnt or scored depends on it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.base import PairData, Target
from trainables.spec import ReplicateResult
from trainables.training.pack import CURVE_ROWS, Pack

ROWS = 120  # of a projection: more cover each other
QUANTILES = 5  # of a real target, by which rows are told apart
_MOST_CLASSES = 30  # whose accuracies are kept


def with_pictures(
    results: Sequence[ReplicateResult], pack: Pack, data: PairData, *, drawn: Sequence[int]
) -> tuple[ReplicateResult, ...]:
    """The results of a pack's replicas, those of `drawn` with their pictures.

    In the search that is a projection of the representations, in the confirmation the accuracy by class.
    """
    told = list(results)
    draw = _projections if pack.spec.evaluate == "valid" else _recalls
    for replica, picture in draw(pack, data, [k for k in drawn if told[k].status == "ok"]).items():
        told[replica] = replace(told[replica], picture=picture)
    return tuple(told)


def project(first: Tensor, second: Tensor) -> tuple[NDArray[np.float16], tuple[float, float]]:
    """Both modalities' representations (N, D) in one plane, (2, N, 2), and the share of the variance of each axis.

    Rows are normalised to length 1, as contrastive losses see them; the plane is that of the first two principal
    components of both modalities' rows together, so that where they lie apart is seen too. Of each component the
    largest loading is positive, the first of equal ones.
    """
    rows = torch.cat([first, second]).double()
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    centred = (rows - rows.mean(0)).numpy()
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
    points = np.zeros((len(centred), 2))
    points[:, : axes.shape[1]] = centred @ (axes * signs)
    shares = np.zeros(2)
    shares[: axes.shape[1]] = values[::-1][:2].clip(0) / max(float(values.clip(0).sum()), 1e-300)
    return points.reshape(2, -1, 2).astype(np.float16), (float(shares[0]), float(shares[1]))


def _projections(pack: Pack, data: PairData, drawn: Sequence[int]) -> dict[int, dict[str, Any]]:
    if not drawn:
        return {}
    (first, second), (targets, _) = pack.outputs("projections", most=ROWS)
    if first.shape[-1] != second.shape[-1]:  # they lie in no common space
        return {}
    pictures = {}
    for replica in drawn:
        points, shares = project(first[replica].cpu(), second[replica].cpu())
        pictures[replica] = {
            "points": _text(points),
            "labels": _text(_labels(data.targets[0], targets[replica].cpu().numpy())),
            "classes": data.targets[0].kind == "classes",
            "shares": [round(share, 4) for share in shares],
        }
    return pictures


def _recalls(pack: Pack, data: PairData, drawn: Sequence[int]) -> dict[int, dict[str, Any]]:
    classes = [target.n_classes if target.kind == "classes" else 0 for target in data.targets]
    if not drawn or not all(2 <= count <= _MOST_CLASSES for count in classes):
        return {}
    said, truths = pack.outputs("predictions", most=CURVE_ROWS)
    pictures: dict[int, dict[str, Any]] = {replica: {"recalls": []} for replica in drawn}
    for outputs, truth, count in zip(said, truths, classes, strict=True):
        for replica in drawn:
            true = truth[replica].cpu().numpy()
            hit = (outputs[replica].argmax(-1) == truth[replica]).cpu().numpy()
            rows = np.bincount(true, minlength=count)
            shares = np.bincount(true, hit, minlength=count) / rows.clip(1)
            pictures[replica]["recalls"].append(
                [round(float(share), 4) if there else None for share, there in zip(shares, rows, strict=True)]
            )
    return pictures


def _labels(target: Target, values: NDArray[Any]) -> NDArray[np.uint8]:
    """A number for each row: its class, its first label, or the fifth of the rows that its first value lies in."""
    if target.kind == "classes":
        return (values % 256).astype(np.uint8)
    column = values.reshape(len(values), -1)[:, 0]
    if target.kind == "multi_label":
        return column.astype(np.uint8)
    bounds = np.quantile(column, np.arange(1, QUANTILES) / QUANTILES)
    return np.searchsorted(bounds, column, side="right").astype(np.uint8)


def _text(values: NDArray[Any]) -> str:
    """The bytes of an array, least significant first, as text."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()
