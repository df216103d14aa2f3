"""The options that several commands have, each of one name and one meaning."""

from __future__ import annotations

import argparse
from pathlib import Path

OUT = Path("studies")  # the folder of all studies, unless another one is named


def add_study_file(options: argparse.ArgumentParser) -> None:
    """Add `--space` and `--set`, which name a study: `space` and `overrides` of the result."""
    options.add_argument("--space", type=Path, required=True, metavar="FILE", help="the study file (YAML)")
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
        help="use generated data of the same layout; small: few rows, short sequences, a study of minutes",
    )


def add_out(options: argparse.ArgumentParser) -> None:
    """Add `--out`, the folder of all studies on this machine: `out` of the result."""
    options.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="folder of all studies (default: studies)"
    )
