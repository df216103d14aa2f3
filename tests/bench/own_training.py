"""What a study adds to the user's own function, against plain Ray Tune with its MLflow callback.

    python tests/bench/own_training.py
    python tests/bench/own_training.py --trials 60 --repeats 3

Both sides call the same function, which sleeps, on two workers whose processes are used again: 200 trials of 0.05 s,
then 40 of 2 s. Each call notes when it began and ended. From the first beginning to the last end passes a time in which
each worker could do nothing but call:

- *added*, seconds a trial: that time, times the workers, over the trials, less what a call takes;
- *busy*: the share of that time that is spent in calls;
- *wall*: from the start of Python to its end, with Ray's start, MLflow and, on the study's side, λ* and a report.

Sides take turns; medians are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

WORKERS, STRENGTHS = 2, 10
FUNCTION = """
import time
from pathlib import Path

def train(trial):
    score = call(trial.options["seconds"], trial.options["log"], trial.strength, trial.seed)
    return {"score": score}

def call(seconds, log, strength, seed):
    begin = time.monotonic()
    time.sleep(seconds)
    with Path(log).open("a") as file:
        file.write(f"{begin} {time.monotonic()}\\n")
    return 0.8 - 0.06 * (strength - 1) ** 2 + 0.01 * (seed % 97) / 97
"""
STUDY = """
study: bench
trainer: {{call: own.py:train, options: {{seconds: {seconds}, log: {log}}}}}
pairs: [[image, text]]
strength: {{range: [0, 4], initial: {strengths}, refine: 0}}
replicates: {{search: {seeds}, confirm: 0}}
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many calls of so many seconds, the same number at each strength."""

    trials: int
    seconds: float

    @property
    def seeds(self) -> int:
        return max(1, self.trials // STRENGTHS)

    @property
    def strengths(self) -> list[float]:
        return [4 * index / (STRENGTHS - 1) for index in range(STRENGTHS)]


@dataclass(frozen=True, kw_only=True)
class Times:
    """What one side took."""

    added: float
    busy: float
    wall: float


def ours(load: Load, folder: Path) -> None:
    """A study, from the command line, as a user runs it."""
    (folder / "bench.yaml").write_text(
        STUDY.format(seconds=load.seconds, log=folder / "log", strengths=load.strengths, seeds=load.seeds)
    )
    _command(folder, "-m", "study.run", "--space", "bench.yaml", "--workers", str(WORKERS))


def plain(load: Load, folder: Path) -> None:
    """Run the plain side in a process of its own."""
    _command(folder, str(Path(__file__).resolve()), "--plain-side", str(load.trials), str(load.seconds))


def plain_side(load: Load) -> None:
    """One Tune trial per strength and seed, as a careful user of Ray Tune writes it."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    ray.init(address="local", num_cpus=WORKERS, include_dashboard=False)
    folder = str(Path.cwd())

    def train(config: dict[str, float]) -> None:
        sys.path.insert(0, folder)
        from own import call  # type: ignore[import-not-found]

        tune.report({"score": call(load.seconds, f"{folder}/log", config["strength"], config["seed"])})

    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            "strength": tune.grid_search(load.strengths),
            "seed": tune.grid_search(list(range(load.seeds))),
        },
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=f"{folder}/ray",
            callbacks=[MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="bench")],
            verbose=0,
        ),
    )
    assert len(tuner.fit()) == load.seeds * STRENGTHS


def _command(folder: Path, *arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={"OMP_NUM_THREADS": "1", **os.environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise SystemExit(ended.stderr[-3000:])


def measured(side: object, load: Load) -> Times:
    """One turn of one side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "own.py").write_text(FUNCTION)
        start = time.monotonic()
        side(load, folder)  # type: ignore[operator]
        wall = time.monotonic() - start
        calls = [tuple(map(float, line.split())) for line in (folder / "log").read_text().splitlines()]
    assert len(calls) == load.seeds * STRENGTHS, f"{len(calls)} calls"
    window = max(end for _, end in calls) - min(begin for begin, _ in calls)
    busy = sum(end - begin for begin, end in calls)
    return Times(added=(WORKERS * window - busy) / len(calls), busy=busy / (WORKERS * window), wall=wall)


def main() -> None:
    """Measure both sides in turns and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=200, help="short ones; a fifth as many long ones")
    options.add_argument("--repeats", type=int, default=3, help="turns of each side; medians are printed")
    options.add_argument("--only", choices=("short", "long"), help="one of the two loads")
    options.add_argument("--plain-side", nargs=2, metavar=("TRIALS", "SECONDS"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.plain_side:
        plain_side(Load(trials=int(given.plain_side[0]), seconds=float(given.plain_side[1])))
        return
    loads = {"short": Load(trials=given.trials, seconds=0.05), "long": Load(trials=given.trials // 5, seconds=2.0)}
    print("| load | side | added, s a trial | busy, % | wall, s |\n|---|---|---|---|---|")
    for kind, load in loads.items():
        if given.only not in (None, kind):
            continue
        turns: dict[str, list[Times]] = {"study": [], "plain Ray Tune + MLflow": []}
        for _ in range(given.repeats):
            for name, side in zip(turns, (ours, plain), strict=True):
                turns[name].append(measured(side, load))
                print(f"{kind}, {name}: {turns[name][-1]}", file=sys.stderr, flush=True)
        for name, times in turns.items():
            added, busy, wall = (statistics.median(getattr(one, key) for one in times) for key in Times.__annotations__)
            what = f"{load.seeds * STRENGTHS} × {load.seconds:g} s"
            print(f"| {what} | {name} | {added:.3f} | {100 * busy:.1f} | {wall:.0f} |", flush=True)


if __name__ == "__main__":
    main()
