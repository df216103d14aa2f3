"""How far `study.selection` can be trusted: planted curves, simulated trainings, Markdown tables.

Every draw plants a curve on the warped axis [0, 1] whose gain (best less worst end, or the height of its peak) is 1,
trains it at 5, 9 or 15 even strengths with 1, 3, 5 or 10 common seeds and noise of sd 0.25 to 4, selects λ*, confirms
it against λ = 0 on ten fresh seeds and asks for the verdict. Errors are in units of the warped range, of which 1 would
be a miss from one end of the range to the other. The rivals are the strength of the best mean and of the best single
run; `oracle` knows the planted curve but for where its peak or cliff lies (least squares).

    python tests/bench/selection.py --draws 2000            # per curve; independent noise
    python tests/bench/selection.py --noise smooth          # deviations of a seed that are smooth in the strength

A quarter of the draws has one seed, a fifth has noise of four times the gain: there no method finds an optimum.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from study.selection import conclude, paired_gain, select
from study.selection.noise import Noise

NOISES = (0.25, 0.5, 1.0, 2.0, 4.0)
STRENGTHS = (5, 9, 15)
SEEDS = (1, 3, 5, 10)
CONFIRM = 10
SHAPES = ("rising", "falling", "inverted-u", "flat")
VERDICTS = ("align", "avoid", "indifferent")
# share, length and slope as in `study.selection.noise`, but none of them a line of its table.
KINDS = {
    "independent": Noise(0.0, 1.0, 0.0, 1.0),
    "smooth": Noise(0.7, 0.25, 0.0, 1.0),
    "uneven": Noise(0.0, 1.0, 2.5, 1.0),
}
GRID = np.linspace(0.0, 1.0, 201)

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Planted:
    """`at(place)` is the curve with its peak or cliff at `place`, drawn from `places`; `shape` is its true shape."""

    at: Callable[[float], Curve]
    places: tuple[float, float]
    shape: str

    @property
    def located(self) -> bool:
        return self.places[0] < self.places[1]


def bump(width: float) -> Callable[[float], Curve]:
    return lambda place: lambda u: np.exp(-0.5 * ((u - place) / width) ** 2)


CURVES = {
    "rising": Planted(lambda _: lambda u: u, (1, 1), "rising"),
    "saturating": Planted(lambda _: lambda u: 1 - np.exp(-u / 0.2), (1, 1), "rising"),
    "falling": Planted(lambda _: lambda u: -u, (0, 0), "falling"),
    "inverted U, broad": Planted(lambda place: lambda u: 1 - ((u - place) / 0.6) ** 2, (0.2, 0.8), "inverted-u"),
    "inverted U, medium": Planted(bump(0.25), (0.2, 0.8), "inverted-u"),
    "inverted U, sharp": Planted(bump(0.1), (0.2, 0.8), "inverted-u"),
    "optimum at the edge": Planted(lambda _: lambda u: 1 - (1 - u) ** 2, (1, 1), "rising"),
    "cliff": Planted(lambda place: lambda u: np.where(u <= place, u / place, -2.0), (0.4, 0.9), "inverted-u"),
    "two humps": Planted(
        lambda place: lambda u: bump(0.1)(place)(u) + 0.7 * bump(0.1)(0.2)(u), (0.65, 0.85), "inverted-u"
    ),
    "flat": Planted(lambda _: lambda u: 0.0 * u, (0, 0), "flat"),
}


@dataclass(frozen=True)
class Outcome:
    """One draw: the regime, and what each method made of it."""

    curve: str
    noise: float
    strengths: int
    seeds: int
    covered: bool
    width: float
    errors: tuple[float, ...]  # λ*, best mean, best run, oracle
    regrets: tuple[float, ...]  # λ*, best mean, best run
    shapes: tuple[str, str]  # by the search alone, and with its confirmation
    verdict: str


def simulate(task: tuple[str, str, int]) -> Outcome:
    name, kind, index = task
    planted = CURVES[name]
    noise, size, seeds = list(product(NOISES, STRENGTHS, SEEDS))[index % (len(NOISES) * len(STRENGTHS) * len(SEEDS))]
    rng = np.random.default_rng([list(CURVES).index(name), list(KINDS).index(kind), index])
    place = float(rng.uniform(*planted.places))
    curve, axis = planted.at(place), np.linspace(0.0, 1.0, size)

    def train(points: np.ndarray, count: int) -> np.ndarray:
        factor = np.linalg.cholesky(KINDS[kind].covariance(points) + 1e-9 * np.eye(len(points)))
        deviations = factor @ rng.normal(size=(len(points), count))
        return curve(points)[:, None] + noise * (rng.normal(size=count) + deviations)

    scores = train(axis, seeds)
    found = select(axis, scores)
    star = found.lambda_star
    if star > 0:
        baseline, candidate = train(np.array([0.0, star]), CONFIRM)
    else:
        baseline = candidate = train(np.array([0.0, 1.0]), CONFIRM)[0]
    answers = (star, float(axis[scores.mean(axis=1).argmax()]), float(axis[scores.max(axis=1).argmax()]))
    best = float(curve(np.array([place]))[0])
    concluded = conclude(found, paired_gain(baseline, candidate))
    # A grid of strengths cannot point more finely than its spacing, nor can the posterior's.
    slack = 0.005
    return Outcome(
        curve=name,
        noise=noise,
        strengths=size,
        seeds=seeds,
        covered=found.interval[0] - slack <= place <= found.interval[1] + slack,
        width=found.interval[1] - found.interval[0],
        errors=(*(abs(answer - place) for answer in answers), oracle(planted, axis, scores, place)),
        regrets=tuple(best - float(curve(np.array([answer]))[0]) for answer in answers),
        shapes=(found.shape, concluded.shape),
        verdict=concluded.verdict,
    )


def oracle(planted: Planted, axis: np.ndarray, scores: np.ndarray, place: float) -> float:
    """Error of the least-squares place of the known curve; NaN where nothing is to be located."""
    if not planted.located:
        return float("nan")
    means = scores.mean(axis=1)
    places = np.linspace(*planted.places, 121)
    fitted = np.array([planted.at(float(candidate))(axis) for candidate in places])
    residuals = means - fitted - (means - fitted).mean(axis=1, keepdims=True)
    return abs(float(places[(residuals**2).sum(axis=1).argmin()]) - place)


def run(names: Sequence[str], kind: str, draws: int, jobs: int) -> list[Outcome]:
    # Equal designs side by side: what depends on the design alone is computed once for them all.
    cells = len(NOISES) * len(STRENGTHS) * len(SEEDS)
    designs = len(STRENGTHS) * len(SEEDS)
    order = sorted(range(draws), key=lambda index: (index % cells % designs, index))
    tasks = [(name, kind, index) for index in order for name in names]
    if jobs == 1:
        return [simulate(task) for task in tasks]
    with multiprocessing.Pool(jobs) as pool:
        return pool.map(simulate, tasks, chunksize=max(1, len(tasks) // (20 * jobs)))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    print()


def median_errors(outcomes: Sequence[Outcome]) -> list[float]:
    return [float(np.median(column)) for column in np.array([outcome.errors for outcome in outcomes]).T]


def error_row(label: object, outcomes: Sequence[Outcome]) -> list[object]:
    star, mean, single, known = median_errors(outcomes)
    regrets = np.mean([outcome.regrets for outcome in outcomes], axis=0)
    ratios = [star / rival if rival else float("nan") for rival in (mean, single)]
    return [label, *(f"{error:.3f}" for error in (star, mean, single)), *ratios, f"{known:.3f}", *map(float, regrets)]


def print_tables(outcomes: list[Outcome]) -> None:
    names = [name for name in CURVES if any(outcome.curve == name for outcome in outcomes)]
    of = {name: [outcome for outcome in outcomes if outcome.curve == name] for name in names}
    peaked = [outcome for outcome in outcomes if outcome.curve != "flat"]
    levels = [f"noise {noise:g}" for noise in NOISES]

    print("Coverage of the 90 % interval, and its mean width (flat: any strength is as good, so width only)\n")
    rows = []
    for name in names:
        cells = [[o for o in of[name] if o.noise == noise] for noise in NOISES]
        cover = "–" if name == "flat" else float(np.mean([o.covered for o in of[name]]))
        shown = [
            f"{np.mean([o.covered for o in cell]):.2f} ({np.mean([o.width for o in cell]):.2f})"
            if name != "flat"
            else f"({np.mean([o.width for o in cell]):.2f})"
            for cell in cells
            if cell
        ]
        rows.append([name, cover, *shown])
    table(["curve", "all", *levels], rows)

    print("Coverage by how much the interval leaves out, for optima inside the range and for those at an end of it\n")
    limits = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)
    rows = []
    for low, high in [*pairwise(limits), (0.0, 0.8)]:
        group = [o for o in peaked if low <= o.width < high]
        sides = [[o.covered for o in group if CURVES[o.curve].located == located] for located in (True, False)]
        cover = [float(np.mean(side)) if side else "–" for side in sides]
        rows.append([f"{low:g} to {min(high, 1):g}", f"{len(group) / len(peaked):.0%}", *cover])
    table(["width", "share of draws", "inside", "at an end"], rows)

    head = ["λ*", "best mean", "best run", "λ*/mean", "λ*/run", "oracle", "regret λ*", "of best mean", "of best run"]
    print("Median error, and mean regret in units of the gain\n")
    table(["curve", *head], [error_row(name, of[name]) for name in names if name != "flat"])
    rows = [error_row(f"{noise:g}", [o for o in peaked if o.noise == noise]) for noise in NOISES]
    rows += [
        error_row(f"{noise:g}, located", [o for o in peaked if o.noise == noise and o.errors[3] >= 0])
        for noise in NOISES
    ]
    rows.append(error_row("all", peaked))
    table(["noise", *head], rows)

    print(
        "Shape found (rows: planted) by the search alone, all noises; with confirmation, all noises; with confirmation,"
    )
    print("noise up to half the gain and at least three seeds\n")
    for stage, keep in ((0, lambda _: True), (1, lambda _: True), (1, lambda o: o.noise <= 0.5 and o.seeds >= 3)):
        rows = []
        for name in names:
            counts = Counter(o.shapes[stage] for o in of[name] if keep(o))
            rows.append([f"{name} ({CURVES[name].shape})", *(counts[s] / max(1, sum(counts.values())) for s in SHAPES)])
        table(["planted (its shape)", *SHAPES], rows)

    print(f"Verdict after confirmation on {CONFIRM} fresh seeds\n")
    rows = []
    for name in names:
        for noise in NOISES:
            counts = Counter(o.verdict for o in of[name] if o.noise == noise)
            rows.append([name, f"{noise:g}", *(counts[v] / max(1, sum(counts.values())) for v in VERDICTS)])
    table(["curve", "noise", *VERDICTS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="per curve, shared out among the regimes (2000)")
    parser.add_argument("--noise", choices=KINDS, default="independent", help="kind of noise of the trainings")
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES), metavar="CURVE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (all cores)")
    parser.add_argument("--keep", type=Path, help="add the draws to this file and print the tables of all in it")
    options = parser.parse_args()
    outcomes = run(options.curves, options.noise, options.draws, options.jobs)
    if options.keep:
        with options.keep.open("a") as file:
            file.writelines(f"{json.dumps(asdict(outcome))}\n" for outcome in outcomes)
        outcomes = [Outcome(**json.loads(line)) for line in options.keep.read_text().splitlines()]
    print(f"{len(outcomes)} draws, {options.noise} noise\n")
    print_tables(outcomes)


if __name__ == "__main__":
    main()
