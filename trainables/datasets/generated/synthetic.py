"""The Boolean generator of Tjandrasuwita et al. 2025 (arXiv 2502.16282), which Fang et al. 2026 use as well.

Eight shared bits and four bits of each modality are uniform; eight of these sixteen features decide the label through
p(y | x1, x2) = softmax(features · W / temperature), balanced over its four classes. `redundancy` counts how many of the
eight are shared. It is a count of features, not the redundancy of the PID: without any shared feature, the exact PID
has .39 bits of redundancy and .85 of synergy.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import TRAIN, Modality, MultimodalData, Target
from trainables.datasets.splits import stratified_rows, stratified_split
from trainables.datasets.table import SEED, Dataset, Option, profile
from trainables.spec import EncoderSpec

FEATURES = 8  # that decide the label
SHARED, OWN = 8, 4  # bits that both modalities have, and bits of each alone
CLASSES = 4
ROWS = 65536
TEMPERATURE = 0.05
_FEATURE_SEED, _WEIGHT_SEED, _TRANSFORM_SEED = 1, 2, 0


def counts(redundancy: int) -> tuple[int, int, int]:
    """How many of the eight features are shared, of modality 1 alone, and of modality 2 alone."""
    own_1 = (FEATURES - redundancy) // 2
    return redundancy, own_1, FEATURES - redundancy - own_1


def feature_columns(redundancy: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which bits the eight features are: among the shared ones, modality 1's own, and modality 2's own."""
    rng = np.random.RandomState(_FEATURE_SEED)
    shared, own_1, own_2 = (
        rng.choice(size, count, replace=False)
        for size, count in zip((SHARED, OWN, OWN), counts(redundancy), strict=True)
    )
    return shared, own_1, own_2


@lru_cache(maxsize=32)
def label_law(temperature: float) -> NDArray[np.float64]:
    """p(y | features), (256, 4), where bit i of the row's index is feature i; balanced to |p(y) - 1/4| <= 0.01."""
    weights = np.random.RandomState(_WEIGHT_SEED).rand(FEATURES, CLASSES)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    bits = (np.arange(2**FEATURES)[:, None] >> np.arange(FEATURES)) & 1
    logits = bits @ weights / temperature
    law: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    law /= law.sum(axis=1, keepdims=True)
    for _ in range(100):
        classes = law.mean(axis=0)
        if np.abs(classes - 1 / CLASSES).max() <= 0.01:
            break
        law = law * (1 / CLASSES / classes)
        law /= law.sum(axis=1, keepdims=True)
    law.flags.writeable = False  # shared by all callers
    return law


def joint_table(redundancy: int, temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """Exact p(x1, x2, y), shape (2^(R+U1), 2^(R+U2), 4), over the features that each modality has of the eight.

    The low R bits of both indices are the shared features. All other bits of the data carry no information, and the
    transform of modality 2 is invertible on them, so that this is the law of the full data for any PID.
    """
    shared, own_1, own_2 = (2**count for count in counts(redundancy))
    table = np.zeros((own_1, shared, own_2, shared, CLASSES))
    law = label_law(temperature).reshape(own_2, own_1, shared, CLASSES) / 2**FEATURES
    diagonal = np.arange(shared)
    # The two index arrays are separated by a slice, so NumPy puts their axis first: (shared, own_1, own_2, classes).
    table[:, diagonal, :, diagonal, :] = law.transpose(2, 1, 0, 3)
    return table.reshape(own_1 * shared, own_2 * shared, CLASSES)


def random_transform(x: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    """The frozen network of that depth on x (N, 12): Linear, then `depth` times tanh and Linear, all of width 12.

    The weights are PyTorch's default initial values; the networks of depth 0, 1, … are drawn one after the other from
    one stream, so that the network of depth 2 is that of the published data, whose seed this is.
    """
    import torch  # here, because its import takes a second and nothing else of this package needs it

    generator = torch.Generator().manual_seed(_TRANSFORM_SEED)
    bound = x.shape[1] ** -0.5
    layers: list[tuple[torch.Tensor, torch.Tensor]] = []
    for built in range(depth + 1):
        layers = [
            (
                torch.empty(x.shape[1], x.shape[1]).uniform_(-bound, bound, generator=generator),
                torch.empty(x.shape[1]).uniform_(-bound, bound, generator=generator),
            )
            for _ in range(built + 1)
        ]
    out = torch.from_numpy(x)
    for index, (weight, bias) in enumerate(layers):
        out = torch.addmm(bias, out if index == 0 else out.tanh(), weight.T)
    return np.asarray(out.numpy())


def load_synthetic(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` and `second` (N, 12), four classes; the splits are 45,875, 9,830 and 9,831 rows.

    With `rows`, only that many training rows are kept (stratified); validation and test are the same for every number.
    """
    redundancy, temperature, seed = options["redundancy"], float(options["temperature"]), options["seed"]
    first, second, labels, split = _draw(redundancy, temperature, seed)
    kept = np.arange(ROWS)
    if options["rows"] is not None:
        train = np.flatnonzero(split == TRAIN)
        chosen = stratified_rows(labels[train], options["rows"], rng=np.random.default_rng((seed, options["rows"])))
        kept = np.sort(np.concatenate([train[chosen], np.flatnonzero(split != TRAIN)]))
    values = {"first": first[kept], "second": second[kept]}
    if options["transform_depth"] >= 0:
        values["second"] = random_transform(values["second"], options["transform_depth"])
    target = Target(values=labels[kept], kind="classes", n_classes=CLASSES)
    exact = EXACT_PROFILES[redundancy] if temperature == TEMPERATURE else None
    return MultimodalData(
        name=f"synthetic, {redundancy} of {FEATURES} features shared",
        modalities={name: Modality(name=name, values=value) for name, value in values.items()},
        targets=dict.fromkeys(values, target),
        split=split[kept],
        exact_profiles={} if exact is None else {("first", "second"): exact},
    )


@lru_cache(maxsize=8)
def _draw(
    redundancy: int, temperature: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int8]]:
    """All 65,536 rows: raw modality 1 and 2 (N, 12), labels and split; read-only, being cached."""
    rng = np.random.default_rng(seed)
    latents = rng.integers(0, 2, size=(ROWS, SHARED + 2 * OWN), dtype=np.int64)
    shared, own_1, own_2 = feature_columns(redundancy)
    columns = np.concatenate([shared, SHARED + own_1, SHARED + OWN + own_2])
    states = latents[:, columns] @ (1 << np.arange(FEATURES))
    thresholds = label_law(temperature)[states, :-1].cumsum(axis=1)
    labels = (rng.random((ROWS, 1)) >= thresholds).sum(axis=1)
    bits = latents.astype(np.float32)
    drawn = (
        bits[:, : SHARED + OWN].copy(),
        np.concatenate([bits[:, :SHARED], bits[:, SHARED + OWN :]], axis=1),
        labels,
        stratified_split(labels, fractions=(0.7, 0.15, 0.15), seed=seed),
    )
    for array in drawn:
        array.flags.writeable = False
    return drawn


# Exact (Bertschinger) PID in bits at TEMPERATURE, by a conic solver on `joint_table`.
EXACT_PROFILES: Mapping[int, Mapping[str, float]] = {
    0: profile(0.3936, 0.1357, 0.2893, 0.8533),
    1: profile(0.4857, 0.0435, 0.4070, 0.7355),
    2: profile(0.5241, 0.1879, 0.3525, 0.6074),
    3: profile(0.5539, 0.1581, 0.5594, 0.4005),
    4: profile(0.6791, 0.3526, 0.3790, 0.2612),
    5: profile(0.8533, 0.1783, 0.4259, 0.2143),
    6: profile(1.0810, 0.3209, 0.1893, 0.0806),
    7: profile(1.4019, 0.0, 0.2700, 0.0),
    8: profile(1.6719, 0.0, 0.0, 0.0),
}

SYNTHETIC = Dataset(
    load=load_synthetic,
    description="16 random bits, 8 of which decide the label; shared bits from none to all; 4 classes",
    licence="generated here",
    shapes={"first": (12,), "second": (12,)},
    encoders=dict.fromkeys(("first", "second"), EncoderSpec(kind="mlp", layers=2, width=12)),
    options={
        "redundancy": Option(
            doc="how many of the 8 features both modalities have", types=(int,), default=4, bounds=(0, 8), cells=True
        ),
        "rows": Option(doc="training rows (all 45,875 if not given)", types=(int,), bounds=(CLASSES, 45875)),
        "temperature": Option(doc="of the softmax over classes", types=(float,), default=0.05, bounds=(1e-3, 1e3)),
        "transform_depth": Option(
            doc="tanh layers of the frozen network on modality 2 (-1: no network)",
            types=(int,),
            default=2,
            bounds=(-1, 10),
        ),
        "seed": SEED,
    },
)
