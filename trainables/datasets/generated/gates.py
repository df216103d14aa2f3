"""Logic gates on fair bits, the test cases of every PID, with label noise.

Their exact profile is known at every noise level. Either both modalities see the label through one and the same
channel, or modality 2 is a part of modality 1. In both cases the channel of the one with less information is a degraded
form of the other's, so that it has nothing unique (Bertschinger et al. 2014, "Quantifying unique information", on
Blackwell's order), and redundancy = min(I1, I2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, MultimodalData, Target
from trainables.datasets.splits import stratified_split
from trainables.datasets.table import SEED, Dataset, Option, profile

Bits = NDArray[np.int64]
Gate = Callable[[Bits, Bits], tuple[Bits, Bits, Bits]]  # two fair bits -> x1 (N, d1), x2 (N, d2), y (N,)


def _columns(*bits: Bits) -> Bits:
    return np.stack(bits, axis=1)


GATES: Mapping[str, Gate] = {
    "and": lambda a, b: (_columns(a), _columns(b), a & b),
    "or": lambda a, b: (_columns(a), _columns(b), a | b),
    "xor": lambda a, b: (_columns(a), _columns(b), a ^ b),
    "sum": lambda a, b: (_columns(a), _columns(b), a + b),
    "unique1": lambda a, b: (_columns(a), _columns(b), a),
    "redundant": lambda a, _: (_columns(a), _columns(a), a),
    "redundant_and_unique1": lambda a, b: (_columns(a, b), _columns(b), a & b),
    "redundant_or_unique1": lambda a, b: (_columns(a, b), _columns(b), a | b),
    "redundant_xor_unique1": lambda a, b: (_columns(a, b), _columns(b), a ^ b),
}


def gate_table(gate: str, noise: float = 0.0) -> NDArray[np.float64]:
    """Exact p(x1, x2, y), shape (2 or 4, 2, 2 or 3); with probability `noise` the label is one of the other classes."""
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    x1, x2, y = GATES[gate](a, b)
    n_classes = int(y.max()) + 1
    table = np.zeros((2 ** x1.shape[1], 2, n_classes))
    flip = np.full((n_classes, n_classes), noise / (n_classes - 1))
    np.fill_diagonal(flip, 1 - noise)
    np.add.at(table, (x1 @ (1 << np.arange(x1.shape[1])), x2[:, 0]), flip[y] / 4)
    return table


def gate_profile(gate: str, noise: float = 0.0) -> dict[str, float]:
    """Exact PID in bits."""
    table = gate_table(gate, noise)
    info_1, info_2, info_12 = (
        _information(view) for view in (table.sum(axis=1), table.sum(axis=0), table.reshape(-1, table.shape[2]))
    )
    redundancy = min(info_1, info_2)
    return profile(redundancy, info_1 - redundancy, info_2 - redundancy, info_12 - max(info_1, info_2))


def load_gates(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` (rows, 1 or 2) and `second` (rows, 1) of bits 0 and 1; two classes, three for `sum`."""
    rng = np.random.default_rng(options["seed"])
    gate, noise, rows = options["gate"], options["noise"], options["rows"]
    x1, x2, clean = GATES[gate](*rng.integers(0, 2, size=(2, rows)))
    n_classes = gate_table(gate).shape[2]
    if noise > 1 - 1 / n_classes:
        raise DataError(f"dataset option noise: {noise:g} is more than chance; give at most {1 - 1 / n_classes:.3g}")
    shift = rng.integers(1, n_classes, size=rows) * (rng.random(rows) < noise)
    target = Target(values=(clean + shift) % n_classes, kind="classes", n_classes=n_classes)
    values = {"first": x1, "second": x2}
    return MultimodalData(
        name=f"gates {gate}",
        modalities={name: Modality(name=name, values=bits.astype(np.float32)) for name, bits in values.items()},
        targets=dict.fromkeys(values, target),
        split=stratified_split(target.values, fractions=(0.7, 0.15, 0.15), seed=options["seed"]),
        exact_profiles={("first", "second"): gate_profile(gate, noise)},
    )


def _information(table: NDArray[np.float64]) -> float:
    """I(X;Y) in bits of p(x, y)."""
    product = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    kept = table > 0
    return max(0.0, float((table[kept] * np.log2(table[kept] / product[kept])).sum()))


GATES_DATASET = Dataset(
    load=load_gates,
    description="logic gates on fair bits with label noise: AND, OR, XOR, SUM, unique, redundant; 2 or 3 classes",
    licence="generated here",
    shapes={"first": (1,), "second": (1,)},
    options={
        "gate": Option(doc="which gate", types=(str,), default="xor", choices=tuple(GATES), cells=True),
        "noise": Option(doc="probability of a wrong label", types=(float,), default=0.0, bounds=(0, 1)),
        "rows": Option(doc="of all splits together", types=(int,), default=4000, bounds=(100, 10_000_000)),
        "seed": SEED,
    },
)
