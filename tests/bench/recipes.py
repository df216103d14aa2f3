"""What recipes do to the noise of a search and to its scores, beside the usual one, on real pairs.

    python tests/bench/recipes.py                       # digits, leaves, mosi752: the first pair of each
    python tests/bench/recipes.py digits --seeds 8

The same trainings (strengths × seeds, common ones) come to scores in five ways: the weights after the last epoch (the
usual way), the mean of the scores after each of the last five epochs, `keep: average`, `keep: best` and `schedule:
cosine`. For each a table says, of both encoders (1 / 2):

* noise: the variance over seeds of the difference to strength 0, and to the next strength, of the usual way over this
  one's (sums over strengths): above 1, the search needs fewer seeds by that factor. In brackets the 90 % interval of a
  bootstrap over seeds.
* score: how much higher it is than the usual way's, mean over strengths, in points, with its standard error over seeds.
* form: the correlation of its mean curve with the usual way's.

`search` scores on validation rows, which chose the epoch for `keep: best`; `test` on rows that nobody has seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from real import configuration

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import Arm, Setting
from trainables.datasets.base import PairData
from trainables.spec import PackSpec
from trainables.training.pack import Pack

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
LAST = 5  # epochs whose scores are averaged
RECIPES: Mapping[str, Mapping[str, str]] = {
    "`keep: average`": {"keep": "average"},
    "`keep: best`": {"keep": "best"},
    "`schedule: cosine`": {"schedule": "cosine"},
}
USUAL, MEANS = "last epoch", f"mean score of {LAST} epochs"
PHASES: Mapping[str, Arm] = {"search": "shared", "test": "confirm"}
Scores = NDArray[np.float64]  # (2, strengths, seeds)


def trained(spec: PackSpec, data: PairData, *, seeds: int, every: bool) -> list[Scores]:
    """Scores after the last epoch, or after `every` one of the last five, the last one first."""
    pack, seen = Pack(spec, data), []
    while not pack.done:
        pack.run(1)
        if every and spec.training.epochs - LAST < pack.epoch < spec.training.epochs:
            seen.append(pack.score()[:2].double().numpy())
    seen.append(np.array([result.scores for result in pack.results()]).T)
    return [scores.reshape(2, len(STRENGTHS), seeds) for scores in seen[::-1]]


def ways(cell: Cell, data: PairData, arm: Arm, seeds: int) -> dict[str, Scores]:
    """Scores of the same trainings in each way."""
    members = [(Setting(strength_1=s, strength_2=s), seed) for s in STRENGTHS for seed in range(seeds)]
    spec = cell.pack(arm, members)
    usual = trained(spec, data, seeds=seeds, every=True)
    scores = {USUAL: usual[0], MEANS: np.mean(usual, axis=0)}
    for name, recipe in RECIPES.items():
        other = replace(spec, training=replace(spec.training, **recipe))
        (scores[name],) = trained(other, data, seeds=seeds, every=False)
    return scores


def noise(scores: Scores, *, neighbours: bool) -> NDArray[np.float64]:
    """The variance over seeds of differences of strengths, summed, of each encoder."""
    differences = np.diff(scores, axis=1) if neighbours else scores[:, 1:] - scores[:, :1]
    return np.asarray(differences.var(axis=2, ddof=1).sum(axis=1))


def told_noise(usual: Scores, scores: Scores, *, neighbours: bool) -> str:
    """The usual noise over this one's, with its interval."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, usual.shape[2], (1000, usual.shape[2]))
    ratio = noise(usual, neighbours=neighbours) / noise(scores, neighbours=neighbours)
    drawn = [
        noise(usual[:, :, d], neighbours=neighbours) / noise(scores[:, :, d], neighbours=neighbours) for d in draws
    ]
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    return " / ".join(f"{r:.1f} ({a:.1f}–{b:.1f})" for r, a, b in zip(ratio, low, high, strict=True))


def row(usual: Scores, scores: Scores) -> str:
    """A way beside the usual one."""
    higher = 100 * (scores - usual).mean(axis=1)
    error = higher.std(axis=1, ddof=1) / np.sqrt(higher.shape[1])
    points = " / ".join(f"{m:+.2f} ± {e:.2f}" for m, e in zip(higher.mean(axis=1), error, strict=True))
    form = [np.corrcoef(a, b)[0, 1] for a, b in zip(usual.mean(axis=2), scores.mean(axis=2), strict=True)]
    parts = [told_noise(usual, scores, neighbours=neighbours) for neighbours in (False, True)]
    return " | ".join([*parts, points, " / ".join(f"{value:.2f}" for value in form)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["digits", "leaves", "mosi752"], metavar="STUDY", help="of real.py")
    parser.add_argument("--seeds", type=int, default=12, help="at each strength, 8 or more (default: 12)")
    parser.add_argument("--splits", choices=("fixed", "resampled"), default="resampled", help="rows of a replicate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| pair | rows | way | noise to λ = 0 | noise to the next λ | score, points | form |",
        "|---|---|---|---|---|---|---|",
        sep="\n",
    )
    for name in options.names:
        begin, config = time.monotonic(), configuration(name)
        replicates = config.replicates.model_copy(update={"splits": options.splits})
        cells, loaded = build_cells(config.model_copy(update={"replicates": replicates}))
        data = loaded[cells[0].data_key].pair(*cells[0].pair)
        for phase, arm in PHASES.items():
            usual, *others = (scores := ways(cells[0], data, arm, options.seeds))
            level = " / ".join(f"{value:.3f}" for value in scores[usual].mean(axis=(1, 2)))
            print(f"| {cells[0].label} | {phase} | {usual} | 1 | 1 | {level} | 1 |")
            for other in others:
                print(f"| | | {other} | {row(scores[usual], scores[other])} |", flush=True)
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
