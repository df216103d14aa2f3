"""Arrays of HDF5 files: where they lie, what they are called, every mistake that is likely."""

from __future__ import annotations

import builtins
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.trainables.datasets.own_files import load_file, refused
from trainables.datasets import DataError
from trainables.datasets.digest import digest

N = 120
RNG = np.random.default_rng(0)
AUDIO = RNG.normal(size=(N, 4)).astype(np.float32)
VIDEO = RNG.normal(size=(N, 6, 3)).astype(np.float32)
Y = np.arange(N) % 3
BOTH = {"audio": AUDIO, "video": VIDEO, "y": Y}


def _save(path: Path, arrays: dict[str, object], **how: object) -> Path:
    with h5py.File(path, "w", **how) as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("name", ["d.h5", "d.hdf5", "D.H5", "d.data"])
@pytest.mark.parametrize("before", [0, 512])
def test_arrays_are_those_of_the_file_and_stay_in_it(tmp_path, name, before):
    data = load_file(_save(tmp_path / name, BOTH, userblock_size=before))
    for key, values in (("audio", AUDIO), ("video", VIDEO)):
        assert np.array_equal(data.modalities[key].values, values)
        assert isinstance(data.modalities[key].values.base, np.memmap)
    assert data.targets["audio"].values.tolist() == Y.tolist()


@pytest.mark.parametrize(
    "how",
    [{"chunks": (7, 2)}, {"chunks": True, "compression": "gzip", "shuffle": True}, {"dtype": ">f4"}, {"dtype": "f2"}],
)
def test_however_they_are_stored(tmp_path, how):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("audio", data=AUDIO, **how)
        file["video"], file["y"] = VIDEO, Y
    values = load_file(tmp_path / "d.h5").modalities["audio"].values
    assert values.dtype == np.float32
    assert np.array_equal(values, AUDIO.astype(how.get("dtype", np.float32)).astype(np.float32))


def test_the_same_arrays_are_the_same_data_in_every_format(tmp_path):
    np.savez(tmp_path / "d.npz", **BOTH)
    known = digest(load_file(tmp_path / "d.npz"), generated=False)
    assert digest(load_file(_save(tmp_path / "d.h5", BOTH)), generated=False) == known


class TestNames:
    def test_are_the_last_part_of_a_path_or_all_of_it(self, tmp_path):
        arrays = {"in/audio": AUDIO, "in/video": VIDEO, "a/label": Y, "b/label": Y == 0}
        path = _save(tmp_path / "d.h5", arrays)
        data = load_file(path, target="a/label")
        assert list(data.modalities) == ["audio", "video"]
        assert data.targets["audio"].n_classes == 3
        data = load_file(path, target="/b/label", modalities={"sound": "in/audio", "seen": "/in/video"})
        assert np.array_equal(data.modalities["sound"].values, AUDIO)
        assert data.targets["sound"].n_classes == 2

    def test_a_target_by_its_path_is_no_modality(self, tmp_path):
        path = _save(tmp_path / "d.h5", {"audio": AUDIO, "video": VIDEO, "labels/hot": np.eye(3)[Y]})
        assert list(load_file(path, target="labels/hot").modalities) == ["audio", "video"]

    def test_split_group_and_mask(self, tmp_path):
        split, steps = np.arange(N) // 5 % 3, 1 + np.arange(N) % 6
        path = _save(tmp_path / "d.h5", BOTH | {"split": split, "meta/steps": steps, "meta/who": np.arange(N) // 10})
        data = load_file(path, mask={"video": "meta/steps"})
        assert data.split.tolist() == split.tolist()
        assert data.modalities["video"].mask.sum(axis=1).tolist() == steps.tolist()
        split = load_file(path, group="who").split
        assert all(len(set(split[start : start + 10])) == 1 for start in range(0, N, 10))

    def test_of_one_array_lead_to_it_by_whatever_link(self, tmp_path):
        path = _save(tmp_path / "d.h5", {"audio": AUDIO, "video": VIDEO, "y": np.eye(3)[Y]})
        with h5py.File(path, "a") as file:
            file["feature"] = file["y"]
            file["again"], file["gone"] = h5py.SoftLink("/audio"), h5py.SoftLink("/nowhere")
            file["in"] = h5py.SoftLink("/")
        assert list(load_file(path).modalities) == ["audio", "video"]
        assert list(load_file(path, modalities=["again", "video"]).modalities) == ["again", "video"]
        refused(path, "which is the target; leave it out", modalities=["audio", "feature"])
        refused(path, "which is the target; leave it out", modalities=["audio", "in/feature"])
        refused(path, "unknown array 'gone'", modalities=["audio", "gone"])

    def test_that_are_no_utf_8_are_passed_over(self, tmp_path):
        path = _save(tmp_path / "d.h5", BOTH)
        with h5py.File(path, "a") as file:
            file[b"\xff\xfe"] = AUDIO
        assert list(load_file(path).modalities) == ["audio", "video"]

    def test_what_is_not_there_is_told_with_what_is(self, tmp_path):
        path = _save(tmp_path / "d.h5", {"x/audio": AUDIO, "x/video": VIDEO, "y": Y})
        refused(path, r"unknown array 'x/text' \(known: audio, video, y\)", modalities=["audio", "x/text"])
        refused(path, "unknown array 'label'", target="label")
        many = _save(tmp_path / "e.h5", {f"a{i}": AUDIO for i in range(100)})
        refused(many, r"a62, … and 40 more\)", target="label", modalities=["a1", "a2"])


class TestValues:
    @pytest.mark.parametrize(
        "labels", [np.array(["é", "b", "c"], dtype=object)[Y], np.array([b"a", b"b", b"c"])[Y], Y == 0, Y.astype("u1")]
    )
    def test_labels(self, tmp_path, labels):
        target = load_file(_save(tmp_path / "d.h5", BOTH | {"y": labels})).targets["audio"]
        assert target.kind == "classes"
        assert target.n_classes == (2 if labels.dtype == bool else 3)

    def test_features_that_are_the_target_are_told(self, tmp_path):
        leaking = np.c_[AUDIO, Y].astype(np.float32)
        notes = load_file(_save(tmp_path / "d.h5", BOTH | {"audio": leaking})).notes
        assert any("column 5 follows from the target y" in note for note in notes)

    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.zeros(N, dtype=[("a", "f4"), ("b", "f4")]), r"named fields \(a, b\); save each"),
            (np.array(["loud"] * N, dtype=object).reshape(-1, 1), "holds text, not numbers"),
            (np.zeros((N, 2), dtype=complex), "holds complex numbers, not numbers"),
            (np.zeros((N, 0)), "is empty"),
            (h5py.Empty("f4"), r"is empty; give one entry"),
        ],
    )
    def test_what_is_no_array_of_numbers(self, tmp_path, array, said):
        refused(_save(tmp_path / "d.h5", BOTH | {"audio": array}), said, modalities=["audio", "video"])

    def test_ragged_rows_references_and_groups(self, tmp_path):
        path = _save(tmp_path / "d.h5", {"video": VIDEO, "y": Y, "in/audio": AUDIO})
        with h5py.File(path, "a") as file:
            ragged = file.create_dataset("ragged", (N,), dtype=h5py.vlen_dtype(np.float32))
            ragged[0] = AUDIO[0]
            file.create_dataset("refs", data=[file["y"].ref] * N, dtype=h5py.ref_dtype)
        refused(path, "rows of different lengths; save plain numbers", modalities=["ragged", "video"])
        refused(path, "references or other objects", modalities=["refs", "video"])
        refused(path, "'/in' is a group, of audio, and not as an array", modalities=["in", "video"])

    def test_links_to_other_files_are_not_followed(self, tmp_path):
        path = _save(tmp_path / "d.h5", {"video": VIDEO, "y": Y})
        _save(tmp_path / "other.h5", {"audio": AUDIO})
        with h5py.File(path, "a") as file:
            file["audio"] = h5py.ExternalLink("other.h5", "audio")
            layout = h5py.VirtualLayout(shape=AUDIO.shape, dtype=AUDIO.dtype)
            layout[:] = h5py.VirtualSource("gone.h5", "audio", shape=AUDIO.shape)
            file.create_virtual_dataset("view", layout)
        assert list(load_file(path, modalities={"a": "video", "b": "/video"}).modalities) == ["a", "b"]
        for name in ("audio", "view"):
            refused(path, "is a view of other files", modalities=[name, "video"])


class TestFiles:
    def test_of_another_kind_or_damaged(self, tmp_path):
        path = tmp_path / "d.h5"
        path.write_bytes(b"a_1,v_1,y\n1,2,0\n")
        refused(path, r"no readable HDF5 file \(.*file signature not found\)")
        path.write_bytes(b"")
        refused(path, "no readable HDF5 file")
        whole = _save(tmp_path / "e.h5", BOTH).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        refused(path, r"no readable HDF5 file \(.*truncated file.*it is damaged, or not written to its end")
        with h5py.File(path, "w"):
            pass
        refused(path, "holds no arrays")

    def test_damaged_inside(self, tmp_path):
        with h5py.File(tmp_path / "d.h5", "w") as file:
            file.create_dataset("audio", data=AUDIO, compression="gzip", fletcher32=True)
            file["video"], file["y"] = VIDEO, Y
            offset = file["audio"].id.get_chunk_info(0).byte_offset
        content = bytearray((tmp_path / "d.h5").read_bytes())
        content[offset + 20 : offset + 60] = bytes(40)
        (tmp_path / "d.h5").write_bytes(content)
        refused(tmp_path / "d.h5", "no readable HDF5 file")

    def test_bytes_at_random_are_refused_or_read(self, tmp_path):
        content = _save(tmp_path / "d.h5", {"a": AUDIO[:12], "b": AUDIO[:12], "y": Y[:12]}).read_bytes()
        rng = np.random.default_rng(0)
        for _ in range(30):
            damaged = np.frombuffer(content, dtype=np.uint8).copy()
            damaged[rng.integers(0, 2048, size=3)] = rng.integers(0, 256, size=3)
            (tmp_path / "e.h5").write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)].tobytes())
            try:
                load_file(tmp_path / "e.h5")
            except DataError as error:
                assert "\n" not in str(error)  # noqa: PT017

    def test_that_would_unpack_to_more_than_is_plausible(self, tmp_path):
        with h5py.File(tmp_path / "d.h5", "w") as file:
            file.create_dataset("audio", shape=(10**9, 100), dtype="f4", chunks=(1000, 100), compression="gzip")
            file["video"], file["y"] = VIDEO, Y
        refused(tmp_path / "d.h5", "would unpack to 372.5 GiB, more than is plausible", modalities=["audio", "video"])

    def test_a_library_that_is_missing_or_does_not_fit(self, tmp_path, monkeypatch):
        path, imported = _save(tmp_path / "d.h5", BOTH), builtins.__import__

        def failing(error: Exception) -> None:
            def instead(name: str, *rest: object) -> object:
                if name == "h5py":
                    raise error
                return imported(name, *rest)

            monkeypatch.setattr(builtins, "__import__", instead)

        failing(ModuleNotFoundError("No module named 'h5py'", name="h5py"))
        refused(path, r"is read by h5py, which is not installed: pip install 'align-study\[hdf5\]'")
        failing(ValueError("numpy.dtype size changed, may indicate binary incompatibility"))
        refused(path, r"cannot be imported \(ValueError: numpy.dtype size changed.*pip install 'align-study\[hdf5\]'")
        monkeypatch.undo()
        monkeypatch.setattr(h5py.version, "version_tuple", h5py.version.version_tuple._replace(major=2))
        refused(path, "read by h5py from 3.5 on")
