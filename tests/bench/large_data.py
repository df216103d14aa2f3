"""A file of CMU-MOSEI's real size in its real layout, generated: what loading, profiling and three pairs at once take.

    python tests/bench/large_data.py               # some minutes, 2 GiB of disk, 6 GiB of memory
    python tests/bench/large_data.py --only load   # or profile, or train

`private` is the memory that a worker shares with nobody: the data lie once, in Ray's object store.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from trainables.datasets.published.affect import stand_in_corpus
from trainables.datasets.published.corpora import MOSEI_PLAN

SPACE = Path(__file__).resolve().parents[2] / "search_spaces" / "mosei.yaml"
STEPS = ("load", "profile", "train")
WORKERS = 3
# As short as three pairs can train at once for a while: what is measured is where the data lie.
SHORT = {
    "encoder": "{kind: transformer, layers: 1, heads: 1, width: 8}",
    "training.epochs": "3",
    "training.batch_size": "256",
    "pid.bootstrap": "20",
    "alignment.one_sided": "never",
    "strength.initial": "[0, 1]",
    "strength.refine": "0",
    "replicates": "{search: 1, confirm: 0}",
    "search": "{nuisance: {}, trials_per_strength: 1}",
    "models": "false",
    "resources": f"{{workers: {WORKERS}, pack: 2}}",
}
LOAD = """
import resource, sys, time
from trainables.datasets import load
from trainables.spec import DatasetSpec
started = time.perf_counter()
data = load(DatasetSpec(name="mosei", options={"path": sys.argv[1]}))
used = resource.getrusage(resource.RUSAGE_SELF)
print(len(data.split), time.perf_counter() - started, used.ru_maxrss * 1024, data.n_bytes)
"""


def generate(path: Path) -> None:
    """Write the file."""
    with path.open("wb") as file:
        pickle.dump(stand_in_corpus(MOSEI_PLAN, binary=False), file, protocol=4)


def measure_load(path: Path) -> dict[str, float]:
    """`rows`, `seconds`, `peak_bytes` of a process that loads the file, `data_bytes` of what it then has."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    rows, seconds, peak, size = map(float, done.stdout.split())
    return {"rows": rows, "seconds": seconds, "peak_bytes": peak, "data_bytes": size}


def measure_profile(path: Path, folder: Path) -> dict[str, float]:
    """`seconds` and `cpu_seconds` of the command that profiles all three pairs, loading included."""
    started, used = time.perf_counter(), _cpu_seconds()
    command = [sys.executable, "-m", "study.profile", "--space", str(SPACE), "--out", str(folder)]
    subprocess.run([*command, "--set", f"dataset.path={path}"], capture_output=True, text=True, check=True)
    return {"seconds": time.perf_counter() - started, "cpu_seconds": _cpu_seconds() - used}


def measure_training(path: Path, folder: Path) -> dict[str, Any]:
    """`seconds` of a short study of three pairs, `at_once` workers that trained, and their `private_bytes` at most."""
    started = time.perf_counter()
    overrides = {"dataset.path": str(path), "study": "large", **SHORT}
    driver = subprocess.Popen(
        [sys.executable, "-m", "study.run", "--space", str(SPACE), "--out", str(folder),
         "--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}",
         *(text for key, value in overrides.items() for text in ("--set", f"{key}={value}"))],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    private: dict[int, int] = {}
    at_once = 0
    while driver.poll() is None:
        now = _private_of_workers(driver.pid)
        at_once = max(at_once, len(now))
        private = {pid: max(now.get(pid, 0), private.get(pid, 0)) for pid in {*now, *private}}
        time.sleep(0.5)
    said = driver.communicate()[0]
    if driver.returncode != 0:
        raise RuntimeError(f"the study ended with {driver.returncode}: {said}")
    report = json.loads((folder / "large" / "report.json").read_text())
    return {
        "seconds": time.perf_counter() - started,
        "trainings": report["trainings"],
        "at_once": at_once,
        "private_bytes": sorted(private.values()),
        "all_processes_bytes": report["peak_memory_bytes"],
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _private_of_workers(driver: int) -> dict[int, int]:
    """Bytes that only the worker holds, by process, of those that train."""
    found = {}
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if re.match(r"ray::(ImplicitFunc|JobTrainable|\w+\.train)", " ".join(process.cmdline())):
                found[process.pid] = int(process.memory_full_info().uss)
        except (psutil.Error, OSError):  # ended meanwhile
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=STEPS, help="one step alone")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "mosei_senti_data.pkl"
        generate(path)
        found["file_bytes"] = path.stat().st_size
        for step in STEPS if options.only is None else [options.only]:
            if step == "load":
                found[step] = measure_load(path)
            elif step == "profile":
                found[step] = measure_profile(path, Path(scratch))
            else:
                found[step] = measure_training(path, Path(scratch))
            if not options.json:
                print(_told(step, found[step]), flush=True)
    if options.json:
        print(json.dumps(found))


def _told(step: str, found: dict[str, Any]) -> str:
    if step == "load":
        peak, size = _gib(found["peak_bytes"]), _gib(found["data_bytes"])
        return f"load: {found['seconds']:.1f} s, peak {peak}; the data then take {size}"
    if step == "profile":
        return (
            f"profile of three pairs, loading included: {found['seconds']:.0f} s, {found['cpu_seconds']:.0f} s of CPU"
        )
    private, whole = ", ".join(map(_gib, found["private_bytes"])), _gib(found["all_processes_bytes"])
    return f"{found['at_once']} pairs at once: private memory of the workers {private}; all processes {whole}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
