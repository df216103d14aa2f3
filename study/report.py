"""`python -m study.report NAME_OR_DIR`: write a study's report again, offline, from its storage alone."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from study.cli.display import Display
from study.cli.options import add_out, add_volume
from study.cli.process import printer, run_as_process, show
from study.config import ConfigError, differences, load_resolved
from study.config.folder import INDEX, StudyFolder, reported
from study.config.notation import write_yaml
from study.results.beside import beside_table, side_by_side
from study.results.decision import decision
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.results.text.summary import summary
from study.search.record.storage import check_option
from study.session.bucket import at_hand
from study.session.rebuild import rebuild
from study.tracking import tracking_uri
from trainables.output import OptionParser, complain, holds_all_signs, json_text


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m study.report",
        description="Write report.json, report.html and the figures of a study again, offline, from its record. "
        "Two studies are set side by side instead, as their reports are.",
        epilog="example: python -m study.report digits",
    )
    options.add_argument(
        "study", metavar="NAME_OR_DIR", nargs="*", help="a study in --out by name, or its folder; two compare"
    )
    add_out(options, bucket=True)
    options.add_argument(
        "--storage",
        metavar="URI",
        help="where the record is, if not in --out; it is made there",
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
    options.add_argument(
        "--index", action="store_true", help="instead, write index.html, the page over all studies in --out"
    )
    options.add_argument("--sync", action="store_true", help="also bring MLflow up to date")
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store for --sync (default as in study.run)")
    add_volume(options)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 a cell has no answer, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    if given.schema:
        print(json_text(report_schema(), indent=1))
        return 0
    reads = not given.index and (given.claims or given.config or len(given.study) == 2)
    try:
        with at_hand(given.out, given.study, say=complain, writes=not reads) as home:
            return _report(given, home.folder, home.spelt)
    except ConfigError as error:
        complain(f"error: {error}")
        return 2


def _report(given: argparse.Namespace, out: Path, spelt: Callable[[str], str]) -> int:
    """The command, of studies in a folder of this machine."""
    if given.index:
        print(spelt(f"studies: {_write_index(out)}"))
        return 0
    folders = [_folder(name, out, alone=out != given.out) for name in given.study]
    if given.claims:
        from study.results.claims.claims import claims_table, judge  # for which SciPy is imported

        print(claims_table(judge(_finished(folders, out))))
        return 0
    if len(folders) == 2 and not given.config:
        print_beside(*_finished(folders, out), as_json=given.json, recipes=_recipes(folders))
        return 0
    if len(folders) != 1:
        if not folders:
            raise ConfigError("name a study, e.g. python -m study.report digits")
        two = "one" if given.config else "one, or two to see them side by side"
        raise ConfigError(f"{len(folders)} studies were named; name {two}, or ask for --claims")
    (folder,) = folders
    if given.config:
        (read,) = _finished(folders, out)
        told = decision(read, load_resolved(StudyFolder(folder).config))
        print(json_text(told, indent=1) if given.json else write_yaml(told, all_signs=holds_all_signs()).rstrip("\n"))
        return 0 if read.answered else 1
    if given.storage:
        check_option("--storage", given.storage)
    with Display(Console(stderr=True, quiet=given.quiet), verbose=given.verbose) as display, display.spelling(spelt):
        report = rebuild(
            folder.resolve(),
            storage=given.storage,
            tracking=tracking_uri(given.tracking_uri) if given.sync else None,
            display=display,
        )
    if given.json:
        print(json_text(to_json(report)))
    else:
        show(summary(report))
        show(spelt(f"report: {StudyFolder(folder).page}"))
    return 0 if report.answered else 1


def _write_index(out: Path) -> Path:
    if not out.is_dir():
        raise ConfigError(f"there is no folder {out}; name the one in which studies lie with --out")
    from study.results.writing import write_index  # for which matplotlib and SciPy are imported

    try:
        return write_index(out)
    except OSError as error:
        raise ConfigError(f"cannot write {out / INDEX}: {error.strerror}; give another folder with --out") from None


def _recipes(folders: Sequence[Path]) -> tuple[str, ...]:
    """In what the study files of two studies differ, but for their names; nothing where one is not there any more."""
    try:
        first, second = (load_resolved(StudyFolder(folder).config).identity for folder in folders)
    except ConfigError:
        return ()
    return tuple(line for line in differences(first, second) if not line.startswith("study:"))


def print_beside(first: Report, second: Report, *, as_json: bool, recipes: Sequence[str] = ()) -> None:
    """Print two studies side by side, and in what their study files differ.

    Raises:
        ConfigError: they have no pair in common.
    """
    both = replace(side_by_side(first, second), differences=tuple(recipes))
    if not both.encoders:
        raise ConfigError(f"{first.study} and {second.study} have no pair in common; name two studies of the same data")
    if as_json:
        print(json_text(to_json(both), indent=1))
        return
    printer().print(beside_table(first, second))
    for study, only in ((first.study, both.only_first), (second.study, both.only_second)):
        if only:
            print(f"only in {study}: {'; '.join(only)}")
    if recipes:
        print(f"study files differ ({first.study} -> {second.study}): {'; '.join(recipes)}")


def _folder(name: str, out: Path, *, alone: bool) -> Path:
    """The folder of such a study in `out`; or else the one of that path, unless studies are looked for in `out` alone.

    A bare name is a study's before it is a folder's that lies here; `./NAME` is a folder's.
    """
    is_name = Path(name).name == name and name != ".."
    try:
        in_out = alone or not Path(name).is_dir() or (is_name and (out / name).is_dir())
        return out / name if in_out else Path(name)
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
