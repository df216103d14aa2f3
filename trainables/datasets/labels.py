"""Labels as people write them: which are missing, which are classes, which are numbers, and what was taken for what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.alike import may_be_one, one_text
from trainables.datasets.base import DataError
from trainables.datasets.missing import (
    is_number,
    marked_number,
    missing,
    missing_words,
    spelt_numbers,
    texts_of,
    unknown_words,
)
from trainables.metrics.scores import SCORES, Kind

_MOST_WHOLE = 20  # values of whole real numbers that are taken as classes
_ROWS_A_CLASS = 10  # with fewer on average, integers are as likely a number as classes
_FEWEST_OTHERS = 10  # different numbers that show where one that stands apart from them is far
_PLAIN = "write it with a decimal point and without other marks, 1234.5"
_ASK_REAL, _ASK_CLASSES = "set task: real if it is a number", "set task: classes if these are labels"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A target's values, (N,) or (N, m), what they are, and what the user should know of how they were taken."""

    values: NDArray[Any]
    kind: Kind
    notes: tuple[str, ...] = ()


def check_signs(where: str, values: NDArray[Any], *, instead: str) -> None:
    """Refuses numbers (N,) or (N, m) that are of one sign: whether they are positive tells nothing, or almost nothing.

    Raises:
        DataError: with their range, and `instead`: what else can be done.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    if ((low < 0) & (high > 0)).all():
        return
    column = int(np.argmin(((low < 0) & (high > 0)).reshape(-1)))
    one = values.reshape(len(values), -1)[:, column]
    raise DataError(
        f"{where} runs from {one.min():g} to {one.max():g}, {(one > 0).mean():.0%} of it above 0: whether it is "
        f"positive needs values on both sides of 0; subtract the neutral value, or {instead}"
    )


def read_labels(where: str, values: NDArray[Any], *, task: str, metric: str | None) -> Labels:
    """What a target holds, from integers, booleans, text or real numbers of shape (N,) or (N, m).

    With `task` `auto`, classes are: integers, booleans, texts, rows of one-hot codes, and real numbers that are two
    whole values, or up to 20. Other rows of 0s and 1s are labels, `multi_label`; all else is `real`. Where `metric`
    asks for their sign, integers and real numbers are classes only if they are two whole values. Where another reading
    is as likely, or classes leave a `metric` that was given unused, a note says so. Real numbers for a `signed` score
    that are 0 and 1 become -1 and 1.

    Raises:
        DataError: a value is missing, or the values are not what `task` and `metric` say.
    """
    if task in ("classes", "multi_label") and _is_signed(metric):
        raise DataError(f"{where}: metric: {metric} is of real numbers, not of task: {task}; leave out either")
    labels = _taken(where, values, task, metric)
    if labels.kind == "real" or metric is None:
        return labels
    what = "classes" if labels.kind == "classes" else "labels"
    told = f"{where} is taken as {what}, scored by accuracy: metric: {metric}, which is of real targets, is not used"
    return replace(labels, notes=(*labels.notes, f"{told}; leave it out, or set task: real"))


def _taken(where: str, values: NDArray[Any], task: str, metric: str | None) -> Labels:
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] == 1):
        values = values.reshape(len(values), -1)
        values = values[:, 0] if values.shape[1] == 1 else values
    _check_values(where, values)
    task = {"regression": "real"}.get(task, task)
    is_text = values.dtype.kind in "US"
    if is_text and task == "real":
        values, is_text = _parsed(where, values), False
    if is_text:
        if values.ndim != 1:
            raise DataError(f"{where} is text of shape {values.shape}; give one label a row, of shape (N,)")
        return Labels(values=values, kind="classes", notes=_text_notes(where, values, asked=task == "classes"))
    if task == "multi_label":
        return Labels(values=_several_labels(where, values), kind="multi_label")
    if values.ndim == 2 and task != "real":
        if (classes := _hot_columns(values)) is not None:
            told = f"{where} has one-hot rows: taken as {values.shape[1]} classes, by column; {_ASK_REAL}"
            return Labels(values=classes, kind="classes", notes=(told,))
        if task == "classes":
            raise DataError(f"{where} has shape {values.shape}; classes are one label a row, (N,), or one-hot rows")
        if np.isin(values, (0, 1)).all() and not _is_signed(metric):
            told = f"{where} has {values.shape[1]} columns of 0 and 1: taken as labels of which a row may have several"
            return Labels(values=values.astype(np.float32), kind="multi_label", notes=(f"{told}; {_ASK_REAL}",))
    if task == "real" or values.ndim == 2:
        return _real(where, values, metric, asked=task == "real")
    return _one_a_row(where, values, task, metric)


def _one_a_row(where: str, values: NDArray[Any], task: str, metric: str | None) -> Labels:
    """Numbers (N,) that may be classes."""
    different = np.unique(values)
    if values.dtype.kind != "f" and not _is_signed(metric):
        few = len(different) > _MOST_WHOLE and len(values) < _ROWS_A_CLASS * len(different)
        told = f"{where} has {len(different)} different integers in {len(values)} rows: taken as classes; {_ASK_REAL}"
        notes = (told,) if few and task == "auto" else ()
        return Labels(values=values, kind="classes", notes=(*notes, *_code_notes(where, values)))
    whole = values.dtype.kind != "f" or bool((different == np.round(different)).all())
    if task == "classes":
        if not whole:
            raise DataError(f"{where} has fractions, so it is not classes; set task: real")
        return Labels(values=values, kind="classes", notes=_code_notes(where, values))
    few = len(different) <= _MOST_WHOLE and len(values) >= _ROWS_A_CLASS * len(different)
    shown = ", ".join(f"{float(value):g}" for value in different[:4]) + (", …" if len(different) > 4 else "")
    if whole and (len(different) == 2 or (len(different) > 2 and few and not _is_signed(metric))):
        told = f"{where} has the whole numbers {shown}: taken as {len(different)} classes; {_ASK_REAL}"
        return Labels(values=values, kind="classes", notes=(told, *_code_notes(where, values)))
    taken = _real(where, values, metric, asked=False)
    told = ""
    if whole and 1 < len(different) <= len(values) // 2 and not _is_signed(metric):
        told = f"{where} has {len(different)} different whole numbers ({shown}): taken as real numbers; {_ASK_CLASSES}"
    elif not whole and len(different) > 1 and few and metric is None:
        told = f"{where} has {len(different)} different numbers ({shown}): taken as real numbers; if these are labels, "
        told += "write them as whole numbers or text"
    return replace(taken, notes=(*taken.notes, told)) if told else taken


def _code_notes(where: str, values: NDArray[Any]) -> tuple[str, ...]:
    """A line on one number below 0, beside 0, 1, 2, …, that may stand for no label, such as -100; -1, 0, 1 may not."""
    codes = values.astype(np.float64)
    low, *others = np.unique(codes)
    if not (low < 0 and others == list(range(len(others))) and len(others) > 1) or (low == -1 and len(others) == 2):
        return ()
    told = f"{where} is {low:g} in {int((codes == low).sum())} of {len(codes)} rows: a class like others"
    return (f"{told}; if it stands for no label, remove them",)


def _real(where: str, values: NDArray[Any], metric: str | None, *, asked: bool) -> Labels:
    notes = _far_notes(where, values)
    binary = bool(np.isin(values, (0, 1)).all())
    if values.ndim == 2 and not asked and (what := _several_classes(values)):
        notes = (*notes, f"{where} has {values.shape[1]} columns of {what}: taken as real numbers; "
                         "give one column for classes")  # fmt: skip
    if _is_signed(metric) and np.ptp(values.astype(float)):
        if binary:
            notes = (*notes, f"{where} is 0 and 1: taken as -1 and 1, for {metric.replace('_', ' ')}")
            values = np.where(values > 0, 1.0, -1.0)
        check_signs(where, values, instead="set metric: r2 or task: classes in place of it")
    return Labels(values=values, kind="real", notes=notes)


def _several_labels(where: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Labels (N, L) of which each row may have several.

    Raises:
        DataError: they are no rows of 0s and 1s.
    """
    if values.ndim != 2 or values.dtype.kind in "US" or not np.isin(values, (0, 1)).all():
        what = "text" if values.dtype.kind in "US" else f"of shape {values.shape}, {values.min():g} to {values.max():g}"
        raise DataError(f"{where} is {what}; task: multi_label is for rows of 0s and 1s, (N, L), one column a label")
    return values.astype(np.float32)


def _several_classes(values: NDArray[Any]) -> str:
    """What the columns of a target (N, m) hold that may be classes; empty where they are plainly numbers."""
    if (values == np.round(values)).all():
        return "whole numbers"
    if (values >= 0).all() and np.allclose(values.sum(axis=1, dtype=np.float64), 1, atol=1e-3):
        return "shares that sum to 1"
    return ""


def _far_notes(where: str, values: NDArray[Any]) -> tuple[str, ...]:
    """A line for each column with one number, the lowest or highest, that several rows share far from all others."""
    told = []
    for column in values.astype(np.float64).reshape(len(values), -1).T:
        different, counts = np.unique(column, return_counts=True)
        for end, others in ((0, different[1:]), (-1, different[:-1])):
            far = different[end]
            if len(others) < _FEWEST_OTHERS or counts[end] < 2:
                continue
            if min(abs(others - far)) > np.ptp(others):
                told.append(
                    f"{where} is {far:g} in {counts[end]} of {len(column)} rows, far from all others, which are "
                    f"{others[0]:g} to {others[-1]:g}; if it stands for no value, remove these rows"
                )
    return tuple(told)


def _is_signed(metric: str | None) -> TypeGuard[str]:
    """Whether the score asks for the sign of a target's numbers."""
    return metric is not None and SCORES[metric].signed


def _check_values(where: str, values: NDArray[Any]) -> None:
    if values.dtype.kind not in "biufUS":
        raise DataError(f"{where} holds {values.dtype}; integers, booleans, text or real numbers are allowed")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{where} has NaN or infinite values; remove these rows: a target is never imputed")
    if values.dtype.kind in "US":
        if missing(values).any():
            raise DataError(f"{where} has empty labels; remove these rows: a target is never imputed")
        if alike := one_text(values):
            raise DataError(f"{where} has the labels {alike[0]} and {alike[1]}; make them one, or differ in more")


def _text_notes(where: str, values: NDArray[Any], *, asked: bool) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if alike := may_be_one(values):
        told = f"{where} has the labels {alike[0]} and {alike[1]}: two classes"
        notes = (f"{told}; if they are one, write them alike",)
    if not asked and (numbers := spelt_numbers(values)):
        shown = ", ".join(map(repr, numbers[:4])) + (", …" if len(numbers) > 4 else "")
        told = f"{where} has {len(numbers)} different numbers as text ({shown}): taken as classes"
        plain = all(map(is_number, numbers))
        notes = (*notes, f"{told}; {_ASK_REAL if plain else f'if it is a number, {_PLAIN}'}")
    if words := [*missing_words(values), *unknown_words(values)]:
        count = int(np.isin(values.astype(str), words).sum())
        shown = " and ".join(map(repr, words))
        told = f"{where} is {shown} in {count} of {len(values)} rows: a class like others"
        notes = (*notes, f"{told}; if it is missing, remove them")
    return notes


def _hot_columns(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """The one column of each row (N, m) that has the larger of two values; None where the rows are not like that."""
    codes = np.unique(values)
    if len(codes) != 2 or not ((values == codes[1]).sum(axis=1) == 1).all():
        return None
    column: NDArray[np.int64] = values.argmax(axis=1)
    return column


def _parsed(where: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """The numbers that texts spell."""
    try:
        numbers = values.astype(str).astype(np.float64)
    except ValueError:
        bad = next(text for text in texts_of(values) if not is_number(text))
        if marked_number(bad) is not None:
            raise DataError(f"{where} is text ({bad!r}) and cannot be real numbers; {_PLAIN}") from None
        raise DataError(f"{where} is text ({bad!r}) and cannot be real numbers; set task: classes") from None
    if not np.isfinite(numbers).all():
        raise DataError(f"{where} has NaN or infinite values; remove these rows: a target is never imputed")
    return numbers
