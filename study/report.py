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
from study.config import ConfigError, load_resolved
from study.config.folder import StudyFolder, reported
from study.config.notation import write_yaml
from study.results.beside import beside_table, side_by_side
from study.results.decision import decision
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.results.text.summary import summary
from study.search.record.storage import check_option
from study.session.rebuild import rebuild
from study.tracking import tracking_uri
from trainables.output import json_text


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.report",
        description="Write report.json, report.html and the figures of a study again, offline, from its record. "
        "Two studies are set side by side instead, as their reports are.",
        epilog="example: python -m study.report digits",
    )
    options.add_argument(
        "study", metavar="NAME_OR_DIR", nargs="*", help="name of a study in --out, or its folder; two are compared"
    )
    add_out(options)
    options.add_argument(
        "--storage",
        metavar="URI",
        help="where the record is, as in a study file, if the study's folder is not in --out; it is made there",
    )
    options.add_argument(
        "--claims",
        action="store_true",
        help="instead, compare the papers' claims with what these studies measured (all in --out if none is named)",
    )
    options.add_argument(
        "--config",
        action="store_true",
        help="instead, print the decision as YAML to paste into a trainer; with --json as JSON",
    )
    options.add_argument("--json", action="store_true", help="print report.json instead of the table")
    options.add_argument("--schema", action="store_true", help="instead, print the JSON Schema of report.json")
    options.add_argument("--sync", action="store_true", help="also bring MLflow up to date")
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store for --sync (default as in study.run)")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 a cell has no answer, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    if given.schema:
        print(json_text(report_schema(), indent=1))
        return 0
    try:
        folders = [_folder(name, given.out) for name in given.study]
        if given.claims:
            from study.results.claims.claims import claims_table, judge  # for which SciPy is imported

            print(claims_table(judge(_finished(folders, given.out))))
            return 0
        if len(folders) == 2 and not given.config:
            print_beside(*_finished(folders, given.out), as_json=given.json)
            return 0
        if len(folders) != 1:
            if not folders:
                raise ConfigError("name a study, e.g. python -m study.report digits")
            two = "one" if given.config else "one, or two to see them side by side"
            raise ConfigError(f"{len(folders)} studies were named; name {two}, or ask for --claims")
        (folder,) = folders
        if given.config:
            (read,) = _finished(folders, given.out)
            told = decision(read, load_resolved(StudyFolder(folder).config))
            print(json_text(told, indent=1) if given.json else write_yaml(told), end="\n" if given.json else "")
            return 0 if read.answered else 1
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
        printer().print(summary(report))
        print(f"report: {StudyFolder(folder).page}")
    return 0 if report.answered else 1


def print_beside(first: Report, second: Report, *, as_json: bool) -> None:
    """Print two studies side by side.

    Raises:
        ConfigError: they have no pair in common.
    """
    both = side_by_side(first, second)
    if not both.encoders:
        raise ConfigError(f"{first.study} and {second.study} have no pair in common; name two studies of the same data")
    if as_json:
        print(json_text(to_json(both), indent=1))
        return
    printer().print(beside_table(first, second))
    for study, only in ((first.study, both.only_first), (second.study, both.only_second)):
        if only:
            print(f"only in {study}: {'; '.join(only)}")


def _folder(name: str, out: Path) -> Path:
    """The folder of that name, or else the one of such a study in `out`."""
    try:
        return Path(name) if Path(name).is_dir() else out / name
    except OSError as error:  # a name that none can have
        raise ConfigError(f"there is no study {name[:60]}…: {error.strerror}") from None


def _finished(folders: Sequence[Path], out: Path) -> list[Report]:
    """The reports in these folders, or in all folders of `out` that have one."""
    studies = [StudyFolder(folder) for folder in folders] or reported(out)
    if not studies:
        raise ConfigError(f"no study in {out} has a report; run one, or name its folder with --out")
    reports: list[Report] = []
    for study in studies:
        try:
            content = json.loads(study.report.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"cannot read {study.report}: {error}; write it again with python -m study.report"
            ) from None
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise ConfigError(f"{study.report} is no report of a study; write it again with python -m study.report")
        reports.append(Report.from_json(content))
    return reports


if __name__ == "__main__":
    run_as_process(main)
