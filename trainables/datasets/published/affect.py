"""CMU-MOSEI, CMU-MOSI, MUStARD and UR-FUNNY, from the pickles that MultiBench publishes (Liang et al. 2021).

Layout: {train, valid, test} -> {vision, audio, text: (N, T, d), labels: (N, 1, 1) or (N, 1, k), id}. What is done to it
follows MultiBench's and Tjandrasuwita et al.'s loaders: rows without any text are dropped, audio of -inf becomes 0,
sequences start at their first step with text and are padded with zeros at the end. Vision and audio are to be
standardised by the consumer over the real steps of the training rows (there: over all steps), text is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import SPLITS, DataError, Modality, MultimodalData, Target
from trainables.datasets.generated.stand_in import Generated, StandInPlan
from trainables.datasets.labels import check_signs

MODALITIES = ("vision", "audio", "text")
Raw = dict[str, dict[str, NDArray[Any]]]


def assemble_corpus(name: str, raw: Any, options: Mapping[str, Any]) -> MultimodalData:
    """The dataset from what the pickle holds, which is used up on the way: arrays are dropped once they are converted.

    Raises:
        DataError: the layout is another, or a value is missing.
    """
    _check_layout(name, raw)
    steps = min(options["steps"], raw["train"]["text"].shape[1])
    has_text = {key: (raw[key]["text"] != 0).any(axis=2) for key in SPLITS}  # (n, T)
    kept = {key: np.flatnonzero(real.any(axis=1)) for key, real in has_text.items()}
    start = {
        key: real[kept[key]].argmax(axis=1) if options["align"] else np.zeros(len(kept[key]), dtype=np.int64)
        for key, real in has_text.items()
    }
    total = next(iter(has_text.values())).shape[1]
    starts = np.concatenate([start[key] for key in SPLITS])
    mask = np.arange(steps) < np.minimum(total - starts, steps)[:, None]
    labels = np.concatenate([raw[key]["labels"].reshape(len(has_text[key]), -1)[kept[key], 0] for key in SPLITS])
    target = _target(name, labels, options["task"])
    modalities = {}
    for modality in sorted(MODALITIES, key=lambda m: -raw["train"][m].shape[2]):  # the largest first: it frees the most
        values = np.zeros((len(starts), steps, raw["train"][modality].shape[2]), dtype=np.float32)
        done = 0
        for key in SPLITS:
            _copy_from(raw[key].pop(modality), kept[key], start[key], values[done : done + len(kept[key])])
            done += len(kept[key])
        if modality == "audio":
            values[np.isneginf(values)] = 0.0
        if options["imputation"] == "zero":
            values[np.isnan(values)] = 0.0
        modalities[modality] = Modality(name=modality, values=values, mask=mask, standardise=modality != "text")
    return MultimodalData(
        name=name,
        modalities={modality: modalities[modality] for modality in MODALITIES},
        targets=dict.fromkeys(MODALITIES, target),
        split=np.repeat(np.arange(3, dtype=np.int8), [len(kept[key]) for key in SPLITS]),
        split_is_given=True,
    )


def stand_in_corpus(plan: StandInPlan, *, binary: bool, seed: int = 0) -> Raw:
    """What the pickle would hold, generated; sentiment is in [-3, 3], and binary labels are -1 and 1."""
    drawn = Generated(plan, seed=seed)
    labels = np.where(drawn.labels == 1, 1.0, -1.0) if binary else np.clip(1.2 * drawn.score, -3, 3)
    labels = labels.astype(np.float32).reshape(-1, 1, 1)
    values = {modality: drawn.modality(modality) for modality in plan.shapes}
    raw: Raw = {}
    for key, code in SPLITS.items():
        rows = slice(int((drawn.split < code).sum()), int((drawn.split <= code).sum()))  # the splits are contiguous
        raw[key] = {modality: array[rows] for modality, array in values.items()}
        raw[key] |= {"labels": labels[rows], "id": np.arange(rows.start, rows.stop)}
    return raw


def _copy_from(
    source: NDArray[Any], kept: NDArray[np.int64], start: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Each kept row of `source` (n, T, d) from its start step on, into the first steps of `out`."""
    for first in np.unique(start):
        rows = np.flatnonzero(start == first)
        length = min(source.shape[1] - int(first), out.shape[1])
        out[rows, :length] = source[kept[rows], first : first + length]


def _target(name: str, labels: NDArray[Any], task: str) -> Target:
    if labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
        raise DataError(f"{name}: labels must be finite numbers, given {labels.dtype}")
    positive = labels > 0
    if len(np.unique(labels)) > 1 and not np.isin(labels, (0, 1)).all():
        check_signs(f"{name}: the label", labels, instead="give binary labels as 0 and 1")
    if task == "classes":
        return Target(values=positive.astype(np.int64), kind="classes", n_classes=2)
    signed = set(np.unique(labels)) <= {0, 1}  # MultiBench regresses binary labels on -1 and 1
    values = np.where(positive, 1.0, -1.0) if signed else labels
    return Target(values=values.astype(np.float32), kind="real", metric="sign_accuracy")


def _check_layout(name: str, raw: Any) -> None:
    """Refuses anything but the published layout, in the words of the file."""
    if not isinstance(raw, dict) or not set(SPLITS) <= set(raw):
        held = f"keys {', '.join(map(str, raw))}" if isinstance(raw, dict) else f"a {type(raw).__name__}"
        raise DataError(f"{name}: the file holds {held:.200}; it must hold train, valid and test")
    widths: dict[str, tuple[int, ...]] = {}
    for key in SPLITS:
        part = raw[key]
        for field in (*MODALITIES, "labels"):
            where = f"{name}: {key}/{field}"
            if not isinstance(part, dict):
                raise DataError(f"{name}: {key} holds a {type(part).__name__}; it must hold arrays by name")
            if field not in part:
                instead = [
                    other for other in map(str, part) if field == "labels" and other.endswith(("label", "labels"))
                ]
                near = f"; rename {instead[0]!r} if it is that" if instead else ""
                raise DataError(f"{name}: {key} has no {field!r} (it has {', '.join(map(str, part)):.200}){near}")
            array = part[field]
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise DataError(f"{where} is {kind}, not an array of numbers (ragged rows?)")
            if field == "labels":
                if len(array) != len(part["text"]) or array.size == 0:
                    raise DataError(f"{where} has shape {array.shape} for {len(part['text'])} rows of text")
                continue
            if array.ndim != 3 or 0 in array.shape or array.shape[:2] != part["vision"].shape[:2]:
                raise DataError(f"{where} has shape {array.shape}; all modalities must be (N, T, d) with equal N and T")
            if widths.setdefault(field, array.shape[1:]) != array.shape[1:]:
                raise DataError(f"{where} has shape {array.shape}, unlike the training part (N, *{widths[field]})")
