"""Array pickles are read, and nothing that a hostile one asks for is done."""

import builtins
import contextlib
import functools
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.datasets import DataError
from trainables.datasets.files import pickles
from trainables.datasets.files.pickles import read_pickle

ARRAYS = {
    "float32": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(5, dtype=">f8"),
    "booleans": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "empty": np.empty((0, 5)),
    "scalar_array": np.array(3.5),
    "strided": np.arange(20.0)[::3],
}


def _written(tmp_path, content):
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    return path


class TestArraysAreRead:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("name", ARRAYS)
    def test_arrays_of_every_protocol(self, tmp_path, name, protocol):
        array = ARRAYS[name]
        found = read_pickle(_written(tmp_path, pickle.dumps({"x": array}, protocol=protocol)))["x"]
        assert type(found) is np.ndarray
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)

    def test_containers_scalars_and_shared_arrays(self, tmp_path):
        shared = np.ones(3)
        value = OrderedDict(a=[shared, (shared, 1, None, True, "é", 2.5)], b={"c": np.float32(1.5), "d": np.int64(7)})
        found = read_pickle(_written(tmp_path, pickle.dumps(value)))
        assert list(found) == ["a", "b"]
        assert np.array_equal(found["a"][1][0], shared)
        assert found["a"][1][1:] == (1, None, True, "é", 2.5)
        assert found["b"] == {"c": 1.5, "d": 7}

    def test_names_of_numpy_1_are_those_of_numpy_2(self, tmp_path):
        content = pickle.dumps(np.arange(3.0), protocol=2)
        old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        assert old != content
        assert np.array_equal(read_pickle(_written(tmp_path, old)), np.arange(3.0))

    def test_python_2_pickles_with_their_byte_strings(self, tmp_path):
        """As Python 2 wrote it: the data of an array, and the keys, are strings of bytes."""
        data = np.array([1.5, -2.0]).tobytes()
        content = (
            b"\x80\x02}q\x00U\x06visioncnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            b"\x89U" + bytes([len(data)]) + data + b"tbs."
        )
        assert pickle.loads(content, encoding="latin1")["vision"].tolist() == [1.5, -2.0]
        assert read_pickle(_written(tmp_path, content))["vision"].tolist() == [1.5, -2.0]

    def test_object_arrays_stay_python_objects(self, tmp_path):
        ragged = np.empty(2, dtype=object)
        ragged[:] = [[1, 2], [3]]
        found = read_pickle(_written(tmp_path, pickle.dumps(ragged)))
        assert found.dtype == object
        assert found.tolist() == [[1, 2], [3]]

    def test_a_container_that_holds_itself(self, tmp_path):
        loop = []
        loop.append(loop)
        assert isinstance(read_pickle(_written(tmp_path, pickle.dumps(loop))), list)

    def test_shared_containers_are_gone_through_once(self, tmp_path):
        """Nine levels of a hundred references to one list each: 10^14 visits if they were not."""
        value = [np.ones(1)]
        for _ in range(6):
            value = [value] * 100
        assert len(read_pickle(_written(tmp_path, pickle.dumps(value)))) == 100


class _Call:
    def __init__(self, function, *arguments):
        self._reduced = function, arguments

    def __reduce__(self):
        return self._reduced


def _stack_global(module, name, argument):
    """A protocol 4 pickle that calls module.name(argument), the name coming from the stack."""

    def text(value):
        return b"\x8c" + bytes([len(value)]) + value.encode()

    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text(argument) + b"\x85R."


def _getattr_chain():
    """getattr(getattr(builtins, 'eval')...): reaches a function that no global names."""
    return pickle.dumps(_Call(getattr, _Call(builtins.__import__, "os"), "system"))


HOSTILE = {
    "os.system by reduce": (pickle.dumps(_Call(os.system, "echo no > owned")), r"posix\.system|nt\.system"),
    "os.system by GLOBAL": (b"cos\nsystem\n(S'echo no > owned'\ntR.", r"os\.system"),
    "os.system by INST": (b"(S'echo no > owned'\nios\nsystem\n.", r"os\.system"),
    "os.system by OBJ": (b"(cos\nsystem\nS'echo no > owned'\no.", r"os\.system"),
    "os.system by STACK_GLOBAL": (_stack_global("os", "system", "echo no > owned"), r"os\.system"),
    "a dotted name": (_stack_global("numpy", "core.os.system", "echo no > owned"), r"numpy\.core\.os\.system"),
    "a method of an allowed name": (_stack_global("numpy", "ndarray.tofile", "owned"), r"numpy\.ndarray\.tofile"),
    "builtins.getattr chain": (_getattr_chain(), r"builtins\.getattr"),
    "builtins.eval": (_stack_global("builtins", "eval", "1+1"), r"builtins\.eval"),
    "numpy.load": (_stack_global("numpy", "load", "owned"), r"numpy\.load"),
    "numpy.core.multiarray.fromfile": (_stack_global("numpy.core.multiarray", "fromfile", "x"), "fromfile"),
    "functools.partial": (pickle.dumps(_Call(functools.partial, print)), r"functools\.partial"),
    "a masked array": (pickle.dumps(np.ma.ones(3)), r"numpy\.ma"),
    "a structured array": (pickle.dumps(np.zeros(2, dtype=[("a", "f4")])), "'V4'|structured"),
    "a date": (pickle.dumps(np.array(["2020-01-01"], dtype="M8[D]")), "M8"),
    "a subclass of ndarray": (pickle.dumps(np.rec.array([(1,)], dtype=[("a", "f4")])), r"numpy\.rec|recarray"),
    "a persistent id": (b"Psomething\n.", "outside of itself"),
    "a bare NumPy name": (b"cnumpy\nndarray\n.", "where data should be"),
}


class TestHostilePickles:
    @pytest.mark.parametrize("case", HOSTILE)
    def test_is_refused_by_name_and_not_run(self, tmp_path, monkeypatch, case):
        monkeypatch.chdir(tmp_path)
        content, named = HOSTILE[case]
        with pytest.raises(DataError, match=named) as error:
            read_pickle(_written(tmp_path, content))
        assert "is refused" in str(error.value)
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["data.pkl"]

    def test_the_cases_are_hostile(self, tmp_path, monkeypatch):
        """The test above can fail: the plain unpickler does what the first cases ask for."""
        monkeypatch.chdir(tmp_path)
        for case in list(HOSTILE)[:5]:
            pickle.loads(HOSTILE[case][0])
            assert (tmp_path / "owned").exists(), case
            (tmp_path / "owned").unlink()

    @pytest.mark.parametrize("state", ["{'x': 1}", "(None, {'__call__': 1})", "(None, {'value': 1})"])
    def test_the_stand_ins_of_names_cannot_be_overwritten(self, tmp_path, state):
        """BUILD on what an allowed name stands for."""
        pushed = pickle.dumps(eval(state), protocol=2)[2:-1]
        with pytest.raises(DataError):
            read_pickle(_written(tmp_path, b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n" + pushed + b"b."))
        assert np.array_equal(read_pickle(_written(tmp_path, pickle.dumps(np.ones(2)))), np.ones(2))

    @pytest.mark.parametrize("length", [0, 1, 10, 100, -1])
    def test_truncated(self, tmp_path, length):
        content = pickle.dumps({"x": np.arange(100.0)})
        with pytest.raises(DataError, match="no readable pickle"):
            read_pickle(_written(tmp_path, content[:length]))

    def test_no_pickle_at_all(self, tmp_path):
        with pytest.raises(DataError, match="no readable pickle"):
            read_pickle(_written(tmp_path, b"vision,audio\n1,2\n"))

    @pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (-1,), (2**63,), (True, 12), (3.0, 4), ("3",)])
    def test_a_shape_that_is_not_that_of_the_data_allocates_nothing(self, tmp_path, shape):
        state = (1, shape, np.dtype("f8"), False, np.arange(12.0).tobytes())
        reconstruct = np.ones(1).__reduce__()[0]
        hostile = _Reduced(reconstruct, (np.ndarray, shape, b"b"), state)
        with pytest.raises(DataError):
            read_pickle(_written(tmp_path, pickle.dumps(hostile)))

    @pytest.mark.parametrize("claimed", [2**40, 2**63 - 1, 2**64 - 1])
    def test_bytes_longer_than_the_file(self, tmp_path, claimed):
        with pytest.raises(DataError):
            read_pickle(_written(tmp_path, b"\x80\x04\x8e" + struct.pack("<Q", claimed) + b"abc."))

    @pytest.mark.parametrize("content", [b"\x80\x02Nr\xff\xff\xff\x7f.", b"Np2147483647\n."])
    def test_a_memo_that_the_unpickler_would_make_room_for(self, tmp_path, content):
        """Entry 2,147,483,647 of nothing: Python's own unpickler allocates 32 GiB for it."""
        with pytest.raises(DataError, match="more memory than"):
            read_pickle(_written(tmp_path, content))

    def test_a_frame_longer_than_the_file(self, tmp_path):
        with pytest.raises(DataError):
            read_pickle(_written(tmp_path, b"\x80\x04\x95" + b"\xff" * 7 + b"\x0fN."))

    def test_more_objects_than_data_has(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
        with pytest.raises(DataError, match="more memory than"):
            read_pickle(_written(tmp_path, b"]" * 2000 + b"."))

    def test_nested_beyond_need(self, tmp_path):
        value = 1
        for _ in range(50):
            value = [value]
        with pytest.raises(DataError, match="nested more than"):
            read_pickle(_written(tmp_path, pickle.dumps(value)))

    def test_larger_than_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pickles, "MAX_BYTES", 2**10)
        with pytest.raises(DataError, match=r"pickles up to 1\.0 KiB are read"):
            read_pickle(_written(tmp_path, pickle.dumps(np.zeros(2**10))))

    @settings(max_examples=200)
    @given(st.data())
    def test_damaged_bytes_give_data_or_one_error(self, tmp_path_factory, data):
        content = bytearray(pickle.dumps({"train": {"x": np.arange(3.0), "id": ["a", "b"]}}, protocol=2))
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = _written(tmp_path_factory.getbasetemp(), bytes(content))
        with contextlib.suppress(DataError):  # and nothing else
            read_pickle(path)


class _Reduced:
    def __init__(self, *parts):
        self._parts = parts

    def __reduce__(self):
        return self._parts


def test_nothing_is_copied(tmp_path):
    """A large array is a view of the bytes that were read."""
    found = read_pickle(_written(tmp_path, pickle.dumps(np.zeros(10**6), protocol=4)))
    assert not found.flags.owndata
    assert not found.flags.writeable
