"""Datasets that Hugging Face's library saved to disk: columns of vectors, names of labels, parts."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.datasets.own_files import load_file, refused
from trainables.datasets.digest import digest
from trainables.datasets.files.huggingface import SavedDataset

hf = pytest.importorskip("datasets", reason="such folders are written and read by datasets")

N = 120
RNG = np.random.default_rng(0)
AUDIO = RNG.normal(size=(N, 4)).astype(np.float32)
VIDEO = RNG.normal(size=(N, 6, 3)).astype(np.float32)
TEXT = RNG.normal(size=(N, 5))
Y = np.arange(N) % 3
FEATURES = {
    "audio": hf.List(hf.Value("float32"), length=4),
    "text": hf.List(hf.Value("float64")),
    "video": hf.Array2D((6, 3), "float32"),
    "y": hf.ClassLabel(names=["sad", "glad", "mad"]),
    "who": hf.Value("string"),
}
COLUMNS = {"audio": AUDIO, "text": TEXT, "video": VIDEO, "y": Y, "who": [f"s{i // 10}" for i in range(N)]}


def _dataset(features: dict[str, Any] | None = None, **columns: object) -> Any:
    kinds = {**FEATURES, **(features or {})}
    columns = {**COLUMNS, **columns}
    return hf.Dataset.from_dict(columns, features=hf.Features({name: kinds[name] for name in columns}))


def _save(data: Any, path: Path, **how: object) -> Path:
    hf.disable_progress_bars()
    try:
        data.save_to_disk(path, **how)
    finally:
        hf.enable_progress_bars()
    return path


@pytest.mark.parametrize("how", [{}, {"num_shards": 3}])
def test_columns_of_vectors_are_modalities(tmp_path, how, capfd):
    data = load_file(_save(_dataset(), tmp_path / "d", **how))
    for key, values in (("audio", AUDIO), ("text", TEXT), ("video", VIDEO)):
        assert np.array_equal(data.modalities[key].values, values)
    assert {name: str(one.values.dtype) for name, one in data.modalities.items()} == {
        "audio": "float32", "text": "float64", "video": "float32",
    }  # fmt: skip
    assert data.targets["audio"].n_classes == 3
    assert capfd.readouterr().err == ""


def test_labels_have_their_names(tmp_path):
    arrays = SavedDataset(_save(_dataset(), tmp_path / "d"))
    assert arrays["y"].tolist() == [["sad", "glad", "mad"][label] for label in Y]
    without = SavedDataset(_save(_dataset(y=[None if i % 9 == 0 else int(y) for i, y in enumerate(Y)]), tmp_path / "e"))
    assert without["y"][:3].tolist() == ["", "glad", "mad"]
    refused(tmp_path / "e", "target y has empty labels")


def test_rows_that_were_chosen_are_those_that_are_read(tmp_path):
    rows = RNG.permutation(N)[:90]
    data = load_file(_save(_dataset().select(rows), tmp_path / "d"), group="who")
    assert np.array_equal(data.modalities["video"].values, VIDEO[rows])
    assert len(data.groups) == 90


def test_parts_are_the_split(tmp_path):
    whole = _dataset()
    parts = hf.DatasetDict(
        test=whole.select(range(30)), train=whole.select(range(30, 100)), validation=whole.select(range(100, N))
    )
    data = load_file(_save(parts, tmp_path / "d"))
    assert np.bincount(data.split).tolist() == [70, 20, 30]
    assert np.array_equal(data.modalities["audio"].values[data.split == 2], AUDIO[:30])
    assert data.split_is_given
    grouped = load_file(tmp_path / "d", group="who")
    assert any("the array split is not used: set split: split to use it" in note for note in grouped.notes)
    refused(_save(hf.DatasetDict(train=whole, dev2=whole), tmp_path / "e"), "split split")


def test_one_part_alone_is_no_split(tmp_path):
    data = load_file(_save(hf.DatasetDict(train=_dataset()), tmp_path / "d"))
    assert np.bincount(data.split).tolist() == [72, 18, 30]
    assert not data.split_is_given


def test_parts_with_other_columns(tmp_path):
    parts = hf.DatasetDict(train=_dataset(), test=_dataset({"audio": hf.List(hf.Value("float64"), length=4)}))
    refused(_save(parts, tmp_path / "d"), "audio differ between its parts train and test")


def test_the_same_arrays_are_the_same_data_in_every_format(tmp_path):
    np.savez(tmp_path / "d.npz", **COLUMNS)
    known = digest(load_file(tmp_path / "d.npz", modalities=["audio", "text", "video"], target="who"), generated=False)
    assert digest(load_file(_save(_dataset(), tmp_path / "d"), target="who"), generated=False) == known


class TestMistakes:
    @pytest.mark.parametrize(
        ("kind", "column", "said"),
        [
            (hf.List(hf.Value("float32")), [[1.0] * (1 + (i > 50)) for i in range(N)],
             "column 'odd' holds vectors of different lengths: 1 in row 1, 2 in row 52; make them equal"),
            (hf.List(hf.Value("float32")), [None if i == 7 else [1.0, i] for i in range(N)], "no vector in row 8"),
            (hf.List(hf.Value("string")), [["a", "b"]] * N, "holds vectors of string, which are no numbers"),
            (hf.List(hf.Value("float32")), [[float(i), None] for i in range(N)], "modality odd has NaN"),
            (hf.Value("string"), ["loud"] * N, "holds text, not numbers"),
        ],
    )  # fmt: skip
    def test_columns_that_are_no_vectors_of_numbers(self, tmp_path, kind, column, said):
        path = _save(_dataset({"odd": kind}, odd=column), tmp_path / "d")
        refused(path, said, modalities=["odd", "audio"])
        assert list(load_file(path, modalities=["text", "audio"]).modalities) == [
            "text",
            "audio",
        ]  # nobody asked for it

    def test_nested_columns_are_their_fields(self, tmp_path):
        kind = {"sound": hf.List(hf.Value("float32")), "name": hf.Value("string")}
        odd = [{"sound": [1.0 * i, 2.0], "name": "a"} for i in range(N)]
        path = _save(_dataset({"odd": kind}, odd=odd), tmp_path / "d")
        assert load_file(path, modalities=["odd.sound", "audio"]).modalities["odd.sound"].values.shape == (N, 2)
        refused(path, r"unknown array 'odd'", modalities=["odd", "audio"])

    def test_names_that_a_label_lacks(self, tmp_path):
        path = _save(_dataset(), tmp_path / "d")
        info = json.loads((path / "dataset_info.json").read_text())
        info["features"]["y"]["names"] = ["sad", "glad"]
        (path / "dataset_info.json").write_text(json.dumps(info))
        refused(path, "has the label 2, and names for 0 to 1")

    def test_damaged_folders_and_those_of_a_newer_version(self, tmp_path):
        path = _save(_dataset(), tmp_path / "d")
        info = (path / "dataset_info.json").read_text()
        (path / "dataset_info.json").write_text(info.replace('"ClassLabel"', '"Hologram"'))
        refused(path, r"cannot be read by datasets [\d.]+ \(ValueError: .*Hologram.*pip install -U datasets")
        (path / "dataset_info.json").write_text("{")
        refused(path, "cannot be read by datasets")
        (path / "dataset_info.json").write_text(info)
        (data,) = path.glob("data-*.arrow")
        data.write_bytes(data.read_bytes()[:1000])
        refused(path, "cannot be read by datasets")
        data.unlink()
        refused(path, "cannot be read by datasets")

    def test_no_rows(self, tmp_path):
        refused(_save(_dataset().select([]), tmp_path / "d", num_shards=1), "has no rows")

    def test_a_library_that_is_missing(self, tmp_path, monkeypatch):
        path, imported = _save(_dataset(), tmp_path / "d"), builtins.__import__

        def instead(name: str, *rest: object) -> object:
            if name == "datasets":
                raise ModuleNotFoundError("No module named 'datasets'", name="datasets")
            return imported(name, *rest)

        monkeypatch.setattr(builtins, "__import__", instead)
        refused(path, r"is read by datasets, which is not installed: pip install 'align-study\[datasets\]'")
