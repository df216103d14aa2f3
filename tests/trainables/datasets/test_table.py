"""The table of datasets: every line loads as it says, every wrong option is one clear line."""

import numpy as np
import pytest

from trainables.datasets import DATASETS, DataError, Modality, MultimodalData, Target, cells, load
from trainables.datasets.checks import check
from trainables.spec import DatasetSpec

GENERATED = [name for name, dataset in DATASETS.items() if "path" not in dataset.options]


def _cells(name, **options):
    return cells(DatasetSpec(name=name, options=options))


@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_load_with_the_shapes_that_the_table_names(name):
    data = load(DatasetSpec(name=name))
    assert {key: modality.values.shape[1:] for key, modality in data.modalities.items()} == dict(DATASETS[name].shapes)
    assert set(DATASETS[name].encoders) <= set(data.modalities)
    assert data.name.startswith(name)
    assert not data.stand_in


@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_are_deterministic(name):
    first, again = (load(DatasetSpec(name=name)) for _ in range(2))
    assert np.array_equal(first.split, again.split)
    for key, modality in first.modalities.items():
        assert np.array_equal(modality.values, again.modalities[key].values)
        assert np.array_equal(first.targets[key].values, again.targets[key].values)


@pytest.mark.parametrize("name", DATASETS)
def test_defaults_are_allowed_values(name):
    for key, option in DATASETS[name].options.items():
        assert option.required or option.accepts(option.default), key


def test_cells_expand_lists_and_fill_in_defaults():
    expanded = _cells("synthetic", redundancy=[0, 8], rows=512)
    assert [cell.options["redundancy"] for cell in expanded] == [0, 8]
    assert {cell.options["rows"] for cell in expanded} == {512}
    assert expanded[0].options["temperature"] == 0.05
    assert len(_cells("digits")) == 1


def test_cells_of_a_cell_are_the_cell():
    (cell,) = _cells("synthetic", redundancy=3)
    assert cells(cell) == (cell,)


def test_equal_options_are_equal_specs():
    assert _cells("synthetic", temperature=1) == _cells("synthetic", temperature=1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digitz", {}, "unknown dataset 'digitz'; did you mean 'digits'"),
        ("synthetic", {"redundency": 3}, "did you mean 'redundancy'"),
        ("synthetic", {"redundancy": 9}, "an integer from 0 to 8"),
        ("synthetic", {"redundancy": True}, "True is not allowed"),
        ("synthetic", {"redundancy": [0, "a"]}, "'a' is not allowed"),
        ("synthetic", {"redundancy": []}, r"\[\] is not allowed"),
        ("synthetic", {"redundancy": [1, 1]}, "given twice"),
        ("synthetic", {"rows": [100, 200]}, r"\[100, 200\] is not allowed"),
        ("synthetic", {"rows": 3}, "from 4 to 45875"),
        ("synthetic", {"temperature": float("nan")}, "nan is not allowed"),
        ("synthetic", {"temperature": None}, "None is not allowed"),
        ("gates", {"gate": "nand"}, "one of and, or, xor"),
    ],
)
def test_wrong_options_are_one_clear_line(name, options, message):
    with pytest.raises(DataError, match=message) as error:
        _cells(name, **options)
    assert "\n" not in str(error.value)


def test_a_spec_of_several_cells_is_not_loaded_as_one():
    with pytest.raises(DataError, match="2 cells"):
        load(DatasetSpec(name="synthetic", options={"redundancy": [0, 1]}))


def _data(**changes):
    values = np.random.default_rng(0).random((30, 2), dtype=np.float32)
    target = Target(values=np.arange(30) % 3, kind="classes", n_classes=3)
    parts = {
        "name": "made up",
        "modalities": {"a": Modality(name="a", values=values), "b": Modality(name="b", values=values)},
        "targets": {"a": target, "b": target},
        "split": np.repeat([0, 1, 2], 10).astype(np.int8),
    }
    return MultimodalData(**(parts | changes))


def _modality(values, **more):
    return {"modalities": {"a": Modality(name="a", values=values, **more)}}


def _target(values, **more):
    target = Target(**({"values": values, "kind": "classes", "n_classes": 3} | more))
    return {"targets": {"a": target}}


FLOATS = np.ones((30, 2), dtype=np.float32)
WITH_NAN = FLOATS.copy()
WITH_NAN[29, 1] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (_modality(WITH_NAN), "NaN or infinite"),
        (_modality(FLOATS[:29]), "29 rows"),
        (_modality(FLOATS[:, 0]), r"allowed are \(N, d\)"),
        (_modality(FLOATS[:, :0]), r"allowed are \(N, d\)"),
        (_modality(FLOATS.astype(np.float16)), "float32 or float64 is needed"),
        (_modality(np.ones((30, 4, 2), np.float32), mask=np.zeros((30, 4), bool)), "a real step in each row"),
        (_target(np.zeros(30, np.int64)), "one class only"),
        (_target(np.arange(30)), "not in 0..2"),
        (_target(np.arange(30.0) % 3), "integers for classes"),
        (_target(np.arange(29) % 3), "29 rows"),
        (_target(np.full(30, np.nan, np.float32), kind="real"), "finite real numbers"),
        (_target(np.ones(30, np.float32), kind="real"), "constant"),
        ({"split": np.repeat([0, 1], 15).astype(np.int8)}, "the test split has no rows"),
        ({"split": np.full(30, 3, np.int8)}, "must be 0"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(changes, message):
    assert check(_data()).name == "made up"
    with pytest.raises(DataError, match=message) as error:
        check(_data(**changes))
    assert "\n" not in str(error.value)


def test_a_pair_needs_two_modalities_that_exist():
    with pytest.raises(DataError, match="unknown modality 'c'"):
        _data().pair("a", "c")
    with pytest.raises(DataError, match="two different"):
        _data().pair("a", "a")


PADDED = np.arange(4) < 1 + np.arange(30)[:, None] % 4


@pytest.mark.parametrize("filling", [np.nan, np.inf, 1e30])
def test_what_stands_in_padded_steps_is_not_looked_at(filling):
    values = np.where(PADDED[:, :, None], np.float32(1), np.float32(filling)).repeat(2, axis=2)
    assert check(_data(**_modality(values, mask=PADDED))).name == "made up"
    values[7, 0, 0] = filling  # a real step
    if not np.isfinite(filling):
        with pytest.raises(DataError, match="NaN or infinite" if np.isnan(filling) else "infinite values.* 1 of them"):
            check(_data(**_modality(values, mask=PADDED)))
