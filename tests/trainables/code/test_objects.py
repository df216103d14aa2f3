"""Objects that no file has: what they are known by, and what goes with them to another process."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from trainables.code.objects import filenames_of, pickled, texts_of
from trainables.sources import Source


def helper() -> int:
    return 3


class Model:
    def __call__(self) -> int:
        return helper()


def test_a_function_is_known_by_the_text_of_all_that_it_names() -> None:
    def make() -> int:
        return Model()() + len("x")

    text = "\n".join(texts_of(make))
    assert all(part in text for part in ("def make", "class Model", "def helper"))
    assert "class Source" not in text  # of this project, or of a library
    assert filenames_of(make) == [__file__]
    assert Source.of_object(make).hash != Source.of_object(lambda: 3).hash


def test_what_has_no_text_is_known_by_what_it_was_compiled_to() -> None:
    made = []
    for number in (1, 2):
        scope: dict[str, object] = {"__name__": "__main__"}
        exec(f"def make():\n    def f{number}(): return {number}\n    return near_{number}", scope)
        made.append(texts_of(scope["make"]))
    assert made[0]
    assert made[0] != made[1]


def test_modules_go_by_name_or_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_one_machine.py").write_text("N = 5\ndef make(): return N\n")
    with monkeypatch.context() as there:
        there.syspath_prepend(tmp_path)
        import of_one_machine  # type: ignore[import-not-found]

        by_name = pickled(of_one_machine.make)
        by_value = pickled(of_one_machine.make, by_value=["of_one_machine"])
        del sys.modules["of_one_machine"]
    made = pickle.loads(by_value)
    assert (made(), made.__code__.co_filename) == (5, str(tmp_path / "of_one_machine.py"))
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(by_name)
