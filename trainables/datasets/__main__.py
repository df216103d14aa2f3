"""`python -m trainables.datasets`: every dataset, its options, licence and file; and what a file of yours holds."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from trainables.datasets import DATASETS, Dataset, load
from trainables.datasets.base import DataError
from trainables.datasets.files.arrays import contents
from trainables.datasets.files.reading import size_text
from trainables.datasets.files.regular import check_regular
from trainables.datasets.table import unknown
from trainables.output import OptionParser, json_text, run
from trainables.spec import DatasetSpec


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m trainables.datasets",
        description="List every dataset, what it holds, its licence, and whether its file is there; of those that are "
        "named, every option with its meaning, values and default.",
        epilog="example: python -m trainables.datasets mosei --read",
    )
    options.add_argument("name", nargs="*", help="datasets to show, with their options explained (default: all)")
    options.add_argument("--read", action="store_true", help="also read each file that is there and check it")
    options.add_argument("--contents", metavar="PATH", help="what a file or folder of yours holds, by the names to use")
    options.add_argument("--json", action="store_true", help="print the listing as JSON")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the listing; 0, or 2 where a named dataset or a file does not exist, or cannot be read."""
    given = parser().parse_args(arguments)
    if given.contents is not None:
        return _print_contents(given.contents, as_json=given.json)
    for name in given.name:
        if name not in DATASETS:
            print(unknown("dataset", name, DATASETS), file=sys.stderr)
            return 2
    names, options = given.name or DATASETS, bool(given.name)
    if given.json:
        listed = [facts_of(name, DATASETS[name], read=given.read) for name in names]
        print(json_text(listed, indent=1))
        return 0
    print("\n\n".join(describe(name, DATASETS[name], options=options, read=given.read) for name in names))
    return 0


def _print_contents(path: str, *, as_json: bool) -> int:
    try:
        check_regular(path)
        shapes = contents(path)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    if as_json:
        print(json_text({name: list(shape) for name, shape in shapes.items()}, indent=1))
        return 0
    width = max(map(len, shapes))
    print("\n".join(f"{name:{width}}  {' x '.join(map(str, shape))}" for name, shape in shapes.items()))
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
    lines.append(_wrapped("example    ", f"dataset: {example(name, dataset)}"))
    for key, option in dataset.options.items():
        default = "required" if option.required else f"default {_shown(option.default)}"
        lines.append(_wrapped(f"  {key}: ", f"{option.doc}; {option.allowed} ({default})"))
    return "\n".join(lines)


def example(name: str, dataset: Dataset) -> str:
    """What a study file says at least to use the dataset, and the first option that makes several cells."""
    given = {key: "mine.npz" for key, option in dataset.options.items() if option.required}
    several = next((key for key, option in dataset.options.items() if option.cells), None)
    if several is not None:
        option = dataset.options[several]
        choices = option.choices() if callable(option.choices) else option.choices
        given[several] = f"[{', '.join(map(str, choices[:2] or option.bounds or ()))}]"
    return f"{{{', '.join([f'name: {name}', *(f'{key}: {value}' for key, value in given.items())])}}}"


def facts_of(name: str, dataset: Dataset, *, read: bool = False) -> dict[str, object]:
    """What `describe` tells, as plain containers; `file` is null where the dataset needs none."""
    path = dataset.options["path"].default if "path" in dataset.options else None
    status = None if path is None else {"path": str(path), "status": file_status(name, Path(path), read=read)}
    return {
        "name": name,
        "description": dataset.description,
        "modalities": {modality: list(shape) for modality, shape in dataset.shapes.items()},
        "licence": dataset.licence,
        "origin": dataset.origin,
        "file": status,
        "example": example(name, dataset),
        "options": {
            key: {"doc": option.doc, "allowed": option.allowed, "required": option.required, "default": option.default}
            for key, option in dataset.options.items()
        },
    }


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
    raise SystemExit(run(main))
