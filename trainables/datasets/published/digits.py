"""The 1,797 handwritten digits that ship with scikit-learn, seen as three modalities.

Left and right half of each 8 × 8 image, and the magnitudes of its 2-D Fourier transform, which say nothing about where
the strokes are. Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, CC BY 4.0), test part.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import Modality, MultimodalData, Target
from trainables.datasets.splits import stratified_split
from trainables.datasets.table import Dataset, Option


def load_digits(options: Mapping[str, Any]) -> MultimodalData:
    """Left (1797, 32), right (1797, 32), fourier (1797, 40): values 0..1, 0..1 and 0..64; ten classes."""
    table = _table()
    images = table[:, :-1].reshape(-1, 8, 8).astype(np.float32) / 16  # (N, 8, 8), pixels are 0..16
    magnitudes = np.abs(np.fft.rfft2(images))  # (N, 8, 5): the other half of the plane mirrors it, the image being real
    views = {"left": images[:, :, :4], "right": images[:, :, 4:], "fourier": magnitudes}
    target = Target(values=table[:, -1].astype(np.int64), kind="classes", n_classes=10)
    return MultimodalData(
        name="digits",
        modalities={
            name: Modality(name=name, values=np.ascontiguousarray(view.reshape(len(view), -1), dtype=np.float32))
            for name, view in views.items()
        },
        targets=dict.fromkeys(views, target),
        split=stratified_split(target.values, seed=options["split_seed"]),
    )


def _table() -> NDArray[np.float64]:
    """The rows of scikit-learn's file (1797, 65): the pixels of an image, then its digit.

    Read without scikit-learn, whose import takes longer than all that is done with it, unless it keeps them elsewhere.
    """
    package = find_spec("sklearn")
    folder = Path(package.origin).parent if package and package.origin else Path()
    if (file := folder / "datasets" / "data" / "digits.csv.gz").is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn import datasets

    bunch = datasets.load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.float64)


DIGITS = Dataset(
    load=load_digits,
    description="scikit-learn's handwritten digits: image halves and Fourier magnitudes; 10 classes",
    licence="CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)",
    shapes={"left": (32,), "right": (32,), "fourier": (40,)},
    options={
        "split_seed": Option(doc="of the stratified 60/15/25 split", types=(int,), default=0, bounds=(0, 2**32 - 1)),
    },
)
