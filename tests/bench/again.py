"""The same command on a study that has ended: it trains nothing, draws nothing again, and says what it said.

    python tests/bench/again.py                                   # runs the digits study first, minutes
    python tests/bench/again.py search_spaces/mfeat.yaml --in FOLDER   # of a study that was run in FOLDER already

Prints seconds of the clock and of processor time, medians, and which of the libraries that take seconds were imported.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAVY = ("torch", "ray", "mlflow", "matplotlib", "sklearn", "pandas")
COMMAND = """
import runpy, sys
sys.argv[0] = "study.run"
try:
    runpy.run_module("study.run", run_name="__main__", alter_sys=True)
finally:
    print("imported:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def again(space: Path, folder: Path) -> tuple[float, float, str]:
    """Seconds of the clock, seconds of processor time, and the heavy libraries that one command has imported."""
    command = [sys.executable, "-c", COMMAND.format(heavy=HEAVY), "--space", str(space)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode not in (0, 1):
        raise SystemExit(ended.stderr[-3000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, ended.stderr.rpartition("imported:")[2].strip() or "none"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("space", nargs="?", type=Path, default=Path("search_spaces/digits.yaml"))
    options.add_argument("--in", dest="folder", type=Path, help="where the study was run (default: it is run first)")
    options.add_argument("--repeats", type=int, default=5, help="commands; medians are printed (5)")
    given = options.parse_args()
    space = given.space.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        again(space, folder)  # which ends it, or brings its files up to this version
        runs = [again(space, folder) for _ in range(given.repeats)]
    print(f"medians of {given.repeats} on {os.cpu_count()} CPUs ({platform.machine()})")
    print("| study | clock, s | processor, s | imported |\n|---|---|---|---|")
    wall, cpu = (statistics.median(run[index] for run in runs) for index in (0, 1))
    print(f"| {space.stem} | {wall:.1f} | {cpu:.1f} | {runs[-1][2]} |")


if __name__ == "__main__":
    main()
