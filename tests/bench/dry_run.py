"""What `--dry-run` predicts of a study beside what it then takes, and how right its time left is while it runs.

    python tests/bench/dry_run.py search_spaces/digits.yaml search_spaces/synthetic.yaml

Each study is planned and then run, by the command line, in a folder of its own. Prints a row per study: trainings and
wall seconds, predicted and counted; and of the plain progress lines from the first tenth on, the median and the largest
error of "about … left" as a share of the time that was really left.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LINE = re.compile(r"(\d+)/(\d+) trainings, .*about ([\d.]+) (s|min|h) left")
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def predicted(space: Path, overrides: list[str]) -> dict[str, Any]:
    """The plan, and how long it took to make."""
    start = time.monotonic()
    ended = subprocess.run([*_command(space, overrides), "--dry-run", "--json"], capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    plan: dict[str, Any] = json.loads(ended.stdout)
    return {**plan, "took": time.monotonic() - start}


def run(space: Path, overrides: list[str], folder: Path) -> tuple[dict[str, Any], float, list[tuple[float, str]]]:
    """The report, the wall seconds, and every line of progress with the second it was printed at."""
    start = time.monotonic()
    where = ["--out", str(folder), "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    lines = []
    with subprocess.Popen(
        [*_command(space, overrides), *where, "--json"], stdout=(folder / "report").open("w"), stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            lines.append((time.monotonic() - start, line.rstrip()))
            print(f"{lines[-1][0]:6.1f} {line}", end="", file=sys.stderr)
    seconds = time.monotonic() - start
    if process.returncode not in (0, 1):
        raise SystemExit(f"{space} ended with {process.returncode}")
    return json.loads((folder / "report").read_text()), seconds, lines


def errors_of_time_left(lines: list[tuple[float, str]], end: float) -> list[float]:
    """Of every line from the first tenth of the trainings on: |said − true| / true, but for the last 3 s."""
    errors = []
    for second, line in lines:
        if (found := LINE.search(line)) and int(found[1]) >= int(found[2]) / 10 and end - second > 3:
            left = end - second
            errors.append(abs(float(found[3]) * UNITS[found[4]] - left) / left)
    return errors


def _command(space: Path, overrides: list[str]) -> list[str]:
    sets = [part for override in overrides for part in ("--set", override)]
    return [sys.executable, "-m", "study.run", "--space", str(space), *sets]


def main() -> None:
    """Plan and run every study, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("space", nargs="+", type=Path, help="study files")
    options.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of them all"
    )
    options.add_argument("--keep", type=Path, metavar="DIR", help="leave the studies there")
    given = options.parse_args()
    rows = []
    for space in given.space:
        plan = predicted(space, given.overrides)
        print(json.dumps(plan), file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            folder = given.keep / space.stem if given.keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            report, seconds, lines = run(space, given.overrides, folder)
        errors = errors_of_time_left(lines, seconds)
        told = f"{statistics.median(errors):.0%}, {max(errors):.0%}" if errors else "no line"
        likely, least, most = (plan[case] for case in ("likely", "least", "most"))
        columns = [
            plan["study"],
            f"{plan['took']:.0f} s",
            f"{likely['trainings']} ({least['trainings']} to {most['trainings']})",
            report["trainings"],
            f"{likely['seconds']:.0f} s ({least['seconds']:.0f} to {most['seconds']:.0f})",
            f"{seconds:.0f} s",
            f"{likely['seconds'] / seconds:.2f}",
            told,
        ]
        rows.append(f"| {' | '.join(map(str, columns))} |")
    print("| study | dry run | trainings | counted | predicted | took | ratio | error of the time left |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
