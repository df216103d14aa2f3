"""`python -m study.report NAME_OR_DIR`: write a study's report again, offline, from its storage alone."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from study.cli.display import Display
from study.cli.options import add_out
from study.cli.process import printer, run_as_process
from study.config import ConfigError
from study.results.claims.claims import claims_table, judge
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.results.text.summary import summary
from study.search.record.storage import check_option
from study.session.running import rebuild
from study.tracking import tracking_uri
from trainables.output import json_text


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.report",
        description="Write report.json, report.html and the figures of a study again, from its storage alone.",
        epilog="example: python -m study.report digits",
    )
    options.add_argument("study", metavar="NAME_OR_DIR", nargs="*", help="name of a study in --out, or its folder")
    add_out(options)
    options.add_argument(
        "--storage",
        metavar="URI",
        help="of a study whose folder is elsewhere, as in a study file: its folder in --out is made from its record",
    )
    options.add_argument(
        "--claims",
        action="store_true",
        help="instead, set the papers' claims beside what these studies measured (all of --out, if none is named)",
    )
    options.add_argument("--json", action="store_true", help="print report.json in place of the table")
    options.add_argument("--schema", action="store_true", help="instead, print the JSON Schema of report.json")
    options.add_argument("--sync", action="store_true", help="bring MLflow up to date too")
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store for --sync, as of study.run")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 a cell has no answer, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    folders = [given.out / name if not Path(name).is_dir() else Path(name) for name in given.study]
    if given.schema:
        print(json_text(report_schema(), indent=1))
        return 0
    try:
        if given.claims:
            print(claims_table(judge(_finished(folders, given.out))))
            return 0
        if len(folders) != 1:
            raise ConfigError(f"{len(folders)} studies were named; name one, or ask for --claims")
        (folder,) = folders
        if given.storage:
            check_option("--storage", given.storage)
        report = rebuild(
            folder.resolve(),
            storage=given.storage,
            tracking=tracking_uri(given.tracking_uri) if given.sync else None,
            display=Display(Console(stderr=True)),
        )
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json_text(to_json(report)))
    else:
        printer().print(summary(to_json(report)))
        print(f"report: {folder / 'report.html'}")
    return 0 if report.answered else 1


def _finished(folders: Sequence[Path], out: Path) -> list[Report]:
    """The reports in these folders, or in all folders of `out` that have one."""
    paths = [folder / "report.json" for folder in folders] or sorted(out.glob("*/report.json"))
    if not paths:
        raise ConfigError(f"no study in {out} has a report; run one, or name its folder with --out")
    reports = []
    for path in paths:
        try:
            reports.append(Report.from_json(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path}: {error}; write it again with python -m study.report") from None
    return reports


if __name__ == "__main__":
    run_as_process(main)
