"""`FILE.py:name` as users write it, and the file that a function has."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from trainables.code.calls import Call, call_of_object, full_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine.py:make", ("mine.py", "make")),
        ("a b/mine.py:Model.make", ("a b/mine.py", "Model.make")),
        ("x.py:y.py:make", ("x.py:y.py", "make")),
        ("größe.py:maß", ("größe.py", "maß")),
        *(
            (text, None)
            for text in ("make", "mine.py", "mine.py:", ":make", ".py:make", "mine.py:1st", "mine.txt:make")
        ),
        *(
            (text, None)
            for text in ("mine.py:make it", "mine.py:a..b", "a\nb.py:make", "a\0b.py:make", "mine.py:make\n")
        ),
    ],
)
def test_a_call_is_a_file_and_a_name(text: str, expected: tuple[str, str] | None) -> None:
    call = Call.read(text)
    assert (None if call is None else (str(call.file), call.name)) == expected
    assert call is None or str(call) == text


def test_a_path_counts_from_the_folder_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    paths = {"mine.py": "study/mine.py", "../mine.py": "mine.py", "~/mine.py": "home/mine.py"}
    for given, expected in paths.items():
        call = Call.read(f"{given}:make")
        assert call is not None
        assert call.located(tmp_path / "study") == Call(tmp_path.resolve() / expected, "make")
    assert full_path("/elsewhere", tmp_path) == Path("/elsewhere")
    assert full_path("~nobody-of-this-name/x", tmp_path) == tmp_path / "~nobody-of-this-name/x"


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    """As of a file in a cache, which is called by its hash there, or of a volume of Kubernetes."""
    (tmp_path / "3f2a").write_text("")
    (tmp_path / "mine.py").symlink_to(tmp_path / "3f2a")
    assert Call(Path("mine.py"), "make").located(tmp_path).file.name == "mine.py"


def test_an_object_is_called_by_its_file_where_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "called_by_its_file.py"
    path.write_text(
        "class Model:\n    @staticmethod\n    def make(): ...\n"
        "def make(): ...\ndef outer():\n    def inner(): ...\n    return inner\nother = lambda: 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import called_by_its_file as module  # type: ignore[import-not-found]

    assert call_of_object(module.make) == Call(path.resolve(), "make")
    assert call_of_object(module.Model.make) == Call(path.resolve(), "Model.make")
    made = module.make
    for nothing in (module.outer(), module.other, functools.partial(made), module.Model(), None, 3, len):
        assert call_of_object(nothing) is None
    module.make = len  # what its file makes is another one than this
    assert call_of_object(made) is None
    path.unlink()
    assert call_of_object(module.Model) is None
    del sys.modules["called_by_its_file"]
