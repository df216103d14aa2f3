"""`python -m trainables.datasets`: every dataset, what it holds, its licence, and whether its file is there."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path

from trainables.datasets import DATASETS, Dataset, load
from trainables.datasets.base import DataError
from trainables.datasets.files import size_text
from trainables.datasets.table import unknown
from trainables.spec import DatasetSpec


def main(arguments: list[str] | None = None) -> int:
    """Prints the listing; 0, or 2 where a named dataset does not exist."""
    parser = argparse.ArgumentParser(prog="python -m trainables.datasets", description=__doc__.split(": ", 1)[1])
    parser.add_argument("name", nargs="*", help="datasets to show, with their options explained (all by default)")
    parser.add_argument("--read", action="store_true", help="read each file that is there, to say whether it is sound")
    given = parser.parse_args(arguments)
    for name in given.name:
        if name not in DATASETS:
            print(unknown("dataset", name, DATASETS), file=sys.stderr)
            return 2
    names, options = given.name or DATASETS, bool(given.name)
    print("\n\n".join(describe(name, DATASETS[name], options=options, read=given.read) for name in names))
    return 0


def describe(name: str, dataset: Dataset, *, options: bool, read: bool = False) -> str:
    """A paragraph on one dataset, with each of its options explained or with their names only."""
    shapes = (f"{modality} {' x '.join(map(str, shape))}" for modality, shape in dataset.shapes.items())
    facts = [("modalities", ", ".join(shapes) or "as in your file"), ("licence", dataset.licence)]
    path = dataset.options["path"].default if "path" in dataset.options else None
    if path is not None:
        facts += [("file", f"{path}: {file_status(name, Path(path), read=read)}"), ("from", dataset.origin or "")]
    lines = [f"{name}: {dataset.description}", *(_wrapped(f"{key:10} ", value) for key, value in facts)]
    if not options:
        return "\n".join([*lines, _wrapped("options    ", ", ".join(dataset.options) or "none")])
    for key, option in dataset.options.items():
        default = "required" if option.required else f"default {_shown(option.default)}"
        lines.append(_wrapped(f"  {key}: ", f"{option.doc}; {option.allowed} ({default})"))
    return "\n".join(lines)


def file_status(name: str, path: Path, *, read: bool) -> str:
    """Whether a published file is there and, if asked to `read` it, sound."""
    if not path.exists():
        return "not there (try --stand-in)"
    if not os.access(path, os.R_OK):
        return "there, but this user may not read it"
    size = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    if not read:
        return f"there, {size_text(size)}"
    try:
        data = load(DatasetSpec(name=name))
    except DataError as error:
        return f"there, but not usable: {error}"
    return f"there and sound, {size_text(size)}, {len(data.split)} rows"


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=f"  {head}", subsequent_indent=" " * 13, break_on_hyphens=False)


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower()


if __name__ == "__main__":
    raise SystemExit(main())
