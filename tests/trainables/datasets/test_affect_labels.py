"""Labels of the affect corpora: those whose sign tells something, under the name that the file gives them."""

import pickle

import numpy as np
import pytest

from trainables.datasets import DataError, load
from trainables.datasets.published.affect import stand_in_corpus
from trainables.datasets.published.corpora import MOSEI_PLAN
from trainables.spec import DatasetSpec

PLAN = MOSEI_PLAN.sized("small")


@pytest.fixture
def load_with(tmp_path):
    """Loads a small corpus whose parts are changed by a function of the part and its name."""

    def load_it(change, **options):
        raw = stand_in_corpus(PLAN, binary=False)
        for name, part in raw.items():
            change(part, name)
        path = tmp_path / "mosi.pkl"
        path.write_bytes(pickle.dumps(raw))
        return load(DatasetSpec(name="mosi", options={"path": str(path), **options}))

    return load_it


def _relabelled(values):
    def change(part, name):
        del name
        n = len(part["labels"])
        part["labels"] = np.resize(values, n).astype(np.float32).reshape(n, 1, 1)

    return change


@pytest.mark.parametrize("task", ["classes", "regression"])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.arange(7), "the label runs from 0 to 6"),
        ([0.0, 0.5, 1.0], "the label runs from 0 to 1"),
        ([1, 2], "from 1 to 2, 100%"),
        ([-2, -1, 0], "0% of it above 0"),
    ],
)
def test_labels_of_one_sign_are_refused_with_their_range(load_with, values, said, task):
    with pytest.raises(DataError, match=f"{said}.*subtract the neutral value") as error:
        load_with(_relabelled(values), task=task)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [[0, 1], [-1, 1], [-3, -1, 0, 2], [False, True]])
def test_labels_of_two_signs_and_binary_ones_are_taken(load_with, values):
    target = load_with(_relabelled(values), task="regression").targets["text"]
    assert target.metric == "sign_accuracy"
    assert target.values.min() < 0 < target.values.max()


def test_labels_under_another_name_are_named(load_with):
    def change(part, name):
        del name
        part["regression_labels"] = part.pop("labels")

    with pytest.raises(
        DataError, match=r"train has no 'labels' \(it has .*\); rename 'regression_labels' if it is that"
    ):
        load_with(change)


def test_a_split_emptied_by_cleaning_is_one_line(load_with):
    """Rows without any text are dropped; where that are all of a split, nothing is carved from another."""

    def change(part, name):
        if name == "valid":
            part["text"] = np.zeros_like(part["text"])

    with pytest.raises(DataError, match="the valid split has no rows"):
        load_with(change)
