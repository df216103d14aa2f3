"""How far an answer from trainings that are done already can be trusted: planted curves, as tables of others have them.

`python tests/bench/outside.py`: for each kind of table the share of draws whose 90 % interval holds the optimum, and
the mean score at the best trial's setting; how much better the best trial looks than it is; false `align` on a flat
curve; seconds for an answer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from study.api import select
from study.outside.notebook import Answer

Floats = NDArray[np.float64]
PEAK, GAIN = 1.2, 0.05
GRID = np.array([0, 0.1, 0.25, 0.5, 1, 2, 4.0])


def curve(strengths: Floats, *, flat: bool) -> Floats:
    """Mean scores: a parabola in log(1 + λ) with its top at PEAK and a gain of GAIN over λ = 0, or a flat line."""
    place = np.log1p(strengths) / np.log1p(PEAK) - 1
    return np.full(len(strengths), 0.7) if flat else 0.7 - GAIN * place**2


def grid(rng: np.random.Generator, noise: float, flat: bool) -> Answer:
    """Seven strengths, five common seeds."""
    scores = curve(GRID, flat=flat)[:, None] + rng.normal(0, noise, (7, 5)) + rng.normal(0, noise, 5)
    return select(GRID, scores)


def repeats(rng: np.random.Generator, noise: float, flat: bool) -> Answer:
    """Seven strengths, five trainings each of seeds that nobody wrote down."""
    strengths = np.repeat(GRID, 5)
    return select(strengths, curve(strengths, flat=flat) + rng.normal(0, noise, 35))


def single(rng: np.random.Generator, noise: float, flat: bool) -> Answer:
    """200 trainings of one seed each at continuous strengths, half of them where a sampler crowds."""
    near = np.abs(rng.normal(PEAK, 0.3, 200))
    strengths = np.where(rng.random(200) < 0.5, near, rng.uniform(0, 4, 200))
    return select(strengths, curve(strengths, flat=flat) + rng.normal(0, noise, 200))


TABLES: dict[str, Callable[[np.random.Generator, float, bool], Answer]] = {
    "grid": grid, "repeats": repeats, "single": single,
}  # fmt: skip


def main() -> None:
    """Print a line for each kind of table and noise."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=40)
    draws = options.parse_args().draws
    print("table     noise/gain  λ* covered  best trial covered  luck/noise  median width  align if flat  seconds")
    for name, make in TABLES.items():
        for ratio in (0.25, 0.5, 1.0):
            noise, rng = ratio * GAIN, np.random.default_rng(7)
            held, fair, luck, wide, false, seconds = [], [], [], [], [], []
            for _ in range(draws):
                started = time.process_time()
                told = make(rng, noise, False).result
                seconds.append(time.process_time() - started)
                low, high = told.interval or (np.nan, np.nan)
                held.append(low <= PEAK <= high)
                wide.append(high - low)
                best = told.best_trial
                if best is None or best.interval is None or best.strength is None:
                    raise AssertionError("a table of many trainings has a best one")
                truth = curve(np.array([best.strength]), flat=False)[0]
                fair.append(best.interval[0] <= truth <= best.interval[1])
                luck.append((best.luck or 0.0) / noise)
                false.append(make(rng, noise, True).result.verdict == "align")
            print(
                f"{name:<9} {ratio:<11g} {np.mean(held):<11.2f} {np.mean(fair):<19.2f} {np.mean(luck):<11.2f} "
                f"{np.median(wide):<13.2f} {np.mean(false):<14.2f} {np.median(seconds):.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
