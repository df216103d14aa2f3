"""The continuous suite of Liang et al. 2023 (arXiv 2302.12247): own and shared latents, mixed linearly.

z_1, z_2 and z_12 are five normal latents each, of variance 1.5. Modality i is [z_i A_i, z_12 A_12], the entries of each
5 × 32 matrix A being uniform on (0, 1). The label is cut from the mean of the latents that the setting names, after
dropout of 0.2 that is part of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.datasets.base import Modality, MultimodalData, Target
from trainables.datasets.splits import quantile_classes, stratified_split
from trainables.datasets.table import SEED, Dataset, Option, profile

LATENTS, WIDTH = 5, 32
VARIANCE = 1.5
DROPOUT = 0.2

# share of the latents z_1, z_2, z_12 that decide the label
SETTINGS: Mapping[str, tuple[float, float, float]] = {
    "redundancy": (0, 0, 1),
    "uniqueness0": (1, 0, 0),
    "uniqueness1": (0, 1, 0),
    "synergy": (1, 1, 0),
    "mix1": (0.5, 0.5, 0.5),
    "mix2": (1, 0.5, 0.5),
    "mix3": (1, 1, 0.5),
    "mix4": (0.5, 0.5, 1),
    "mix5": (0, 0.5, 0.5),
    "mix6": (0, 0.5, 1),
}

# Bits that the five latents of one group say about two classes, where they alone decide; that one of two deciding
# groups says; and that both say. By integration over the latents with every dropout mask enumerated (error < 3e-4).
_ALONE, _ONE_OF_TWO, _BOTH = 0.5601, 0.2114, 0.5438

# For two classes. In `synergy`, `mix1`, `mix3` and `mix4` both modalities are the same channel of the label; in `mix5`
# and `mix6` the first sees a part of what the second sees. `mix2` is the exact programme's answer for the posteriors of
# the two, in 64 states each. The mixes are integrated over every choice of latents as well (error < 1e-3).
EXACT_PROFILES: Mapping[str, Mapping[str, float]] = {
    "redundancy": profile(_ALONE, 0.0, 0.0, 0.0),
    "uniqueness0": profile(0.0, _ALONE, 0.0, 0.0),
    "uniqueness1": profile(0.0, 0.0, _ALONE, 0.0),
    "synergy": profile(_ONE_OF_TWO, 0.0, 0.0, _BOTH - _ONE_OF_TWO),
    "mix1": profile(0.106, 0.0, 0.0, 0.063),
    "mix2": profile(0.068, 0.221, 0.0, 0.057),
    "mix3": profile(0.204, 0.0, 0.0, 0.254),
    "mix4": profile(0.289, 0.0, 0.0, 0.057),
    "mix5": profile(0.078, 0.0, 0.093, 0.0),
    "mix6": profile(0.328, 0.0, 0.084, 0.0),
}


def load_continuous(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` and `second` (rows, 64); classes of equal size; a stratified 70/15/15 split.

    In the mixed settings each sample draws which latents of a group decide its label, as the published generator does.
    """
    setting, rows, classes = options["setting"], options["rows"], options["classes"]
    rng = np.random.default_rng(options["seed"])
    matrices = rng.uniform(0, 1, size=(3, LATENTS, WIDTH))
    latents = rng.normal(0, np.sqrt(VARIANCE), size=(3, rows, LATENTS))
    own_1, own_2, shared = (z @ matrix for z, matrix in zip(latents, matrices, strict=True))
    total = np.zeros(rows)
    for z, share in zip(latents, SETTINGS[setting], strict=True):
        decides = rng.random((rows, LATENTS)).argsort(axis=1) < int(share * LATENTS)
        kept = rng.random((rows, LATENTS)) >= DROPOUT
        total += (z * decides * kept).sum(axis=1)
    labels = quantile_classes(total, classes)  # the published score is an increasing function of this sum
    target = Target(values=labels, kind="classes", n_classes=classes)
    values = {"first": np.concatenate([own_1, shared], axis=1), "second": np.concatenate([own_2, shared], axis=1)}
    exact = EXACT_PROFILES.get(setting) if classes == 2 else None
    return MultimodalData(
        name=f"continuous {setting}",
        modalities={name: Modality(name=name, values=value.astype(np.float32)) for name, value in values.items()},
        targets=dict.fromkeys(values, target),
        split=stratified_split(labels, fractions=(0.7, 0.15, 0.15), seed=options["seed"]),
        exact_profiles={} if exact is None else {("first", "second"): exact},
    )


CONTINUOUS = Dataset(
    load=load_continuous,
    description="the continuous suite of Liang et al. 2023: redundancy, uniqueness, synergy and mixes",
    licence="generated here",
    shapes={"first": (2 * WIDTH,), "second": (2 * WIDTH,)},
    options={
        "setting": Option(
            doc="which latents decide the label",
            types=(str,),
            default="redundancy",
            choices=tuple(SETTINGS),
            cells=True,
        ),
        "classes": Option(doc="of equal size (the published script: 32)", types=(int,), default=2, bounds=(2, 1000)),
        "rows": Option(doc="of all splits together", types=(int,), default=20_000, bounds=(100, 10_000_000)),
        "seed": SEED,
    },
)
