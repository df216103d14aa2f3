"""A dataset from named arrays: what is a modality, a target, a split, a group, a mask, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, MultimodalData, Target
from trainables.datasets.given_split import constant_parts, read_split, unseen_classes
from trainables.datasets.labels import Labels, read_labels
from trainables.datasets.leaks import columns_of_target, counting_note, leak_note, shared_note
from trainables.datasets.missing import spelt_numbers
from trainables.datasets.table import Option, unknown
from trainables.datasets.values import (
    Arrays,
    get_array,
    impute,
    longer_lengths,
    misplaced_steps,
    read_numbers,
    read_real_steps,
    unmasked_padding,
)

ARRAY_OPTIONS: Mapping[str, Option] = {
    "target": Option(
        doc="the label's array or column; or one for each modality, {vision: y_v, text: y_t}",
        types=(str, dict),
        default="y",
    ),
    "split": Option(
        doc="array of 0, 1, 2 or train, valid, test; `split` is used where the file has it, unless there is a group",
        types=(str,),
    ),
    "group": Option(doc="array of groups (speaker, patient, …) whose rows never straddle splits", types=(str,)),
    "mask": Option(doc="for each sequence modality its (N, T) mask, 1 at real steps, or (N,) lengths", types=(dict,)),
    "imputation": Option(
        doc="what replaces missing values", types=(str,), default="none", choices=("none", "zero", "mean", "median")
    ),
    "task": Option(
        doc="what the target is; auto: integers, text, one-hot rows and a few whole numbers are classes, other rows of "
        "0s and 1s labels of which a row may have several (multi_label); real or regression: numbers",
        types=(str,),
        default="auto",
        choices=("auto", "classes", "multi_label", "real", "regression"),
    ),
    "metric": Option(
        doc="score of a real target, r2 if none is given",
        types=(str,),
        choices=("r2", "sign_accuracy"),
    ),
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
    split, told = read_split(name, arrays, first, options)
    is_given = options["group"] is None and bool(options["split"] or "split" in arrays)
    is_given = is_given and not told  # else it came without rows to validate, which were drawn here
    standardise = options["standardise"]
    for given in [] if isinstance(standardise, bool) else standardise:
        if given not in modalities:
            raise DataError(f"{name}: standardise: " + unknown("modality", given, modalities))
    scaled = {key for key in modalities if standardise is True or (standardise and key in standardise)}
    values = {
        key: read_numbers(name, key, get_array(name, arrays, source), scaled=key in scaled)
        for key, source in modalities.items()
    }
    for key, array in values.items():
        if len(array) != len(split):
            raise DataError(f"{name}: modality {key} has {len(array)} rows and the target {len(split)}; one a sample")
    real_steps = {
        key: read_real_steps(name, key, get_array(name, arrays, source), values[key]) for key, source in masks.items()
    }
    told = (
        *told,
        *(
            note
            for key, source in masks.items()
            for note in (
                *longer_lengths(f"{name}: the mask of {key}", get_array(name, arrays, source), values[key]),
                *misplaced_steps(f"{name}: the mask of {key}", real_steps[key], values[key]),
            )
        ),
        *(
            note
            for key, array in values.items()
            if key not in masks
            for note in unmasked_padding(f"{name}: {key}", array)
        ),
        *(
            note
            for source, one in made.items()
            for said in (unseen_classes, constant_parts)
            for note in said(f"{name}: target {source}", one, split)
        ),
    )
    leaks = [
        note
        for key, array in values.items()
        for note in (
            *(
                told
                for source, one in labels.items()
                for told in leak_note(name, key, source, columns_of_target(array, one))
            ),
            *counting_note(name, key, array),
        )
    ]
    return MultimodalData(
        name=name,
        modalities={
            key: Modality(
                name=key,
                values=impute(name, key, array, split, options["imputation"], mask=real_steps.get(key)),
                mask=real_steps.get(key),
                standardise=key in scaled,
            )
            for key, array in values.items()
        },
        targets=targets,
        split=split,
        groups=None if options["group"] is None else _numbered(get_array(name, arrays, options["group"])),
        split_is_given=is_given,
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


def _sources(modalities: Mapping[str, str], target: str | Mapping[str, str]) -> dict[str, str]:
    """The target's array of each modality."""
    return {name: target if isinstance(target, str) else target[name] for name in modalities}


def _labels(
    dataset: str, arrays: Arrays, modalities: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Labels]:
    """What each array that is a target holds, by its name."""
    given = options["target"]
    if isinstance(given, dict) and set(given) != set(modalities):
        raise DataError(
            f"{dataset}: target names {', '.join(given) or 'no modality'}; give one for each of {', '.join(modalities)}"
        )
    return {
        name: read_labels(
            f"{dataset}: target {name}",
            get_array(dataset, arrays, name),
            task=options["task"],
            metric=options["metric"],
        )
        for name in dict.fromkeys(_sources(modalities, given).values())
    }


def _target(where: str, labels: Labels, metric: str | None) -> Target:
    """A target from classes, renumbered in order, or real numbers, whose score is `metric`, R² if none is given."""
    values = labels.values
    if labels.kind == "real":
        return Target(values=values.astype(np.float64), kind="real", metric=metric or "r2")
    if labels.kind == "multi_label":
        return Target(values=values.astype(np.float32), kind="multi_label")
    classes = np.unique(values)
    if 2 * len(classes) > len(values):
        is_text = values.dtype.kind in "US" and not spelt_numbers(values)
        instead = "give labels that recur" if is_text else "if it is a number, set task: real"
        raise DataError(f"{where} has {len(classes)} classes in {len(values)} rows; {instead}")
    return Target(values=np.searchsorted(classes, values).astype(np.int64), kind="classes", n_classes=len(classes))
