"""A user's code as text: found, carried to where its files are not, and told of in a line where it is at fault."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.code.calls import SourceError
from trainables.sources import Source, call_of, remembered


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "mine.py"


def test_a_function_is_loaded_with_what_its_file_imports_from_beside_it(tmp_path: Path) -> None:
    path = written(
        tmp_path, mine="from near import N\nfrom parts.deep import more\n"
        "def make():\n    import late\n    return N + more() + late.N\n",
        near="N = 1\n", parts__deep="from . import other\ndef more(): return other.N\n", parts__other="N = 10\n",
        late="N = 100\n", unused="raise RuntimeError\n",
    )  # fmt: skip
    (tmp_path / "parts" / "__init__.py").write_text("")
    source = Source.of_file(f"{path}:make")
    assert "unused" not in source.text
    for file in [*tmp_path.rglob("*.py")]:
        file.unlink()
    before = set(sys.modules)
    function = source.load()
    with source.importable():
        assert function() == 111
    assert not {"mine", "near", "late", "parts"} & set(sys.modules)
    assert set(sys.modules) == before


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    functions = []
    for number in (1, 2):
        path = written(
            tmp_path / str(number), mine="from near import N\ndef make(): return N\n", near=f"N = {number}\n"
        )
        functions.append(Source.of_file(f"{path}:make").load())
    assert [function() for function in functions] == [1, 2]


def test_code_is_known_by_its_text_and_not_by_its_place(tmp_path: Path) -> None:
    texts = ("def make(): return 1\n", "def make(): return 1\n", "def make(): return 2\n")
    one, same, other = (
        Source.of_file(f"{written(tmp_path / str(i), mine=text)}:make").hash for i, text in enumerate(texts)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("text", "call", "message"),
    [
        (None, "mine.py:make", "there is no file .*mine.py; give its path from the study file's folder"),
        ("x = 1", "mine.py", "names no function; write FILE.py:name"),
        ("x = 1", "mine.py:make it", "names no function; write FILE.py:name"),
        ("def build(): ...", "mine.py:make", "mine.py has no make; it has build"),
        ("make = 3", "mine.py:make", "mine.py:make is of type int, and not a function"),
        ("def make(:", "mine.py:make", r"is no valid Python: .* \(line 1\)"),
        ("import nowhere_to_be_found", "mine.py:make", "cannot be read: ModuleNotFoundError: No module named"),
        ("\n\nraise ValueError('first\\nsecond')", "mine.py:make", r"ValueError: first \(mine.py, line 3\)"),
        ("import sys; sys.exit()", "mine.py:make", "cannot be read: SystemExit"),
        ("\0", "mine.py:make", "is no valid Python"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, text: str | None, call: str, message: str) -> None:
    if text is not None:
        written(tmp_path, mine=text)
    with pytest.raises(SourceError, match=message) as refused:
        Source.of_file(str(tmp_path / call)).load()
    assert "\n" not in str(refused.value)


def test_a_function_of_a_file_is_that_files(tmp_path: Path) -> None:
    path = written(tmp_path, mine="def make(): return 5\n")
    script = (
        "import mine; from trainables.sources import call_of, Source; print(call_of(mine.make)); "
        "print(Source.of_object(mine.make).name, Source.of_object(lambda: 3).name)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines()
    assert told == [f"{path.resolve()}:make", "mine.py:make python:lambda"]


def test_an_object_that_no_file_has_is_pickled_and_found_by_name() -> None:
    number = 41

    def make() -> int:
        return number + 1

    assert call_of(make) is None
    name = remembered(make)
    source = Source.find(name)
    assert (name, source.load()()) == ("python:make", 42)
    with pytest.raises(SourceError, match="an object of another process"):
        Source.find("python:of_nobody")


def test_what_cannot_be_pickled_is_told() -> None:
    lock = __import__("threading").Lock()

    def make() -> object:
        return lock

    with pytest.raises(SourceError, match="make cannot be sent to other processes: "):
        remembered(make)


def test_code_that_travelled_shows_its_lines(tmp_path: Path) -> None:
    path = written(tmp_path, mine="def make():\n    return 7\n")
    source = Source.of_file(f"{path}:make")
    path.unlink()
    assert "return 7" in inspect.getsource(source.load())
