"""AnnData and MuData, written by their own libraries and read from the format that these publish."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tests.trainables.datasets.own_files import load_file, refused
from trainables.datasets.files import encodings
from trainables.datasets.files.hierarchies import HdfArrays

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what they import
    ad = pytest.importorskip("anndata", reason="files of AnnData are written by anndata")
    md = pytest.importorskip("mudata", reason="files of MuData are written by mudata")

N = 60
RNG = np.random.default_rng(0)
COUNTS = sp.random(N, 20, 0.2, format="csr", dtype=np.float32, random_state=0)
SCALED = sp.random(N, 20, 0.3, format="csc", random_state=1)  # float64
PROTEIN = RNG.normal(size=(N, 7)).astype(np.float32)
PCA = RNG.normal(size=(N, 5)).astype(np.float32)
TYPES = np.array(["B", "T", "NK"])[np.arange(N) % 3]


@pytest.fixture(autouse=True)
def texts_that_anndata_writes() -> Iterator[None]:
    """It knows nothing of the texts of pandas 3."""
    for as_in_pandas_3 in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the option is to go
            pd.set_option("future.infer_string", as_in_pandas_3)
        if not as_in_pandas_3:
            yield


def _cells() -> Any:
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(TYPES),
            "donor": [f"d{i // 10}" for i in range(N)],
            "age": np.arange(N) / 7.0,
            "grade": pd.array([1, None, 2] * (N // 3), dtype="Int64"),
            "ill": pd.array([True, False, None] * (N // 3), dtype="boolean"),
            "seen": pd.Categorical(np.where(np.arange(N) % 4, TYPES, None)),
        },
        index=[f"c{i}" for i in range(N)],
    )
    frame = pd.DataFrame(PCA[:, :2], columns=["p", "q"], index=obs.index)
    return ad.AnnData(X=COUNTS, obs=obs, obsm={"X_pca": PCA, "frame": frame}, layers={"scaled": SCALED})


def _proteins() -> Any:
    return ad.AnnData(X=PROTEIN, obs=pd.DataFrame(index=[f"c{i}" for i in range(N)]))


def _write(data: Any, path: Path, **how: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write(path, **how)
    return path


def _both() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = md.MuData({"rna": _cells(), "protein": _proteins()})
        both.obs["label"] = pd.Categorical(TYPES)
    return both


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return _write(_cells(), tmp_path / "d.h5ad")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    return _write(_both(), tmp_path / "d.h5mu")


class TestAnnData:
    @pytest.mark.parametrize("how", [{}, {"compression": "gzip"}, {"as_dense": ["X"]}])
    def test_matrices_are_modalities_and_columns_are_labels(self, tmp_path, how):
        path = _write(_cells(), tmp_path / "d.h5ad", **how)
        data = load_file(path, modalities={"rna": "X", "pca": "obsm/X_pca"}, target="cell_type", group="donor")
        assert np.array_equal(data.modalities["rna"].values, COUNTS.toarray())
        assert np.array_equal(data.modalities["pca"].values, PCA)
        assert data.modalities["rna"].values.dtype == np.float32
        assert data.targets["rna"].values.tolist() == np.unique(TYPES, return_inverse=True)[1].tolist()
        assert all(len(set(data.split[start : start + 10])) == 1 for start in range(0, N, 10))

    def test_every_kind_of_array(self, cells):
        arrays = HdfArrays(cells)
        assert {name: arrays[name].shape for name in arrays} == {name: arrays.shape(name) for name in arrays}
        assert np.array_equal(arrays["scaled"], SCALED.toarray())
        assert arrays["scaled"].dtype == np.float64
        assert np.array_equal(arrays["frame"], PCA[:, :2])
        assert arrays["age"].tolist() == (np.arange(N) / 7.0).tolist()
        assert np.array_equal(arrays["grade"][:3], [1, np.nan, 2], equal_nan=True)
        assert np.array_equal(arrays["ill"][:3], [1, 0, np.nan], equal_nan=True)
        assert arrays["seen"][:3].tolist() == ["", "T", "NK"]
        assert isinstance(arrays["X_pca"], np.memmap)

    def test_what_is_not_listed_is_read_by_its_path(self, tmp_path):
        some = _cells()
        some.raw = some
        path = _write(some, tmp_path / "d.h5ad")
        data = load_file(path, modalities=["raw/X", "X_pca"], target="cell_type")
        assert np.array_equal(data.modalities["raw/X"].values, COUNTS.toarray())
        refused(path, "'/uns' is stored as 'dict', and not as an array", modalities=["uns", "X_pca"], target="donor")
        refused(path, "which is the target", modalities=["/obs/cell_type", "X_pca"], target="cell_type")

    def test_links_to_other_files_and_to_nothing(self, cells, tmp_path):
        with h5py.File(cells, "a") as file, h5py.File(tmp_path / "other.h5", "w") as other:
            other["m"] = PROTEIN
            file["obsm/elsewhere"] = h5py.ExternalLink("other.h5", "m")
            file["obsm/gone"], file["obs/gone"] = h5py.SoftLink("/nowhere"), h5py.SoftLink("/nowhere")
            file[b"obsm/\xff"] = PROTEIN
        assert len(load_file(cells, modalities=["X", "X_pca"], target="cell_type").split) == N
        refused(cells, "is a view of other files", modalities=["X", "elsewhere"], target="cell_type")
        refused(cells, "unknown array 'gone'", modalities=["X", "gone"], target="cell_type")

    @pytest.mark.parametrize("kind", [np.int16, np.int64, np.uint64])
    def test_sparse_whole_numbers_are_what_dense_ones_are(self, tmp_path, kind):
        for largest in (30_000, 2**24, 2**24 + 1):
            if largest > np.iinfo(kind).max:
                continue
            some = _cells()
            some.X = COUNTS.astype(kind)
            some.X.data[:] = largest - np.arange(COUNTS.nnz) % 3
            values = HdfArrays(_write(some, tmp_path / "d.h5ad"))["X"]
            assert np.array_equal(values.astype(np.float64), some.X.toarray())
            assert values.dtype == (np.float64 if largest > 2**24 else np.float32)

    def test_missing_labels_are_refused_as_elsewhere(self, cells):
        refused(cells, "target seen has empty labels", modalities=["X", "X_pca"], target="seen")
        refused(cells, "target grade has NaN", modalities=["X", "X_pca"], target="grade")

    def test_modalities_have_to_be_named(self, cells):
        refused(cells, r"say which arrays are modalities, modalities: \[X, X_pca\]; there are X, X_pca, frame, scaled")
        refused(
            cells, r"unknown array 'X_umap' \(known: X, X_pca, frame,", modalities=["X", "X_umap"], target="cell_type"
        )

    def test_steps_of_a_sparse_matrix_make_no_difference(self, cells, monkeypatch):
        monkeypatch.setattr(encodings, "_STEP", 5)
        arrays = HdfArrays(cells)
        assert np.array_equal(arrays["X"], COUNTS.toarray())
        assert np.array_equal(arrays["scaled"], SCALED.toarray())

    def test_entries_that_stand_twice_are_added(self, cells):
        with h5py.File(cells, "a") as file:
            del file["X"]
            group = file.create_group("X")
            group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (N, 20)})
            group["data"], group["indices"] = np.ones(4, np.float32), np.array([3, 3, 1, 0])
            group["indptr"] = np.r_[0, 3, np.full(N - 1, 4)]
        values = HdfArrays(cells)["X"]
        assert values[0, :4].tolist() == [0, 1, 0, 2]
        assert values.sum() == 4

    def test_a_matrix_that_would_be_too_large(self, cells, monkeypatch):
        with h5py.File(cells, "a") as file:
            file["X"].attrs["shape"] = (N, 10**9)
        refused(cells, r"sparse \(60 × 1000000000, .* dense takes 223.5 GiB, more than .*; reduce it first",
                 modalities=["X", "X_pca"], target="cell_type")  # fmt: skip
        monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2000}))
        refused(cells, r"dense takes .* of memory, and 2.0 KiB are free; reduce it first",
                 modalities=["scaled", "X_pca"], target="cell_type")  # fmt: skip

    @pytest.mark.parametrize(
        ("part", "values", "said"),
        [
            ("X/indices", np.full(COUNTS.nnz, 99), "no readable HDF5 file"),
            ("X/indptr", np.arange(N + 1) * 10**6, "parts do not fit one another; it is damaged"),
            ("obs/cell_type/codes", np.full(N, 7, np.int8), "codes of categories that are not there"),
            ("X/indices", np.full(COUNTS.nnz, 0.5), "parts do not fit one another; it is damaged"),
            ("X/data", COUNTS.data * 1j, "parts do not fit one another; it is damaged"),
            ("obs/cell_type/codes", np.full(N, 0.5), "codes of categories that are not there"),
            ("obs/cell_type", np.zeros(3, np.int8), "has 60 rows and the target 3"),
        ],
    )
    def test_damaged(self, cells, part, values, said):
        with h5py.File(cells, "a") as file:
            del file[part]
            file[part] = values
        refused(cells, said, modalities=["X", "X_pca"], target="cell_type")

    def test_categories_as_older_versions_wrote_them(self, cells):
        with h5py.File(cells, "a") as file:
            del file["obs/cell_type"]
            file["obs/__categories/cell_type"] = np.array([b"B", b"NK", b"T"])
            file["obs/cell_type"] = np.unique(TYPES, return_inverse=True)[1].astype(np.int8)
            file["obs/cell_type"].attrs["categories"] = file["obs/__categories/cell_type"].ref
        assert HdfArrays(cells)["cell_type"].astype(str).tolist() == TYPES.tolist()
        with h5py.File(cells, "a") as file:
            del file["obs"]
            file["obs"] = np.zeros(N, dtype=[("index", "i4"), ("cell_type", "i4")])
        refused(cells, "written by anndata before 0.7; read it with anndata and write it again")


class TestMuData:
    def test_each_modality_is_one(self, both):
        data = load_file(both, target="label")
        assert list(data.modalities) == ["rna", "protein"]
        assert np.array_equal(data.modalities["rna"].values, COUNTS.toarray())
        assert np.array_equal(data.modalities["protein"].values, PROTEIN)
        assert isinstance(data.modalities["protein"].values.base, np.memmap)

    def test_parts_of_a_modality_by_their_paths(self, both):
        data = load_file(
            both, target="rna/obs/cell_type", modalities=["mod/rna/obsm/X_pca", "protein/X"], group="donor"
        )
        assert list(data.modalities) == ["X_pca", "protein/X"]
        assert data.targets["X_pca"].n_classes == 3

    def test_names_that_another_library_wrote_as_bytes(self, both):
        with h5py.File(both, "a") as file:
            file["mod"].attrs["mod-order"] = np.array([b"rna", b"protein"])
        assert list(load_file(both, target="label").modalities) == ["rna", "protein"]

    def test_samples_that_not_all_have_are_refused(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            some = md.MuData({"rna": _cells(), "protein": _proteins()[:40].copy()})
            some.obs["label"] = pd.Categorical(TYPES)
            turned = md.MuData({"rna": _cells(), "protein": _proteins()[::-1].copy()})
            turned.obs["label"] = pd.Categorical(TYPES)
        path = _write(some, tmp_path / "some.h5mu")
        refused(
            path, "modality protein lacks 20 of the 60 samples; keep those .* muon.pp.intersect_obs", target="label"
        )
        path = _write(turned, tmp_path / "turned.h5mu")
        refused(path, "modality protein has the samples in another order", target="label")
        with h5py.File(path, "a") as file:
            del file["obsmap"]
        refused(path, "modality protein has the samples in another order", target="label")
        with h5py.File(path, "a") as file:
            file.attrs["axis"] = 1
        refused(path, "share features, and not samples", target="label")
