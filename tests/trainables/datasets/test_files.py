"""Array files: what is whole is read, what is damaged or hostile is one clear line."""

import contextlib
import io
import zipfile

import numpy as np
import pytest
from scipy.io import matlab

from trainables.datasets import DataError
from trainables.datasets.files import reading as files
from trainables.datasets.files.matlab import read_mat
from trainables.datasets.files.reading import open_arrays, read_npy, size_text
from trainables.datasets.files.tables import read_table

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def _npy(array, **more):
    buffer = io.BytesIO()
    np.save(buffer, array, **more)
    return buffer.getvalue()


def _zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _header(shape, dtype="<f4"):
    """An .npy header with nothing behind it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


class TestNpz:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_arrays_by_name(self, tmp_path, save):
        save(tmp_path / "a.npz", x=ARRAY, y=np.asfortranarray(ARRAY.astype(">i8")), z=np.array(["a", "bc"]))
        arrays = open_arrays(tmp_path / "a.npz")
        assert set(arrays) == {"x", "y", "z"}
        assert arrays["x"].dtype == np.float32
        for name, expected in (("x", ARRAY), ("y", ARRAY), ("z", ["a", "bc"])):
            assert np.array_equal(arrays[name], expected)
            assert arrays.shape(name) == np.shape(expected)

    def test_python_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
        with pytest.raises(DataError, match="holds Python objects"):
            open_arrays(tmp_path / "a.npz")["x"]

    def test_named_fields_are_refused(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.zeros(2, dtype=[("a", "f4")]))
        with pytest.raises(DataError, match="named fields"):
            open_arrays(tmp_path / "a.npz")["x"]

    def test_zip_bomb(self, tmp_path, monkeypatch):
        """Zeros packed a thousand times: refused by the archive's directory, nothing is unpacked."""
        monkeypatch.setattr(files, "BOMB_BYTES", 2**20)
        np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2**20))
        with pytest.raises(DataError, match=r"would unpack from .* to 8\.0 MiB"):
            open_arrays(tmp_path / "a.npz")

    def test_a_large_file_is_no_bomb(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "BOMB_BYTES", 2**10)
        np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 4, size=2**16))
        assert open_arrays(tmp_path / "a.npz")["x"].shape == (2**16,)

    def test_larger_than_the_limit(self, tmp_path, monkeypatch):
        np.savez(tmp_path / "a.npz", x=ARRAY)
        monkeypatch.setattr(files, "MAX_BYTES", 100)
        with pytest.raises(DataError, match=r"folder of \.npy files"):
            open_arrays(tmp_path / "a.npz")

    @pytest.mark.parametrize("shape", [(10**12,), (10**9, 10**9), (5,)])
    def test_a_header_that_promises_more_than_there_is(self, tmp_path, shape):
        arrays = open_arrays(_zip(tmp_path / "a.npz", x=_header(shape) + b"1234"))
        with pytest.raises(DataError, match="damaged"):
            arrays["x"]

    @pytest.mark.parametrize("cut", [10, 200])
    def test_truncated(self, tmp_path, cut):
        path = tmp_path / "a.npz"
        np.savez(path, x=ARRAY)
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(DataError, match=r"no readable \.npz"):
            open_arrays(path)

    def test_damaged_content(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, x=ARRAY)
        content = bytearray(path.read_bytes())
        content[content.index(ARRAY.tobytes()) + 3] ^= 255
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            open_arrays(path)["x"]

    def test_a_member_that_is_no_array(self, tmp_path):
        with pytest.raises(DataError, match=r"no readable \.npy data"):
            open_arrays(_zip(tmp_path / "a.npz", x=b"cos\nsystem\n(S'echo no'\ntR."))["x"]

    def test_no_zip(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"not a zip")
        with pytest.raises(DataError, match=r"no readable \.npz"):
            open_arrays(tmp_path / "a.npz")


class TestNpyFolder:
    def test_arrays_are_memory_mapped(self, tmp_path):
        np.save(tmp_path / "x.npy", ARRAY)
        np.save(tmp_path / "y.npy", np.arange(3))
        arrays = open_arrays(tmp_path)
        assert list(arrays) == ["x", "y"]
        assert isinstance(arrays["x"], np.memmap)
        assert np.array_equal(arrays["x"], ARRAY)
        assert arrays.shape("y") == (3,)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"has no \.npy files"):
            open_arrays(tmp_path)

    def test_pickled_objects_are_refused(self, tmp_path):
        np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="holds Python objects"):
            read_npy(tmp_path / "x.npy")

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", _npy(ARRAY)[:60], _npy(ARRAY)[:-4], _header((10**12,))])
    def test_damaged(self, tmp_path, content):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(DataError) as error:
            read_npy(tmp_path / "x.npy")
        assert "\n" not in str(error.value)


class TestMat:
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
    @pytest.mark.parametrize("name", ["x", "a_long_name_of_a_variable"])
    def test_the_one_matrix(self, tmp_path, compressed, dtype, name):
        matlab.savemat(tmp_path / "a.mat", {name: ARRAY.astype(dtype)}, do_compression=compressed)
        assert np.array_equal(read_mat(tmp_path / "a.mat"), ARRAY)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 1), (0, 4)])
    def test_small_matrices(self, tmp_path, shape):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        matlab.savemat(tmp_path / "a.mat", {"x": array})
        assert np.array_equal(read_mat(tmp_path / "a.mat"), array)

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize(
        "content",
        [{}, {"a": ARRAY, "b": ARRAY}, {"a": {"field": 1}}, {"a": "text"}, {"a": 1j * ARRAY}, {"a": ARRAY[None]}],
    )
    def test_anything_else_is_refused(self, tmp_path, content, compressed):
        matlab.savemat(tmp_path / "a.mat", content, do_compression=compressed)
        with pytest.raises(DataError, match="matrix of numbers"):
            read_mat(tmp_path / "a.mat")

    def test_zip_bomb(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "BOMB_BYTES", 2**20)
        matlab.savemat(tmp_path / "a.mat", {"a": np.zeros((8, 2**17))}, do_compression=True)
        with pytest.raises(DataError, match="unpacks to more than"):
            read_mat(tmp_path / "a.mat")

    @pytest.mark.parametrize("content", [b"", b"not a mat file" * 20, b"MATLAB 5.0 MAT-file" + bytes(200)])
    def test_no_mat_file(self, tmp_path, content):
        (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(DataError, match="no MATLAB file"):
            read_mat(tmp_path / "a.mat")

    @pytest.mark.parametrize("compressed", [False, True])
    def test_damaged_bytes_give_a_matrix_or_one_error(self, tmp_path, compressed):
        matlab.savemat(tmp_path / "a.mat", {"a": ARRAY}, do_compression=compressed)
        content, rng = (tmp_path / "a.mat").read_bytes(), np.random.default_rng(0)
        for _ in range(500):
            damaged = np.frombuffer(content, dtype=np.uint8).copy()
            damaged[rng.integers(0, len(damaged), size=3)] = rng.integers(0, 256, size=3)
            (tmp_path / "b.mat").write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)].tobytes())
            with contextlib.suppress(DataError):  # and nothing else
                read_mat(tmp_path / "b.mat")


class TestTables:
    TEXT = "v_1,v_2,t_1,y,who\n1,2,3.5,0,ann\n4,,6,1,bob\n"

    @pytest.fixture(params=["csv", "parquet"])
    def table(self, request, tmp_path):
        import pandas as pd

        path = tmp_path / f"a.{request.param}"
        frame = pd.read_csv(io.StringIO(self.TEXT))
        frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
        return path

    def test_columns_are_grouped_by_pattern_or_list(self, table):
        arrays = read_table(table, {"vision": "v_*", "text": ["t_1"]})
        assert np.array_equal(arrays["vision"], [[1, 2], [4, np.nan]], equal_nan=True)
        assert arrays["text"].tolist() == [[3.5], [6.0]]
        assert arrays["y"].tolist() == [0, 1]
        assert arrays["y"].dtype.kind == "i"
        assert arrays["who"].tolist() == ["ann", "bob"]

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            ({"vision": "z_*"}, "no column matches 'z_"),
            ({"vision": ["v_3"]}, "did you mean 'v_"),
            ({"vision": ["who"]}, "holds text"),
        ],
    )
    def test_wrong_groups(self, table, groups, message):
        with pytest.raises(DataError, match=message):
            read_table(table, groups)

    @pytest.mark.parametrize(("name", "content"), [("a.csv", b""), ("a.csv", b"\xff\xfe\x00"), ("a.parquet", b"PAR1")])
    def test_damaged(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="no readable table"):
            read_table(tmp_path / name, {"vision": "v_*"})


@pytest.mark.parametrize(("n_bytes", "text"), [(5, "5 bytes"), (2048, "2.0 KiB"), (3 * 2**29, "1.5 GiB")])
def test_sizes_are_told_in_words(n_bytes, text):
    assert size_text(n_bytes) == text
