"""Every PID estimator beside the exact answer, on every generated family: error, coverage, CPU seconds. Markdown.

A draw is a fresh sample of a family; an estimator profiles it, and its answer is set beside the exact one. `error` is
the mean absolute error per component in bits, `bias` the mean error of the sum I(X1, X2; Y), `coverage` the share of
90 % intervals that hold the exact value (0.9 is wanted), `dominant` the share of dominant components that the estimator
names rightly and wrongly, where one component leads clearly; the rest it calls mixed or none. `false unique` is the
share of unique parts called significant that are exactly 0, as both are where a table is symmetric.

    python tests/bench/pid.py                       # all of it: about 15 minutes of CPU time, on two cores half of it
    python tests/bench/pid.py --families gates gaussian --estimators posterior broja --draws 50
    python tests/bench/pid.py --detail              # every family on its own, component by component

With `--keep FILE` results are stored draw by draw, and a command that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.pid import COMPONENTS, ESTIMATORS, broja, profile_pair
from trainables.datasets import load
from trainables.datasets.base import Modality, PairData, Target
from trainables.datasets.generated.continuous import SETTINGS
from trainables.spec import DatasetSpec

LEVEL = 0.9
CLEAR = 0.05  # bits by which the largest component of the exact profile must lead, to be called dominant

FAMILIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "synthetic": {f"R={r}": {"redundancy": r, "transform_depth": 2} for r in (0, 2, 4, 6, 8)},
    "continuous": {name: {"setting": name, "rows": 20_000} for name in SETTINGS},
    "gates": {
        name: {"gate": name, "noise": 0.1, "rows": 20_000} for name in ("and", "sum", "xor", "unique1", "redundant")
    },
    "gaussian": {
        "0.8, 0.8": {"correlation_2": 0.8, "rows": 20_000},
        "0.6, 0.6, between -0.2": {"correlation_1": 0.6, "correlation_2": 0.6, "between": -0.2, "rows": 20_000},
        "0.8, 0.5, 5 classes": {"classes": 5, "rows": 20_000},
        "0.6, 0, 50 features": {"correlation_1": 0.6, "correlation_2": 0.0, "features": 50, "rows": 20_000},
    },
    "symmetric": {
        name: {} for name in ("2 x 2", "3 x 3", "5 x 5", "3 x 3, half of them equal", "random 4 x 4", "points")
    },
}

NOISE = 0.1  # of the labels of symmetric tables: one of the other classes


def sums(states: int, *, same: float = 0.0) -> NDArray[np.float64]:
    """p(x1, x2, y) of y = x1 + x2 over uniform states, equal ones in the share `same`, with noisy labels."""
    first, second = np.indices((states, states))
    clean = np.zeros((states, states, 2 * states - 1))
    clean[first, second, first + second] = (1 - same) / states**2 + same / states * np.eye(states)
    noisy = clean * (1 - NOISE) + (clean.sum(axis=2, keepdims=True) - clean) * NOISE / (2 * states - 2)
    return np.asarray(noisy)


def drawn_alike(states: int, classes: int, *, seed: int) -> NDArray[np.float64]:
    """A random table and its transpose, half and half."""
    table = np.random.default_rng(seed).dirichlet(np.full(states * states * classes, 0.5))
    table = table.reshape(states, states, classes)
    return np.asarray((table + table.swapaxes(0, 1)) / 2)


SYMMETRIC: Mapping[str, NDArray[np.float64]] = {
    "2 x 2": sums(2),
    "3 x 3": sums(3),
    "5 x 5": sums(5),
    "3 x 3, half of them equal": sums(3, same=0.5),
    "random 4 x 4": drawn_alike(4, 3, seed=0),
    "points": sums(2),
}

# CVX results of the continuous suite in nats (R, U1, U2, S), from its authors' repository (pliang279/PID).
PUBLISHED = {
    "redundancy": (0.16, 0.0, 0.0, 0.05),
    "uniqueness0": (0.0, 0.16, 0.0, 0.05),
    "uniqueness1": (0.0, 0.0, 0.17, 0.05),
    "synergy": (0.07, 0.0, 0.01, 0.14),
    "mix1": (0.04, 0.01, 0.0, 0.07),
    "mix2": (0.04, 0.06, 0.0, 0.07),
    "mix3": (0.07, 0.0, 0.0, 0.12),
    "mix4": (0.10, 0.0, 0.01, 0.07),
    "mix5": (0.03, 0.0, 0.04, 0.05),
    "mix6": (0.10, 0.0, 0.04, 0.05),
}


@dataclass(frozen=True)
class Task:
    """One draw of one setting of a family, for one estimator."""

    family: str
    setting: str
    estimator: str
    draw: int
    rows: int


@dataclass(frozen=True)
class Outcome:
    """What the estimator said of a draw: values, intervals and the exact values (4,), bits."""

    task: Task
    value: list[float]
    low: list[float]
    high: list[float]
    exact: list[float]
    dominant: str
    significant: list[bool]
    seconds: float


def drawn(task: Task) -> PairData:
    """That many rows of the setting, chosen at random from its training and validation splits."""
    options = {**FAMILIES[task.family][task.setting], "seed": 1000 + task.draw}
    data = load(DatasetSpec(name=task.family, options=options)).pair("first", "second")
    rng = np.random.default_rng(task.draw)
    chosen = np.sort(rng.choice(data.rows("train", "valid"), size=task.rows, replace=False))
    first, second = (replace(m, values=m.values[chosen]) for m in data.modalities)
    target = replace(data.targets[0], values=data.targets[0].values[chosen])
    return replace(data, modalities=(first, second), targets=(target, target), split=data.split[chosen])


def symmetric(task: Task) -> tuple[PairData, Mapping[str, float]]:
    """Rows of a symmetric table and its exact profile; `points` shows states as points in the plane, far apart."""
    table = SYMMETRIC[task.setting]
    rng = np.random.default_rng([1000 + task.draw, 1])
    x1, x2, y = np.unravel_index(rng.choice(table.size, size=task.rows, p=table.ravel()), table.shape)
    target = Target(values=y, kind="classes", n_classes=table.shape[2])

    def modality(name: str, state: NDArray[np.int64]) -> Modality:
        values = state[:, None].astype(np.float32)
        if task.setting == "points":
            values = 10 * values + rng.normal(size=(len(state), 2)).astype(np.float32)
        return Modality(name=name, values=values)

    exact = broja(table)
    assert not isinstance(exact, tuple)
    data = PairData(
        dataset="symmetric",
        modalities=(modality("first", x1), modality("second", x2)),
        targets=(target, target),
        split=np.zeros(task.rows, dtype=np.int8),
    )
    return data, {name: exact[name] for name in COMPONENTS}


def run(task: Task) -> Outcome:
    """Profile one draw."""
    warnings.simplefilter("ignore")
    if task.family == "symmetric":
        data, exact = symmetric(task)
    else:
        data = drawn(task)
        assert data.exact_profile is not None
        exact = data.exact_profile
    start = time.process_time()  # of the one thread: other work on the machine does not count
    found = profile_pair(data, estimator=task.estimator, seed=task.draw, level=LEVEL)
    seconds = time.process_time() - start
    return Outcome(
        task=task,
        value=[found[name] for name in COMPONENTS],
        low=[found.interval[name][0] for name in COMPONENTS],
        high=[found.interval[name][1] for name in COMPONENTS],
        exact=[exact[name] for name in COMPONENTS],
        dominant=found.dominant,
        significant=[found.significant[name] for name in COMPONENTS],
        seconds=seconds,
    )


def outcomes(tasks: Sequence[Task], *, processes: int, keep: Path | None, stored: bool) -> list[Outcome]:
    """Run what is not stored yet, or leave it out; the order of the answer is that of the tasks."""
    known: dict[Task, Outcome] = {}
    if keep is not None and keep.exists():
        for line in keep.read_text().splitlines():
            value = json.loads(line)
            outcome = Outcome(**{**value, "task": Task(**value["task"])})
            known[outcome.task] = outcome
    if stored:
        return [known[task] for task in tasks if task in known]
    missing = [task for task in tasks if task not in known]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, outcome in enumerate(pool.imap_unordered(run, missing), start=1):
            known[outcome.task] = outcome
            if keep is not None:
                with keep.open("a") as file:
                    file.write(json.dumps({**vars(outcome), "task": vars(outcome.task)}) + "\n")
            if number % 50 == 0:
                print(f"{number} of {len(missing)}", flush=True)
    return [known[task] for task in tasks]


def leader(exact: Sequence[float]) -> str:
    """The component that dominates an exact profile; "" where two are about as large."""
    order = np.argsort(exact)[::-1]
    return COMPONENTS[order[0]] if exact[order[0]] - exact[order[1]] > CLEAR else ""


def row(found: Sequence[Outcome]) -> list[str]:
    """Figures of one estimator on one family."""
    value, exact, low, high = (np.array([getattr(o, key) for o in found]) for key in ("value", "exact", "low", "high"))
    error = np.abs(value - exact).mean(axis=0)
    bias = (value - exact).sum(axis=1).mean()
    slack = 1e-3  # of the exact values, which are given to four digits
    covered = ((low - slack <= exact) & (exact <= high + slack)).mean(axis=0)
    clear = [(o.dominant, leader(o.exact)) for o in found if leader(o.exact)]
    right = np.mean([a == b for a, b in clear]) if clear else np.nan
    wrong = np.mean([a != b and a in COMPONENTS for a, b in clear]) if clear else np.nan
    none = exact[:, 1:3] < slack
    claimed = np.array([o.significant for o in found])[:, 1:3][none]
    seconds = float(np.median([o.seconds for o in found]))
    return [
        *(f"{e:.3f}" for e in error),
        f"{bias:+.3f}",
        *(f"{c:.2f}" for c in covered),
        f"{covered.mean():.2f}",
        f"{(high - low).mean():.3f}",
        f"{right:.2f}",
        f"{wrong:.2f}",
        f"{claimed.mean():.2f}" if claimed.size else "–",
        f"{seconds:.2f}",
    ]


HEAD = (
    "R", "U1", "U2", "S", "bias of sum", "cov. R", "U1", "U2", "S", "all", "width", "dominant right", "wrong",
    "false unique", "CPU s",
)  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"


def summary(found: Sequence[Outcome], estimators: Sequence[str]) -> Iterator[str]:
    """Every family and estimator: errors, coverage, seconds."""
    rows = []
    for family in dict.fromkeys(o.task.family for o in found):
        for name in estimators:
            own = [o for o in found if o.task.family == family and o.task.estimator == name]
            if own:
                rows.append([family, name, f"{len(own)}", *row(own)])
    yield from table(("family", "estimator", "profiles", *HEAD), rows)


def detail(found: Sequence[Outcome], estimators: Sequence[str]) -> Iterator[str]:
    """Every setting: exact values, published ones, and the mean of each estimator."""
    rows = []
    for family, setting in dict.fromkeys((o.task.family, o.task.setting) for o in found):
        own = [o for o in found if (o.task.family, o.task.setting) == (family, setting)]
        rows.append([family, setting, "exact", *(f"{v:.3f}" for v in own[0].exact), "", ""])
        if family == "continuous":
            rows.append(["", "", "published CVX", *(f"{v / np.log(2):.2f}" for v in PUBLISHED[setting]), "", ""])
        for name in estimators:
            of_name = [o for o in own if o.task.estimator == name]
            if not of_name:
                continue
            value = np.array([o.value for o in of_name])
            inside = np.array(
                [[a - 1e-3 <= e <= b + 1e-3 for a, e, b in zip(o.low, o.exact, o.high, strict=True)] for o in of_name]
            )
            rows.append(
                [
                    "", "", name,
                    *(f"{m:.3f} ± {s:.3f}" for m, s in zip(value.mean(axis=0), value.std(axis=0), strict=True)),
                    " ".join(f"{c:.2f}" for c in inside.mean(axis=0)),
                    " ".join(sorted({o.dominant for o in of_name})),
                ]
            )  # fmt: skip
    yield from table(("family", "setting", "", "R", "U1", "U2", "S", "coverage", "dominant"), rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    options.add_argument("--settings", nargs="+", metavar="NAME", help="of the families, such as xor or R=4 (all)")
    options.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    options.add_argument("--draws", type=int, default=3, help="samples per setting (3)")
    options.add_argument("--rows", type=int, default=1500, help="per sample (1500)")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--keep", type=Path, metavar="FILE", help="store results here and reuse what is stored")
    options.add_argument("--stored", action="store_true", help="run nothing: tables of what FILE holds")
    options.add_argument("--detail", action="store_true", help="every setting on its own")
    given = options.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # read by the spawned processes
    tasks = [
        Task(family, setting, estimator, draw, given.rows)
        for draw in range(given.draws)
        for family in given.families
        for setting in FAMILIES[family]
        if not given.settings or setting in given.settings
        for estimator in given.estimators
    ]
    found = outcomes(tasks, processes=given.processes, keep=given.keep, stored=given.stored)
    print(f"at most {given.draws} draws of {given.rows} rows per setting, {LEVEL:.0%} intervals; bits\n")
    for line in (detail if given.detail else summary)(found, given.estimators):
        print(line)


if __name__ == "__main__":
    main()
