"""From named arrays to a dataset: what is a modality, a target, a split, a group, a mask, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import SPLITS, TRAIN, DataError, Modality, MultimodalData, Target
from trainables.datasets.labels import Labels, check_groups, read_labels, spelt_numbers
from trainables.datasets.leaks import columns_of_target, leak_note, shared_note
from trainables.datasets.splits import carve_validation, group_split, quantile_classes, stratified_split
from trainables.datasets.table import Option, unknown

Arrays = Mapping[str, NDArray[Any]]
_SAMPLE = 256  # rows that rule out almost every turned mask, so that few are read whole
_SPLIT_NAMES = {
    **dict.fromkeys(("0", "train", "training"), 0),
    **dict.fromkeys(("1", "valid", "val", "validation", "dev"), 1),
    **dict.fromkeys(("2", "test", "testing"), 2),
}

ARRAY_OPTIONS: Mapping[str, Option] = {
    "target": Option(
        doc="the label's array or column; or one for each modality, {vision: y_v, text: y_t}",
        types=(str, dict),
        default="y",
    ),
    "split": Option(doc="array of 0, 1, 2 or train, valid, test; `split` is used where the file has it", types=(str,)),
    "group": Option(doc="array of groups (speaker, patient, …) whose rows never straddle splits", types=(str,)),
    "mask": Option(doc="for each sequence modality its (N, T) mask, 1 at real steps, or (N,) lengths", types=(dict,)),
    "imputation": Option(
        doc="what replaces missing values", types=(str,), default="none", choices=("none", "zero", "mean", "median")
    ),
    "task": Option(
        doc="what the target is; auto: integers, text, one-hot rows and a few whole numbers are classes; real or "
        "regression: numbers",
        types=(str,),
        default="auto",
        choices=("auto", "classes", "real", "regression"),
    ),
    "metric": Option(doc="score of a real target, r2 if none is given", types=(str,), choices=("r2", "sign_accuracy")),
    "standardise": Option(
        doc="scale by the training rows: all, none, or the modalities listed", types=(bool, list), default=True
    ),
    "split_seed": Option(doc="of a split made here, 60/15/25", types=(int,), default=0, bounds=(0, 2**32 - 1)),
}


def assemble(name: str, arrays: Arrays, modalities: Mapping[str, str], options: Mapping[str, Any]) -> MultimodalData:
    """Data from `arrays` by name; `modalities` maps a modality's name to its array's, and
    `options` are some of `ARRAY_OPTIONS`, the others keeping their defaults.

    Raises:
        DataError: an array is not there, has another number of rows or the wrong kind of values, or has missing ones
            without a named imputation; groups straddle the given split.
    """
    options = {key: options.get(key, option.default) for key, option in ARRAY_OPTIONS.items()}
    if len(modalities) < 2:
        raise DataError(f"{name}: {len(modalities)} modality given; at least two are needed")
    used = in_use(arrays, options)
    for key, source in modalities.items():
        if source in used:
            raise DataError(f"{name}: modality {key} is {source}, which is the {used[source]}; leave it out, or rename")
    masks = options["mask"] or {}
    for given in masks:
        if given not in modalities:
            raise DataError(f"{name}: mask of " + unknown("modality", given, modalities))
    labels = _labels(name, arrays, modalities, options)
    made = {source: _target(f"{name}: target {source}", one, options["metric"]) for source, one in labels.items()}
    targets = {key: made[source] for key, source in _sources(modalities, options["target"]).items()}
    first = next(iter(targets.values()))
    split, told = _split(name, arrays, first, options)
    standardise = options["standardise"]
    for given in [] if isinstance(standardise, bool) else standardise:
        if given not in modalities:
            raise DataError(f"{name}: standardise: " + unknown("modality", given, modalities))
    scaled = {key for key in modalities if standardise is True or (standardise and key in standardise)}
    values = {
        key: _numbers(name, key, _get(name, arrays, source), scaled=key in scaled) for key, source in modalities.items()
    }
    for key, array in values.items():
        if len(array) != len(split):
            raise DataError(f"{name}: modality {key} has {len(array)} rows and the target {len(split)}; one a sample")
    real_steps = {key: _mask(name, key, _get(name, arrays, source), values[key]) for key, source in masks.items()}
    told = (
        *told,
        *(
            note
            for key, source in masks.items()
            for note in _longer(f"{name}: the mask of {key}", _get(name, arrays, source), values[key])
        ),
        *(note for source, one in made.items() for note in _unseen(f"{name}: target {source}", one, split)),
    )
    leaks = [
        note
        for key, array in values.items()
        for source, one in labels.items()
        for note in leak_note(name, key, source, columns_of_target(array, one))
    ]
    return MultimodalData(
        name=name,
        modalities={
            key: Modality(
                name=key,
                values=_impute(name, key, array, split, options["imputation"], mask=real_steps.get(key)),
                mask=real_steps.get(key),
                standardise=key in scaled,
            )
            for key, array in values.items()
        },
        targets=targets,
        split=split,
        groups=None if options["group"] is None else _numbered(_get(name, arrays, options["group"])),
        notes=(*(note for one in labels.values() for note in one.notes), *told, *leaks, *shared_note(name, values)),
    )


def in_use(arrays: Collection[str], options: Mapping[str, Any]) -> dict[str, str]:
    """Arrays that are no features, by name, and what each of them is: a target, the split, the groups, a mask."""
    target = options["target"]
    used = {name: f"mask of {modality}" for modality, name in (options["mask"] or {}).items()}
    if options["split"] is None and options["group"] is None and "split" in arrays:
        used["split"] = "split"
    used |= {options[key]: key for key in ("group", "split") if options[key] is not None}
    return used | dict.fromkeys(target.values() if isinstance(target, dict) else [target], "target")


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _get(dataset: str, arrays: Arrays, name: str) -> NDArray[Any]:
    if not isinstance(name, str) or name not in arrays:
        raise DataError(f"{dataset}: " + unknown("array", name, arrays))
    array = arrays[name]
    if array.ndim == 0 or array.size == 0:
        what = "is one value" if array.ndim == 0 else "is empty"
        raise DataError(f"{dataset}: array {name} has shape {array.shape}, so it {what}; give one entry for each row")
    return _decoded(array) if array.dtype.kind == "S" else array


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    """Bytes as the texts that they are in UTF-8 or, where they are none, in Latin-1, which has one for any byte."""
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        return np.char.decode(array, "latin-1")


Numbers = NDArray[np.float32] | NDArray[np.float64]


def _numbers(dataset: str, name: str, array: NDArray[Any], *, scaled: bool) -> Numbers:
    """`array` as float32; itself, and still memory-mapped, where it is that already.

    What will be `scaled` and float32 cannot hold in every unit is float64 until then.
    """
    if array.dtype.kind not in "biuf":
        instead = {"U": "text", "S": "text", "M": "dates", "m": "times", "c": "complex numbers"}
        what = instead.get(array.dtype.kind, str(array.dtype))
        raise DataError(f"{dataset}: modality {name} holds {what}, not numbers; turn it into real numbers")
    if array.ndim < 2:
        raise DataError(f"{dataset}: modality {name} has shape {array.shape}; at least (N, d) is needed: reshape it")
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite, and is then refused
        if scaled and not np.can_cast(array.dtype, np.float32):
            return np.asarray(array, dtype=np.float64)
        return np.asarray(array, dtype=np.float32)


def _impute(
    dataset: str, name: str, values: Numbers, split: NDArray[np.int8], how: str, *, mask: NDArray[np.bool_] | None
) -> Numbers:
    """`values` with NaN replaced by zero, or by the feature's mean or median over the training rows' real steps."""
    if how == "none":
        return values
    missing = np.isnan(values)
    if not missing.any():
        return values
    fill: Any = values.dtype.type(0)
    if how != "zero":
        rows = split == TRAIN
        train = values[rows].reshape(-1, values.shape[-1]) if mask is None else values[rows][mask[rows]]
        if np.isnan(train).all(axis=0).any():
            real = "" if mask is None else "real steps of the "
            raise DataError(
                f"{dataset}: modality {name} has a feature without a value in the {real}training split; drop it"
            )
        fill = np.nanmean(train, axis=0) if how == "mean" else np.nanmedian(train, axis=0)
    filled = np.where(missing, fill, values)
    return filled.astype(np.float64) if values.dtype == np.float64 else filled.astype(np.float32)


def _mask(dataset: str, name: str, mask: NDArray[Any], values: Numbers) -> NDArray[np.bool_]:
    """True at real time steps, (N, T), from such a mask or from lengths (N,)."""
    where, real = f"{dataset}: the mask of {name}", "real steps are 1 (True), padding is 0"
    if values.ndim == 3 and mask.shape == values.shape[:2] and mask.dtype.kind in "biu":
        if mask.min() < 0:
            raise DataError(f"{where} has {mask.min()}; {real}")
        mask = mask.astype(np.bool_)
        if _is_turned(mask, values):
            raise DataError(f"{where} calls steps real that are all the same, and padding those that differ; {real}")
        return mask
    if values.ndim == 3 and mask.shape == values.shape[:1] and mask.dtype.kind in "iu":
        if mask.min() < 1:
            raise DataError(f"{where} has the length {mask.min()}; each row has a real step")
        return np.arange(values.shape[1]) < mask[:, None]
    raise DataError(
        f"{where} has shape {mask.shape} and holds {mask.dtype}; it must be (N, T) of booleans or (N,) integer lengths "
        f"for values of shape {values.shape}"
    )


def _is_turned(mask: NDArray[np.bool_], values: Numbers) -> bool:
    """Whether all steps that a mask calls real are alike, and those that it calls padding are not."""
    few = np.unique(np.linspace(0, len(mask) - 1, _SAMPLE).astype(np.int64))
    if mask[few].all() or not _is_one_step(values[few][mask[few]]):
        return False
    return _is_one_step(values[mask]) and not _is_one_step(values[~mask])


def _longer(where: str, lengths: NDArray[Any], values: Numbers) -> tuple[str, ...]:
    """A line on lengths beyond the steps that there are."""
    steps = values.shape[1]
    if lengths.ndim != 1 or not (count := int((lengths > steps).sum())):
        return ()
    return (f"{where} has lengths up to {lengths.max()}, {count} of them beyond its {steps} steps: taken as {steps}",)


def _is_one_step(steps: Numbers) -> bool:
    """Whether steps (n, d) are all the same numbers, or none."""
    return bool(((steps == steps[:1]) | np.isnan(steps)).all())


def _unseen(where: str, target: Target, split: NDArray[np.int8]) -> tuple[str, ...]:
    """A line on classes that have rows to validate or test on, and none to train on."""
    if target.kind != "classes" or len(target.values) != len(split):
        return ()
    unseen = np.setdiff1d(target.values, target.values[split == TRAIN])
    if not len(unseen):
        return ()
    rows = int(np.isin(target.values, unseen).sum())
    return (f"{where}: {len(unseen)} of its {target.n_classes} classes ({rows} rows) are in no training row, so that "
            "nothing can learn them; choose another split",)  # fmt: skip


def _sources(modalities: Mapping[str, str], target: str | Mapping[str, str]) -> dict[str, str]:
    """The target's array of each modality."""
    return {name: target if isinstance(target, str) else target[name] for name in modalities}


def _named_targets(target: str | Mapping[str, str]) -> list[str]:
    return [target] if isinstance(target, str) else list(target.values())


def _labels(
    dataset: str, arrays: Arrays, modalities: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Labels]:
    """What each array that is a target holds, by its name."""
    given = options["target"]
    if isinstance(given, dict) and set(given) != set(modalities):
        raise DataError(f"{dataset}: target names {', '.join(given)}; give one for each of {', '.join(modalities)}")
    return {
        name: read_labels(
            f"{dataset}: target {name}", _get(dataset, arrays, name), task=options["task"], metric=options["metric"]
        )
        for name in dict.fromkeys(_sources(modalities, given).values())
    }


def _target(where: str, labels: Labels, metric: str | None) -> Target:
    """A target from classes, renumbered in order, or real numbers, whose score is `metric`, R² if none is given."""
    values = labels.values
    if labels.kind == "real":
        return Target(values=values.astype(np.float64), kind="real", metric=metric or "r2")
    found = np.unique(values)
    if 2 * len(found) > len(values):
        is_text = values.dtype.kind in "US" and not spelt_numbers(values)
        instead = "give labels that recur" if is_text else "if it is a number, set task: real"
        raise DataError(f"{where} has {len(found)} classes in {len(values)} rows; {instead}")
    return Target(values=np.searchsorted(found, values).astype(np.int64), kind="classes", n_classes=len(found))


def _split(
    dataset: str, arrays: Arrays, target: Target, options: Mapping[str, Any]
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The named split; else one by group; else the file's own `split`; else a stratified one; and what to say of it.

    A split of training and test rows alone gives a fifth of its training rows, 15 of 75, to validation.
    """
    named, grouped, seed = options["split"], options["group"], options["split_seed"]
    groups = None if grouped is None else _get(dataset, arrays, grouped)
    for key in ("group", "split"):
        if options[key] is not None and options[key] in _named_targets(options["target"]):
            raise DataError(f"{dataset}: {key} {options[key]} is the target, so that no split would have every class")
    values = target.values if target.values.ndim == 1 else target.values[:, 0]
    labels = values if target.kind == "classes" else quantile_classes(values, 10)
    doubts = () if groups is None else check_groups(f"{dataset}: group {grouped}", groups, len(labels))
    if named is None and groups is not None:
        return _whole_groups(f"{dataset}: group {grouped}", lambda: group_split(labels, groups, seed=seed)), doubts
    if named is None and "split" not in arrays:
        return stratified_split(labels, seed=seed), ()
    name = named or "split"
    where = f"{dataset}: split {name}"
    split = _split_codes(where, _get(dataset, arrays, name), len(labels))
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
