"""The options that several commands have, each of one name and one meaning."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.saving.place import Place

OUT = Path("studies")  # the folder of all studies, unless another one is named


def add_study_file(options: argparse.ArgumentParser) -> None:
    """Add `--space` and `--set`, which name a study: `space` and `overrides` of the result."""
    options.add_argument("--space", type=Path, required=True, metavar="FILE", help="the study file (YAML)")
    add_overrides(options)


def add_overrides(options: argparse.ArgumentParser) -> None:
    """Add `--set`, which changes keys of a study file: `overrides` of the result."""
    options.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override one key, a.b=c"
    )


def add_stand_in(options: argparse.ArgumentParser) -> None:
    """Add `--stand-in`: `stand_in` of the result."""
    options.add_argument(
        "--stand-in",
        nargs="?",
        const="full",
        choices=("full", "small"),
        metavar="SIZE",
        help="generated data of its layout, full or (of minutes) small",
    )


def add_out(options: argparse.ArgumentParser, *, bucket: bool = False) -> None:
    """Add `--out`, the folder of all studies on this machine, or in a bucket where `bucket` says so: `out`."""
    options.add_argument(
        "--out",
        type=folder_or_bucket if bucket else folder,
        default=OUT,
        metavar="DIR",
        help=f"folder of all studies{', or s3://BUCKET/PREFIX (studies)' if bucket else ' (default: studies)'}",
    )


def folder_or_bucket(given: str) -> Path | Place:
    """The folder of all studies as a command is given it, for `argparse`."""
    if not re.search(r"^\s*$|^~|:|//", given):
        return Path(given)  # at once, as most are
    from study.config import ConfigError
    from study.config.folder import out_of

    try:
        return out_of(given)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def folder(given: str) -> Path:
    """A folder on this machine as a command is given it, for `argparse`."""
    if "://" in given:
        raise argparse.ArgumentTypeError(f"{given.partition('://')[0]}:// is no folder on this machine; give one")
    return Path(str(folder_or_bucket(given)))


def add_volume(options: argparse.ArgumentParser) -> None:
    """Add `--quiet` and `--verbose`, of which one can be given: `quiet` and `verbose` of the result."""
    volume = options.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="show the answer and errors alone")
    volume.add_argument("--verbose", action="store_true", help="show what happens to each pack, too")
