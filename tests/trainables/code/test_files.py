"""A user's files with all that they import from beside them: neither more nor less, and refused in a line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from trainables.code.calls import SourceError
from trainables.code.files import NotPythonError, hash_of_files, imported_files, text_of


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / next(iter(files))


def names_of(folder: Path, files: dict[str, str | bytes], *, root: Path | None = None) -> list[str]:
    return list(imported_files(written(folder, files), root=root or folder, most_bytes=2**20))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import near", ["near.py"]),
        ("import parts.deep.leaf as x", ["parts/__init__.py", "parts/deep/__init__.py", "parts/deep/leaf.py"]),
        ("from parts import deep", ["parts/__init__.py", "parts/deep/__init__.py"]),
        ("from parts.deep.leaf import *", ["parts/__init__.py", "parts/deep/__init__.py", "parts/deep/leaf.py"]),
        ("from near import *\nfrom near import what", ["near.py"]),
        ("try:\n    import near\nexcept ImportError:\n    near = None", ["near.py"]),
        ("class A:\n    def f(self):\n        from bare import one", ["bare/one.py"]),
        ("from . import near", ["near.py"]),
        ("import os, torch.nn, nowhere\nfrom .. import outside", []),
        ("text = 'import near'  # import near", []),
    ],
)
def test_what_it_imports_is_found_in_its_syntax(tmp_path: Path, text: str, expected: list[str]) -> None:
    beside = {"near.py": "", "parts/__init__.py": "", "parts/deep/__init__.py": "", "parts/deep/leaf.py": ""}
    (tmp_path / "outside.py").write_text("raise RuntimeError")
    found = names_of(tmp_path / "user", {"mine.py": text, **beside, "bare/one.py": "", "unused.py": "1 / 0"})
    assert found[0] == "mine.py"
    assert sorted(found[1:]) == sorted(expected)


def test_files_that_import_one_another_are_there_once(tmp_path: Path) -> None:
    assert sorted(names_of(tmp_path, {"a.py": "import b", "b.py": "import a, c", "c.py": "import b, c"})) == [
        "a.py", "b.py", "c.py"
    ]  # fmt: skip


def test_a_file_of_a_package_finds_both_its_neighbours_and_the_package(tmp_path: Path) -> None:
    files = {"pack/sub/mine.py": "import near\nfrom ..base import X\nimport pack.more", "pack/sub/near.py": ""}
    beside = {
        "pack/__init__.py": "",
        "pack/sub/__init__.py": "",
        "pack/base.py": "from . import more",
        "pack/more.py": "",
    }
    found = names_of(tmp_path, {**files, **beside})
    assert set(found) == {*files, *beside} - {"pack/sub/__init__.py"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"def make(:", r"mine.py is no valid Python: .* \(line 1\)"),
        (b"x = 1\0", "mine.py is no valid Python: "),
        ("x = 'ä'".encode("latin-1"), "mine.py is no valid Python: "),
        (b"# coding: of-nobody\n", "mine.py is no valid Python: unknown encoding: of-nobody"),
        (b"x = " + b"-" * 200_000 + b"1", "mine.py is no valid Python: "),
        (b"x = 1\n" * 2**18, "mine.py is larger than 1 MiB; give a file of Python code"),
    ],
)
def test_what_is_no_code_is_refused_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    """The named file, or one that it imports."""
    for files in ({"mine.py": content}, {"first.py": "import mine", "mine.py": content}):
        with pytest.raises(SourceError, match=message) as refused:
            names_of(tmp_path, files)
        assert "\n" not in str(refused.value)
        again = pickle.loads(pickle.dumps(refused.value))
        assert (type(again), str(again)) == (type(refused.value), str(refused.value))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, {"mine.py": "import near", "near.py": ""})
    path.with_name("near.py").chmod(0)
    with pytest.raises(SourceError, match=r"cannot read .*near.py: Permission denied"):
        imported_files(path, root=tmp_path, most_bytes=2**20)


def test_a_file_may_say_its_encoding(tmp_path: Path) -> None:
    path = written(tmp_path, {"mine.py": "# coding: latin-1\r\nX = 'ä'\r\n".encode("latin-1")})
    (content,) = imported_files(path, root=tmp_path, most_bytes=2**20).values()
    assert text_of(content) == "# coding: latin-1\nX = 'ä'\n"
    assert text_of("\ufeffX = 1".encode()) == "X = 1"


def test_the_hash_is_of_names_and_contents_of_python_alone() -> None:
    files = {"a.py": b"1", "b.py": b"2"}
    assert hash_of_files(files) == hash_of_files({"b.py": b"2", "a.py": b"1", "data.csv": b"3"})
    others = ({"a.py": b"1"}, {"a.py": b"2", "b.py": b"1"}, {"a.py": b"12", "b.py": b""}, {"c.py": b"1", "b.py": b"2"})
    assert len({hash_of_files(files), *map(hash_of_files, others)}) == 5


def test_a_file_that_is_no_python_says_which_and_why(tmp_path: Path) -> None:
    path = written(tmp_path, {"mine.py": "x = ("})
    with pytest.raises(NotPythonError) as refused:
        imported_files(path, root=tmp_path, most_bytes=2**20)
    assert (refused.value.path, type(refused.value.reason)) == (path, SyntaxError)
