"""Laws in which a modality tells nothing of its own, near an observed one: what unique information shows by chance.

X1 has no unique information if and only if its channel from Y is a garbling of X2's (Blackwell's order; Bertschinger et
al. 2014, Lemma 6). There unique information is at the edge of what it can be: any asymmetry that sampling adds raises
it, a law that keeps the sample's asymmetry never shows by how much, and the bootstrap is inconsistent (Andrews 2000,
Econometrica 68). So the chance part is measured in a law at the edge. Its states are matched by the optimum of the
BROJA programme, each with one state of the other modality rather than with many: garblings that mix states lie inside
of the edge, where chance shows less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from study.pid.exact import matching

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

_ROUNDS = 60  # of proportional fitting


def equal_channels(p1: Array, p2: Array) -> tuple[Array, Array]:
    """Pair marginals of the shapes of p1 (n_1, n_y), p2 (n_2, n_y) in which both modalities tell the same.

    States that the optimum matches form groups, and all states of a group, of either modality, get one p(y | group):
    the mean of both modalities'. U1 = U2 = 0, and I(X1;Y) = I(X2;Y).
    """
    mass = matching(p1, p2)
    n_1, n_2 = mass.shape
    ends = np.r_[np.arange(n_1), mass.argmax(axis=0)], n_1 + np.r_[mass.argmax(axis=1), np.arange(n_2)]
    graph = coo_matrix((np.ones(n_1 + n_2), ends), shape=(n_1 + n_2, n_1 + n_2))
    count, group = connected_components(graph, directed=False)
    shared = np.zeros((count, p1.shape[1]))
    np.add.at(shared, group, np.concatenate([p1, p2]) / 2)
    return _shared_out(shared, group[:n_1], p1), _shared_out(shared, group[n_1:], p2)


def garbled(p1: Array, p2: Array) -> Array:
    """A pair marginal of p1's shape (n_1, n_y) that is a merging of p2's states (n_2, n_y): U1 = 0."""
    mass = matching(p1, p2)
    merged = np.zeros_like(p1)
    np.add.at(merged, mass.argmax(axis=0), p2)
    return merged


def fitted(joint: Array, x1: Codes, x2: Codes, p1: Array, p2: Array) -> Array:
    """The law of cells (m, n_y) near `joint` with these pair marginals, by iterative proportional fitting.

    `x1`, `x2` (m,) number each cell's row of p1 (n_1, n_y) and of p2 (n_2, n_y). What the observed cells cannot
    carry stays as near as the last rounds bring it.
    """
    law = joint
    for _ in range(_ROUNDS):
        for state, wanted in ((x1, p1), (x2, p2)):
            present = np.zeros_like(wanted)
            np.add.at(present, state, law)
            law = law * np.divide(wanted, present, out=np.zeros_like(present), where=present > 0)[state]
    return np.asarray(law / law.sum())


def _shared_out(shared: Array, group: Codes, p: Array) -> Array:
    """Each group's p(group, y) shared out to its states by their probability."""
    weight = p.sum(axis=1)
    total = np.bincount(group, weight, minlength=len(shared))
    return np.asarray((weight / total[group])[:, None] * shared[group])
