"""Joint probe of a trained pair: what both representations know together, and what each knows of the other's target.

A ridge probe (`trainables.metrics.ridge`) of [z₁, z₂] is fitted on the training rows and scored, by the score that
decides, on the rows that the encoders are scored on. It sees what alignment takes from a pair, even where both encoders
gain (Thoreau et al. 2025), as far as a linear map can read it. Nothing of the training depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables.metrics.ridge import RidgeProbe, probe_bytes
from trainables.training.feed import Feed
from trainables.training.group import Group, Weights
from trainables.training.rows import evenly_spaced
from trainables.training.scoring import Scoring

_PROBE_ROWS, _ROWS_PER_FEATURE = 4096, 8  # evenly spaced training rows, at most the larger of the two
_BLOCK_ROWS = 1024  # evaluated rows whose features are in memory at once

# By name: the encoders whose features a probe sees, and whose target it tells. Crossed is one encoder alone.
_PROBES: Mapping[str, tuple[tuple[int, ...], int]] = {
    "joint_1": ((0, 1), 0), "joint_2": ((0, 1), 1), "crossed_1": ((0,), 1), "crossed_2": ((1,), 0),
}  # fmt: skip


def probe(
    groups: Sequence[Group],
    fit: Feed,
    evaluated: Feed,
    *,
    trained: Tensor | None,
    scored: Tensor,
    scoring: Scoring,
    weights: Weights,
) -> dict[str, Tensor]:
    """What ridge probes of all replicas score, (K,) by name on the CPU; NaN for a replica that has diverged.

    `joint_1` is what [z₁, z₂] tells of target 1 in its score, `joint_2` likewise; `crossed_1` is what z₁ alone tells of
    target 2, `crossed_2` what z₂ tells of target 1, both only where the targets differ. `trained` (S, n) are the rows
    of `fit` that each seed of the pack trains on (None: all), `scored` (N,) or (S, N) those of `evaluated`.
    """
    n = fit.rows if trained is None else trained.shape[1]
    places = evenly_spaced(n, probe_rows(n, groups[0].width), device=scored.device)
    rows = places if trained is None else trained[:, places]
    one_target = fit.targets[0] is fit.targets[1]
    names = ("joint_1",) if one_target else tuple(_PROBES)
    probed = []
    for group in groups:
        probes = _fit(group, fit, rows, names=names, scoring=scoring, weights=weights)
        outputs, targets = _said(group, evaluated, scored, probes), group.targets(evaluated, scored)
        own = {}
        for name in names:
            place = _PROBES[name][1]
            own[name] = scoring.encoders[place].measure(outputs[name], targets[place])
        if one_target:
            first, second = scoring.encoders
            alike = first.score == second.score
            own["joint_2"] = own["joint_1"] if alike else second.measure(outputs["joint_1"], targets[1])
        probed.append({name: v.double().masked_fill(group.frozen, float("nan")).cpu() for name, v in own.items()})
    return {name: torch.cat([own[name] for own in probed]) for name in probed[0]}


def probe_rows(rows: int, width: int) -> int:
    """How many of the rows that are trained on a probe of so many features is fitted on."""
    return min(rows, max(_PROBE_ROWS, _ROWS_PER_FEATURE * width))


def probing_bytes(n_replicas: int, *, rows: int, scored: int, width: int, n_outputs: int, n_probes: int) -> int:
    """The most bytes that `probe` needs for replicas that train in lockstep, trained on so many rows and scored on so
    many others.
    """
    fitted = probe_rows(rows, width)
    own = probe_bytes(n_replicas, rows=fitted, width=width, n_outputs=n_outputs)
    fit = 4 * n_replicas * fitted * width + own
    said = 4 * n_replicas * (n_probes + 3) * scored * n_outputs + 16 * n_replicas * min(scored, _BLOCK_ROWS) * width
    return max(fit, said)


def of_replica(probed: Mapping[str, float], kind: str) -> tuple[float, float] | None:
    """Both scores of a replica's probes, `joint` or `crossed`; None where there are none."""
    return (probed[f"{kind}_1"], probed[f"{kind}_2"]) if f"{kind}_1" in probed else None


def _fit(
    group: Group, fit: Feed, rows: Tensor, *, names: Sequence[str], scoring: Scoring, weights: Weights
) -> dict[str, RidgeProbe]:
    features, targets = group.predict(fit, rows, "features"), group.targets(fit, rows)
    probes = {}
    for name in names:
        seen, place = _PROBES[name]
        target = scoring.encoders[place].target
        probes[name] = RidgeProbe.fit(
            [features[i] for i in seen],
            targets[place],
            kind=target.kind,
            n_outputs=target.n_outputs,
            weights=weights[place],
        )
    return probes


def _said(group: Group, evaluated: Feed, rows: Tensor, probes: Mapping[str, RidgeProbe]) -> dict[str, Tensor]:
    """What probes say of the rows, (K, N, m) float32, in blocks that bound the memory for features."""
    said: dict[str, list[Tensor]] = {name: [] for name in probes}
    for block in torch.split(rows, _BLOCK_ROWS, dim=-1):
        features = group.predict(evaluated, block, "features")
        for name, one in probes.items():
            said[name].append(one.outputs([features[i] for i in _PROBES[name][0]]).float())
    return {name: torch.cat(blocks, 1) for name, blocks in said.items()}
