"""UCI Multiple Features: 2,000 handwritten digits in six views, 15 pairs from redundant to complementary.

Layout: six text files mfeat-fou, -fac, -kar, -pix, -zer, -mor, one row a digit, 200 rows of each class in order; or one
.npz with these names, `y` and, optionally, `split`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.assemble import ARRAY_OPTIONS, assemble
from trainables.datasets.base import DataError, MultimodalData
from trainables.datasets.files.reading import find_file, first_line, open_arrays
from trainables.datasets.generated.stand_in import STAND_IN, Generated, StandInPlan, mark
from trainables.datasets.table import Dataset, Option

_VIEWS = {"fou": 76, "fac": 216, "kar": 64, "pix": 240, "zer": 47, "mor": 6}
_ORIGIN = "https://archive.ics.uci.edu/dataset/72/multiple+features (mfeat.zip)"
# Fourier, Zernike and morphological features are not changed by a rotation, so 6 and 9 look alike in them.
_PLAN = StandInPlan(
    rows=(1200, 300, 500),
    shapes={view: (width,) for view, width in _VIEWS.items()},
    classes=10,
    relevance={"fou": 0.93, "fac": 0.985, "kar": 0.98, "pix": 0.985, "zer": 0.92, "mor": 0.87},
    given_score={("fac", "pix"): 0.8, ("kar", "pix"): 0.8, ("fac", "kar"): 0.7},
)


def load_mfeat(options: Mapping[str, Any]) -> MultimodalData:
    """The six views (2000, d) and ten classes; a stratified 60/15/25 split where the file has none."""
    views = {view: view for view in _VIEWS}
    seed = {"split_seed": options["split_seed"]}
    arrays: Mapping[str, NDArray[Any]]
    if options["stand_in"]:
        plan = _PLAN.sized(options["stand_in"])
        drawn = Generated(plan)
        arrays = {view: drawn.modality(view) for view in _VIEWS} | {"y": drawn.labels, "split": drawn.split}
        return mark(assemble("mfeat", arrays, views, seed), plan)
    path = find_file(options["path"], origin=_ORIGIN)
    arrays = _read_texts(path) if path.is_dir() else open_arrays(path)
    return assemble("mfeat", arrays, views, seed)


def _read_texts(folder: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for view, width in _VIEWS.items():
        path = folder / f"mfeat-{view}"
        try:
            arrays[view] = np.loadtxt(path, dtype=np.float32, ndmin=2)
        except FileNotFoundError:
            raise DataError(f"mfeat: {folder} has no mfeat-{view}; it needs mfeat-{', mfeat-'.join(_VIEWS)}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"mfeat: {path} is no table of numbers ({first_line(error)})") from None
        if arrays[view].shape != (2000, width):
            raise DataError(f"mfeat: {path} has shape {arrays[view].shape}; it must have (2000, {width})")
    return arrays | {"y": np.repeat(np.arange(10), 200)}


MFEAT = Dataset(
    load=load_mfeat,
    description="UCI Multiple Features: six views of 2,000 handwritten digits, 15 pairs; 10 classes",
    licence="CC BY 4.0",
    shapes=_PLAN.shapes,
    options={
        "path": Option(doc="folder of the six text files, or an .npz", types=(str,), default="data/mfeat"),
        "split_seed": ARRAY_OPTIONS["split_seed"],
        "stand_in": STAND_IN,
    },
    origin=_ORIGIN,
)
