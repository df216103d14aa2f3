"""The split of the user's rows: the one that is named, one that keeps groups together, or one made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.alike import may_be_one, one_text
from trainables.datasets.base import SPLITS, TRAIN, DataError, Target
from trainables.datasets.columns import columns_of
from trainables.datasets.missing import missing, missing_words, unknown_words
from trainables.datasets.splits import carve_validation, group_split, strata, stratified_split
from trainables.datasets.values import Arrays, get_array

_SPLIT_NAMES = {
    **dict.fromkeys(("0", "train", "training"), 0),
    **dict.fromkeys(("1", "valid", "val", "validation", "dev"), 1),
    **dict.fromkeys(("2", "test", "testing"), 2),
}
_LARGE_GROUP, _LARGER = 0.2, 4  # share of the rows, and times the next largest, of what may be no group


def read_split(
    dataset: str, arrays: Arrays, target: Target, options: Mapping[str, Any]
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The named split; else one by group; else the file's own `split`; else a stratified one; and what to say of it.

    Groups go before the file's `split`, which may cut them, with a line.

    A split of training and test rows alone gives a fifth of its training rows, 15 of 75, to validation.

    Raises:
        DataError: codes are not known, a split has no rows, or groups cannot be kept together.
    """
    named, grouped, seed = options["split"], options["group"], options["split_seed"]
    groups = None if grouped is None else get_array(dataset, arrays, grouped)
    for key in ("group", "split"):
        if options[key] is not None and options[key] in _named_targets(options["target"]):
            raise DataError(f"{dataset}: {key} {options[key]} is the target, so that no split would have every class")
    labels = strata(target)
    doubts = () if groups is None else check_groups(f"{dataset}: group {grouped}", groups, len(labels))
    if named is None and groups is not None:
        made = _whole_groups(f"{dataset}: group {grouped}", lambda: group_split(labels, groups, seed=seed))
        told = f"{dataset}: rows are split by group {grouped}; the array split is not used: set split: split to use it"
        return made, (*doubts, *([told] if "split" in arrays else []))
    if named is None and "split" not in arrays:
        return stratified_split(labels, seed=seed), ()
    name = named or "split"
    where = f"{dataset}: split {name}"
    split = _split_codes(where, get_array(dataset, arrays, name), len(labels))
    if groups is not None:
        _, code = np.unique(groups, return_inverse=True)
        pairs = np.unique(np.stack([code, split]), axis=1)
        if pairs.shape[1] > code.max() + 1:
            raise DataError(f"{dataset}: groups of {grouped} straddle {name}; leave `split` out to split by group")
    for part in ("train", "test"):
        if not (split == SPLITS[part]).any():
            raise DataError(
                f"{where}: the {part} split has no rows: 0 is train, 1 is valid, 2 is test; mark some rows as {part}, "
                "or give the data without a split to have one made (60/15/25)"
            )
    if (split == SPLITS["valid"]).any():
        return split, doubts
    carved = _whole_groups(
        f"{where} has no validation rows, and of its training rows by group {grouped}",
        lambda: carve_validation(labels, split, groups=groups, seed=seed),
    )
    n_valid, n_train = (int((codes == SPLITS[part]).sum()) for codes, part in ((carved, "valid"), (split, "train")))
    told = (
        f"{where} has no validation rows: {n_valid} of its {n_train} training rows validate, drawn by split_seed; mark "
        "rows as valid to choose them"
    )
    return carved, (*doubts, told)


def unseen_classes(where: str, target: Target, split: NDArray[np.int8]) -> tuple[str, ...]:
    """A line on classes that have rows to validate or test on, and none to train on."""
    if target.kind != "classes" or len(target.values) != len(split):
        return ()
    unseen = np.setdiff1d(target.values, target.values[split == TRAIN])
    if not len(unseen):
        return ()
    rows = int(np.isin(target.values, unseen).sum())
    return (f"{where}: {len(unseen)} of its {target.n_classes} classes ({rows} rows) are in no training row, so that "
            "nothing can learn them; choose another split",)  # fmt: skip


def constant_parts(where: str, target: Target, split: NDArray[np.int8]) -> tuple[str, ...]:
    """A line on columns of a real target that are constant over the rows on which their R² is to be measured."""
    if target.metric != "r2" or len(target.values) != len(split):
        return ()
    told = []
    for part in ("valid", "test"):
        rows = target.values[split == SPLITS[part]].reshape(-1, target.n_outputs)
        constant = np.flatnonzero(~columns_of(rows).varies)
        if len(rows) and len(constant):
            shown = ", ".join(str(column + 1) for column in constant)
            which = f" in column {shown}" if target.values.ndim > 1 else ""
            told.append(f"{where} is constant over the {part} split{which}: its R² tells nothing; choose another split")
    return tuple(told)


def _named_targets(target: str | Mapping[str, str]) -> list[str]:
    return [target] if isinstance(target, str) else list(target.values())


def _whole_groups(where: str, split: Callable[[], NDArray[np.int8]]) -> NDArray[np.int8]:
    """What `split` gives, its error with the place."""
    try:
        return split()
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _split_codes(where: str, values: NDArray[Any], n: int) -> NDArray[np.int8]:
    if values.shape != (n,):
        raise DataError(f"{where} has shape {values.shape}; it must be ({n},), one entry a row")
    if values.dtype.kind in "US":
        codes = np.array([_SPLIT_NAMES.get(str(value).strip().lower(), -1) for value in values], dtype=np.int8)
    elif values.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {values.dtype}; allowed are 0, 1, 2 or train, valid, test")
    else:
        codes = np.where(np.isin(values, list(SPLITS.values())), values, -1).astype(np.int8)
    if (codes < 0).any():
        bad = values[codes < 0][0]
        raise DataError(f"{where} has {bad.item()!r}; allowed are 0, 1, 2 or train, valid, test")
    return codes


def check_groups(where: str, groups: NDArray[Any], n: int) -> tuple[str, ...]:
    """Refuses groups that are not one for each of `n` rows, all known; a line on one that may be a code for unknown.

    Raises:
        DataError: the shape is another, they are no labels, or some are missing: they would be one group.
    """
    if groups.shape != (n,):
        raise DataError(f"{where} has shape {groups.shape}; it must be ({n},)")
    if groups.dtype.kind not in "biufUSM":
        raise DataError(f"{where} holds {groups.dtype}; integers, text or dates are allowed")
    absent, what = missing(groups), "no value"
    if words := missing_words(groups):
        absent, what = absent | np.isin(groups.astype(str), words), f"no value, or {', '.join(map(repr, words))},"
    if count := int(absent.sum()):
        raise DataError(
            f"{where} has {what} in {count} of {n} rows, which would be taken as one group; "
            "give each of them a group (one of its own where it is unknown), or remove these rows"
        )
    if groups.dtype.kind == "f" and (count := int(np.isinf(groups).sum())):
        raise DataError(
            f"{where} is infinite in {count} of {n} rows; give each of them a group (one of its own where it is "
            "unknown), or remove these rows"
        )
    if alike := one_text(groups):
        raise DataError(
            f"{where} has {alike[0]} and {alike[1]}, which would be two groups on two sides of a split; make them one, "
            "or differ in more"
        )
    doubts: tuple[str, ...] = ()
    if alike := may_be_one(groups):
        doubts = (f"{where} has {alike[0]} and {alike[1]}: two groups; if they are one, write them alike",)
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < 2:
        return doubts
    second, first = np.partition(sizes, -2)[-2:]
    remedy = "if it stands for unknown, give each of these rows a group of its own, or remove them"
    if first >= _LARGE_GROUP * n and first >= _LARGER * second:
        told = f"{where}: group {names[sizes.argmax()]} is {first} of {n} rows, the next largest {second}"
        return (*doubts, f"{told}; {remedy}")
    unknown: list[Any] = list(unknown_words(groups))
    if groups.dtype.kind in "if" and names[0] < 0 <= names[1]:
        unknown.append(names[0])
    sizes_of = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    several = [(name, size) for name in unknown if (size := sizes_of[name]) > 1]
    return (*doubts, *(f"{where}: group {name} is {size} of {n} rows; {remedy}" for name, size in several))
