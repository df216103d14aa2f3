"""Two configurations of one study, compared: in what they differ, and whether one only asks for more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from study.config.amounts import GROWING, Amounts
from study.config.study_file import in_full


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Lines `key: old -> new` for all that differs: that asks for more, for less, or for other cells, and the rest."""

    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One `key: old -> new` for every leaf in which two configurations (as `identity` gives them) differ."""
    return list(_changes(old, new).values())


def compare(old: Mapping[str, Any], new: Mapping[str, Any], *, before: Amounts, now: Amounts) -> Comparison:
    """What differs between two configurations, as `identity` gives them, with their amounts."""
    sorted_by: dict[str, list[str]] = {"more": [], "less": [], "cells": [], "other": []}
    for key, line in _changes(old, new).items():
        section, _, name = key.partition(".")
        if (section, name) in GROWING:
            kind = "more" if now.grew((section, name), before) else "less"
        elif key == "pairs" or (section == "dataset" and name not in ("", "name")):
            kind = "cells"
        else:
            kind = "other"
        sorted_by[kind].append(line)
    return Comparison(**{kind: tuple(lines) for kind, lines in sorted_by.items()})


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    left, right = dict(_leaves(in_full(old))), dict(_leaves(in_full(new)))
    return {
        key: f"{key}: {left.get(key, '(none)')} -> {right.get(key, '(none)')}"
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    }


def _leaves(value: object, prefix: str = "") -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
