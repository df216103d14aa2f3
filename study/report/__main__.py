"""`python -m study.report NAME_OR_DIR`: write a study's report again, offline, from its storage alone."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from study.config import ConfigError
from study.progress import Display, summary
from study.report.build import answered
from study.session import rebuild
from study.tracking import tracking_uri


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.report",
        description="Write report.json, report.html and the figures of a study again, from its storage alone.",
        epilog="example: python -m study.report digits",
    )
    options.add_argument("study", metavar="NAME_OR_DIR", help="name of a study in --out, or its folder")
    options.add_argument(
        "--out", type=Path, default=Path("studies"), metavar="DIR", help="folder of all studies (studies)"
    )
    options.add_argument("--sync", action="store_true", help="bring MLflow up to date too")
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store for --sync, as of study.run")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 a cell has no answer, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    folder = given.out / given.study if not Path(given.study).is_dir() else Path(given.study)
    try:
        report = rebuild(
            folder.resolve(),
            tracking=tracking_uri(given.tracking_uri) if given.sync else None,
            display=Display(Console(stderr=True)),
        )
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console().print(summary(report))
    print(f"report: {folder / 'report.html'}")
    return 0 if answered(report) else 1


if __name__ == "__main__":
    sys.exit(main())
