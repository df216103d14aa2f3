"""Ways from what a user names to a function that every worker can call, and what he is told where there is none."""

import importlib
import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from trainables.functions.code import read_code
from trainables.functions.errors import FunctionError, UserError
from trainables.functions.loading import check_callable, load
from trainables.functions.objects import code_of

ROOT = Path(__file__).parents[3]
GOOD = 'def train(trial): return {"score": 1}\n'


def here(trial):
    return {"score": trial.seed}


class Callable:
    def __init__(self, score):
        self.score = score

    def __call__(self, trial):
        return {"score": self.score + trial.seed}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def train(trial:\n", "is not Python: SyntaxError: '(' was never closed (FILE, line 1)"),
        ("x = 1\0", "is not Python"),
        (
            "import no_such_library\n" + GOOD,
            "FILE cannot be imported: ModuleNotFoundError: No module named 'no_such_library'",
        ),
        ("import no_such_library\n" + GOOD, "line 1, in <module>); install no_such_library, or name the folder"),
        ("1 / 0\n" + GOOD, "FILE cannot be imported: ZeroDivisionError: division by zero (FILE, line 1, in <module>)"),
        ("import sys\nsys.exit('done')\n" + GOOD, "FILE cannot be imported: it calls sys.exit"),
        ("def trian(trial): pass\n", "FILE has no train; do you mean trian?"),
        ("def other(trial): pass\n", "FILE has no train; it has other"),
        ("train = 3\n", "FILE:train is no function but int"),
        ("def train(): pass\n", "FILE:train takes (); it is called with one argument, the trial"),
        ("def train(trial, model): pass\n", "FILE:train takes (trial, model); it is called with one argument"),
        ("async def train(trial): pass\n", "FILE:train is a coroutine; name a plain function"),
        ("def train(trial): yield\n", "FILE:train is a generator; name a plain function"),
    ],
)
def test_what_cannot_be_called_is_told_in_one_line(write, text, told):
    file = "own_faults.py"
    with pytest.raises(FunctionError) as caught:
        check_callable(write(text, file=file))
    assert told.replace("FILE", file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("train", "trainer.call is 'train'; write FILE.py:name"),
        ("own.py", "write FILE.py:name"),
        ("own.py:1st", "write FILE.py:name"),
        ("own.py:", "write FILE.py:name"),
        ("not_there.py:train", "trainer.call names not_there.py, and there is no"),
    ],
)
def test_what_names_no_function_is_told(tmp_path, call, told):
    (tmp_path / "own.py").write_text(GOOD)
    with pytest.raises(FunctionError, match=r"trainer\.call") as caught:
        read_code(call, base=tmp_path)
    assert told in str(caught.value)


def test_modules_beside_the_file_come_with_it(trials, write, tmp_path):
    """Those that it imports at its top, in a function, and by way of others; where none of them is, too."""
    write("from own_beside_three import SCORE", file="own_beside_two.py")
    write("SCORE = 0.75", file="own_beside_three.py")
    write("raise RuntimeError", file="own_beside_unused.py")
    write("def double(x): return 2 * x", file="own_package/tools.py")
    write("", file="own_package/__init__.py")
    code = write(
        """
        import own_beside_two, os.path
        def train(trial):
            from own_package.tools import double
            return {"image": own_beside_two.SCORE, "text": double(own_beside_two.SCORE)}
        """,
        file="own_beside.py",
    )
    assert sorted(code.files) == [
        "own_beside.py", "own_beside_three.py", "own_beside_two.py", "own_package/__init__.py", "own_package/tools.py"
    ]  # fmt: skip
    (tmp_path / "user").rename(tmp_path / "away")
    assert trials.result(code).scores == (0.75, 1.5)


def test_a_package_may_use_relative_imports(trials, write):
    write("", file="own_pack/__init__.py")
    write("from .. import base\nSCORE = base.SCORE", file="own_pack/deep/model.py")
    write("", file="own_pack/deep/__init__.py")
    write("SCORE = 0.25", file="own_pack/base.py")
    code = write(
        'from .deep.model import SCORE\ndef train(trial): return {"score": SCORE}', file="own_pack/training.py"
    )
    assert (code.module, len(code.files)) == ("own_pack.training", 5)
    assert trials.result(code).scores == (0.25, 0.25)


def test_a_folder_comes_as_a_whole(trials, write, tmp_path):
    for file in ("plugins/a.py", ".git/config.py", "studies/mine/x.py", "__pycache__/y.py", "venv/z.py"):
        write("SCORE = 0.5", file=file)
    (tmp_path / "user" / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "user" / "scores.json").write_text("[1]")
    text = """
        import importlib, json, pathlib
        def train(trial):
            there = json.loads(pathlib.Path(__file__).with_name("scores.json").read_text())
            return {"image": importlib.import_module("plugins.a").SCORE, "text": there[0]}
    """
    code = write(text, file="own_folder.py", folder=".", leave_out=[tmp_path / "user" / "studies"])
    assert sorted(code.files) == ["own_folder.py", "plugins/a.py", "scores.json"]
    (tmp_path / "user").rename(tmp_path / "away")
    assert trials.result(code).scores == (0.5, 1)


def test_a_folder_must_hold_the_file_and_not_much_else(write, tmp_path):
    write(GOOD, file="own_large.py")
    (tmp_path / "other").mkdir()
    with pytest.raises(FunctionError, match="is not in it; name one that holds the file"):
        read_code("own_large.py:train", base=tmp_path / "user", folder="../other")
    with open(tmp_path / "user" / "data.npy", "wb") as file:
        file.truncate(2**27)
    with pytest.raises(FunctionError, match=r"more than 64 MiB.*read data from a path that all nodes have"):
        read_code("own_large.py:train", base=tmp_path / "user", folder=".")


def test_where_the_files_are_a_path_beside_them_leads_there(trials, write, tmp_path):
    code = write("""
        from pathlib import Path
        def train(trial): return {"score": float((Path(__file__).parent / "data.txt").read_text())}
    """)
    (tmp_path / "user" / "data.txt").write_text("0.5")
    assert trials.result(code).scores == (0.5, 0.5)


def test_the_hash_is_that_of_all_code_that_travels(write):
    before = write("import own_hashed_two\n" + GOOD, file="own_hashed.py")
    two = write("X = 1", file="own_hashed_two.py")
    with_two = write("import own_hashed_two\n" + GOOD, file="own_hashed.py")
    write("X = 2", file="own_hashed_two.py")
    changed = write("import own_hashed_two\n" + GOOD, file="own_hashed.py")
    assert len({before.hash, two.hash, with_two.hash, changed.hash}) == 4
    assert write("import own_hashed_two\n" + GOOD, file="own_hashed.py") == changed


def test_changed_code_is_imported_anew(trials, write):
    write("SCORE = 1", file="own_changing_two.py")
    text = 'import own_changing_two\ndef train(trial): return {"score": own_changing_two.SCORE}'
    first = write(text, file="own_changing.py")
    assert trials.result(first).scores == (1, 1)
    write("SCORE = 2", file="own_changing_two.py")
    assert trials.result(write(text, file="own_changing.py")).scores == (2, 2)


def test_changed_code_leaves_what_else_the_process_has_of_its_folder(trials, write, tmp_path, monkeypatch):
    write("VALUE = 1", file="own_other.py")
    monkeypatch.syspath_prepend(tmp_path / "user")
    mine = importlib.import_module("own_other")  # as a notebook has, which trains beside
    for score in (1, 2):
        code = write(f'def train(trial): return {{"score": {score}}}', file="own_changing_alone.py")
        assert trials.result(code).scores == (score, score)
    assert importlib.import_module("own_other") is mine


def test_a_check_leaves_the_modules_of_a_notebook_as_they_are(write, tmp_path, monkeypatch):
    write("VALUE = 1", file="own_checked_two.py")
    monkeypatch.syspath_prepend(tmp_path / "user")
    mine, path = importlib.import_module("own_checked_two"), list(sys.path)
    for score in (1, 2):
        text = f'import own_checked_two, own_checked_three\ndef train(trial): return {{"score": {score}}}'
        write("", file="own_checked_three.py")
        check_callable(write(text, file="own_checked.py"))
    assert sys.modules["own_checked_two"] is mine
    assert sys.path == path
    assert not {"own_checked", "own_checked_three"} & {*sys.modules}


def test_a_file_may_be_called_as_a_library(trials, write):
    code = write('import fractions\ndef train(trial): return {"score": 0.5}', file="fractions.py")
    assert trials.result(code).scores == (0.5, 0.5)
    import fractions

    assert fractions.Fraction(1, 2) == 0.5
    started = "import fractions; print(fractions.Fraction(1, 2))"  # by a process that looks where this one does
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", started], env=paths, capture_output=True, text=True).stdout == "1/2\n"


def test_imports_are_paid_once_a_process(trials, write):
    code = write("""
        COUNT = []
        def train(trial):
            COUNT.append(1)
            return {"score": len(COUNT)}
    """)
    assert [trials.result(code, seed=seed).scores[0] for seed in range(3)] == [1, 2, 3]


def test_a_method_of_a_class_may_be_named(trials, write):
    code = write("class A:\n    @staticmethod\n    def train(trial): return {'score': 3}", name="A.train")
    assert trials.result(code).scores == (3, 3)


@pytest.mark.parametrize(
    "function",
    [here, lambda trial: here(trial), partial(lambda scale, trial: {"score": scale * trial.seed}, 1), Callable(0)],
)
def test_any_callable_travels(trials, function):
    code = pickle.loads(pickle.dumps(code_of(function)))
    check_callable(code)
    assert trials.result(code).scores == (7, 7)


def test_what_a_function_encloses_travels(trials):
    scale, helper = 3, Callable(1)

    def train(trial):
        return {"score": scale * helper(trial)["score"]}

    assert trials.result(code_of(train)).scores == (24, 24)


def test_what_cannot_travel_is_told_in_one_line():
    lock = threading.Lock()

    def train(trial):
        with lock:
            return {"score": trial.seed}

    with pytest.raises(FunctionError) as caught:
        code_of(train)
    assert "train cannot travel to the workers: TypeError: cannot pickle" in str(caught.value)
    assert "make what it needs inside the function" in str(caught.value)
    for odd in (None, "own_training.py:train", 3):
        with pytest.raises(FunctionError, match="must be a function of one argument, the trial, given"):
            code_of(odd)


def test_a_function_of_a_module_is_read_as_its_file(trials, write, monkeypatch):
    code = write('SCORE = 2\ndef train(trial): return {"score": SCORE}', file="own_of_the_api.py")
    monkeypatch.syspath_prepend(code.root)
    import own_of_the_api

    of_object = code_of(own_of_the_api.train)
    assert of_object == replace(code, call="own_of_the_api.train")
    assert trials.result(of_object).scores == (2, 2)


SCRIPT = """
import json, pickle, sys
from own_helper import SCORE

class Model:
    score = SCORE

def helper(trial):
    return Model.score + trial.seed

def train(trial):
    if trial.options:
        raise ValueError("broken")
    return {"score": helper(trial)}

if __name__ == "__main__":
    from trainables.functions.objects import code_of
    code = code_of(train)
    with open(sys.argv[1], "wb") as file:
        pickle.dump(code, file)
    print(json.dumps([code.call, code.hash, sorted(code.files)]))
"""


def described(script, pickled):
    told = subprocess.run(
        [sys.executable, str(script), str(pickled)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return json.loads(told.stdout)


def test_a_function_of_a_script_travels_with_what_it_names(trials, tmp_path):
    """Read in a process that never saw the script; and its hash is the same as long as its text is."""
    script, pickled = tmp_path / "user" / "script.py", tmp_path / "code"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    (script.parent / "own_helper.py").write_text("SCORE = 10")
    call, first, files = described(script, pickled)
    assert (call, files) == ("train", ["own_helper.py"])
    code = pickle.loads(pickled.read_bytes())
    script.write_text("# a line above\n" + SCRIPT)
    assert described(script, pickled)[1] == first
    script.write_text(SCRIPT.replace("+ trial.seed", "- trial.seed"))
    assert described(script, pickled)[1] != first

    script.parent.rename(tmp_path / "away")
    assert trials.result(code).scores == (17, 17)
    with pytest.raises(UserError) as caught:
        trials.last(code, options={"x": 1})
    assert str(caught.value) == "ValueError: broken (script.py, line 13, in train)"
    assert 'raise ValueError("broken")' in caught.value.lines


def test_a_cell_of_a_notebook_shows_its_lines(trials, tmp_path):
    """Its text is in no file of the worker's, and so travels with the function."""
    program = f"""
import linecache, pickle
cell = 'def train(trial):\\n    raise ValueError("in a cell")\\n'
name = "/tmp/ipykernel_1/2.py"
linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
exec(compile(cell, name, "exec"), globals())
from trainables.functions.objects import code_of
pickle.dump(code_of(train), open({str(tmp_path / "code")!r}, "wb"))
"""
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    with pytest.raises(UserError) as caught:
        trials.last(pickle.loads((tmp_path / "code").read_bytes()))
    assert caught.value.lines == dedent("""\
        Traceback (most recent call last):
          File "/tmp/ipykernel_1/2.py", line 2, in train
            raise ValueError("in a cell")
        ValueError: in a cell""")


def test_errors_travel_from_process_to_process():
    error = pickle.loads(pickle.dumps(UserError("what", "where\nit broke")))
    assert (str(error), error.lines) == ("what", "where\nit broke")
    assert str(pickle.loads(pickle.dumps(FunctionError("what")))) == "what"


def test_the_same_function_is_loaded_once(write):
    code = write(GOOD)
    assert load(code) is load(code)


class Scaled:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, _):
        return {"score": self.scale}

    def train(self, trial):
        return self(trial)


def enclosing(scale):
    def train(_):
        return {"score": scale}

    return train


@pytest.mark.parametrize(
    "make",
    [lambda scale: partial(enclosing, scale), enclosing, Scaled, lambda scale: Scaled(scale).train],
)
def test_functions_of_one_text_with_other_values_are_other_functions(make):
    """Else a study goes on with another function without a word, as if its code had not changed."""
    assert code_of(make(0.5)).hash == code_of(make(0.5)).hash != code_of(make([1, 2])).hash
