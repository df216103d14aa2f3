"""Every dataset by name, and the one way to load them.

`DATASETS` is the whole list: a new dataset is one module and one line here. `load` turns a `DatasetSpec` into checked
`MultimodalData`; `cells` expands a spec whose options ask for several cells.
"""

from __future__ import annotations

from trainables.datasets.base import DataError as DataError
from trainables.datasets.base import Modality as Modality
from trainables.datasets.base import MultimodalData as MultimodalData
from trainables.datasets.base import PairData as PairData
from trainables.datasets.base import Target as Target
from trainables.datasets.checks import check
from trainables.datasets.files.arrays import ARRAYS
from trainables.datasets.files.regular import check_regular
from trainables.datasets.generated.continuous import CONTINUOUS
from trainables.datasets.generated.gates import GATES_DATASET
from trainables.datasets.generated.gaussian import GAUSSIAN
from trainables.datasets.generated.linear import LINEAR
from trainables.datasets.generated.lsmi import LSMI
from trainables.datasets.generated.synthetic import SYNTHETIC
from trainables.datasets.published.avmnist import AV_MNIST
from trainables.datasets.published.corpora import MOSEI, MOSI, MUSTARD, UR_FUNNY
from trainables.datasets.published.digits import DIGITS
from trainables.datasets.published.houston import HOUSTON
from trainables.datasets.published.mfeat import MFEAT
from trainables.datasets.table import Dataset as Dataset
from trainables.datasets.table import Option as Option
from trainables.datasets.table import unknown
from trainables.spec import DatasetSpec

DATASETS: dict[str, Dataset] = {
    "digits": DIGITS,
    "synthetic": SYNTHETIC,
    "continuous": CONTINUOUS,
    "gates": GATES_DATASET,
    "gaussian": GAUSSIAN,
    "lsmi": LSMI,
    "linear": LINEAR,
    "mosei": MOSEI,
    "mosi": MOSI,
    "mustard": MUSTARD,
    "ur_funny": UR_FUNNY,
    "avmnist": AV_MNIST,
    "mfeat": MFEAT,
    "houston": HOUSTON,
    "arrays": ARRAYS,
}


def load(spec: DatasetSpec) -> MultimodalData:
    """The dataset of one cell, checked: finite values, as many rows everywhere, no split empty, something to learn.

    Raises:
        DataError: the dataset or an option is unknown or not allowed, its file is missing or not readable, or what is
            in it cannot be trained on.
    """
    options, *others = cells(spec)
    if others:
        raise DataError(f"{spec.name}: the options make {1 + len(others)} cells; load them one by one (see `cells`)")
    if isinstance(path := options.options.get("path"), str):
        check_regular(path)
    return check(_line(spec).load(options.options))


def cells(spec: DatasetSpec) -> tuple[DatasetSpec, ...]:
    """One spec a cell, its options resolved: a list in an option that allows it becomes one cell for each value.

    Raises:
        DataError: as `load`, where the name or an option is wrong. Nothing is read.
    """
    return tuple(DatasetSpec(name=spec.name, options=options) for options in _line(spec).cells(spec.options))


def _line(spec: DatasetSpec) -> Dataset:
    if spec.name not in DATASETS:
        raise DataError(unknown("dataset", spec.name, DATASETS))
    return DATASETS[spec.name]
