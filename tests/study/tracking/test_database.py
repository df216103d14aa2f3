"""MLflow's SQLite file, with real kills, races and files of other makes: whole or not there, mended where it can be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from study.tracking import Tracker

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # MLflow keeps its engines open to the end

# Runs `work` in a copy of itself for each number of statements, killed when the database has been told that many.
KILLED = """
import json, os, signal, sys
import mlflow.store.db.utils as utils
import mlflow.tracking
from sqlalchemy import Engine, create_engine, event
from study.tracking import Tracker

def work(path):
    {work}

for number, path in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        told = 0
        @event.listens_for(Engine, "after_cursor_execute")
        def _(*_):
            global told
            told += 1
            if told == number:
                os.kill(os.getpid(), signal.SIGKILL)
        work(path)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""
MLFLOW_ITSELF = "utils._initialize_tables(create_engine(f'sqlite:///{path}'))"
OURS = "Tracker(f'sqlite:///{path}').prepare()"


def killed(work: str, moments: Sequence[tuple[int, Path]]) -> list[int]:
    """The signals, or 0, by which the copies ended that were to be killed at these moments."""
    given = json.dumps([(number, str(path)) for number, path in moments])
    ended = subprocess.run(
        [sys.executable, "-c", KILLED.replace("{work}", work), given], capture_output=True, text=True, check=True
    )
    return [int(line) for line in ended.stdout.split()]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Tracker(f"sqlite:///{path}").prepare().problem is None
    return path


def works(path: Path, said: list[str] | None = None) -> bool:
    """Whether a tracker opens the file, and MLflow takes a run in it."""
    from mlflow.tracking import MlflowClient

    tracker = Tracker(f"sqlite:///{path}", say=(said if said is not None else []).append)
    if (problem := tracker.prepare().problem) is not None:
        raise AssertionError(problem)
    return bool(MlflowClient(f"sqlite:///{path}").create_run("0").info.run_id)


def test_a_driver_killed_while_it_makes_the_file_leaves_none_and_the_next_one_makes_it(tmp_path: Path) -> None:
    moments = [(number, tmp_path / f"{number}/mlflow.db") for number in (1, 120, 400)]
    for _, path in moments:
        path.parent.mkdir()
    assert killed(OURS, moments) == [9] * len(moments)
    assert [path.exists() for _, path in moments] == [False] * len(moments)
    said: list[str] = []
    path = moments[-1][1]
    assert (path.parent / ".mlflow.db.new").exists()
    assert works(path, said)
    assert said == []
    assert [entry.name for entry in path.parent.iterdir()] == ["mlflow.db"]


@pytest.fixture(scope="module")
def half_made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Files as MLflow itself leaves them when it is killed while it makes them."""
    folder = tmp_path_factory.mktemp("half")
    moments = [(number, folder / f"{number}/mlflow.db") for number in (2, 60, 150, 260, 420)]
    for _, path in moments:
        path.parent.mkdir()
    assert killed(MLFLOW_ITSELF, moments) == [9] * len(moments)
    return dict(moments)


@pytest.mark.parametrize("number", [60, 150, 260, 420])
def test_a_half_made_file_is_set_aside_said_and_made_again(
    number: int, half_made: dict[int, Path], empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.tracking import database

    shutil.copytree(half_made[number].parent, tmp_path, dirs_exist_ok=True)
    if number != 150:  # making it takes seconds
        monkeypatch.setattr(database, "_make", lambda path: shutil.copyfile(empty_store, path))
    path, said = tmp_path / "mlflow.db", list[str]()
    assert works(path, said)
    assert said == [
        f"{path} was left half-made by a command that was killed, and holds no runs; "
        "it is set aside as mlflow.db.half-made-1"
    ]
    assert (tmp_path / "mlflow.db.half-made-1").exists()
    again: list[str] = []
    assert works(path, again)
    assert again == []


@pytest.mark.parametrize("kind", ["no byte", "no table", "killed at once"])
def test_a_file_without_a_table_is_no_file(
    kind: str, half_made: dict[int, Path], empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.tracking import database

    path, said = tmp_path / "mlflow.db", list[str]()
    if kind == "killed at once":
        shutil.copytree(half_made[2].parent, tmp_path, dirs_exist_ok=True)
    elif kind == "no byte":
        path.touch()
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("CREATE TABLE a (b); DROP TABLE a;")
    monkeypatch.setattr(database, "_make", lambda path: shutil.copyfile(empty_store, path))
    assert works(path, said)
    assert said == []


RACER = """
import sys, time
from pathlib import Path
import mlflow.tracking
import study.tracking.database
from study.tracking import Tracker

tracker = Tracker(f"sqlite:///{sys.argv[1]}/mlflow.db")
Path(sys.argv[1], f"ready-{sys.argv[2]}").touch()
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
print(tracker.prepare().problem)
"""


def test_first_starts_in_one_folder_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RACER), str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("ready-*"))) < len(racers):
            assert time.monotonic() < until
            time.sleep(0.01)
        (tmp_path / "go").touch()
        assert [racer.communicate(timeout=200)[0] for racer in racers] == ["None\n"] * len(racers)
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert works(tmp_path / "mlflow.db")


def test_a_file_that_another_program_is_making_is_waited_for(
    half_made: dict[int, Path], empty_store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copyfile(half_made[260], path)
    script = """
        import shutil, sys, time
        with open(sys.argv[1], "rb+") as file:
            print("open", flush=True)
            time.sleep(1)  # long enough to be found at it
            with open(sys.argv[2], "rb") as other:
                file.write(other.read())
    """
    maker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path), str(empty_store)], stdout=subprocess.PIPE
    )
    assert maker.stdout
    maker.stdout.readline()
    said: list[str] = []
    assert works(path, said)
    assert said == []
    assert maker.wait() == 0
    maker.stdout.close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mlflow.db"]


def changed(source: Path, target: Path, *statements: str) -> Path:
    shutil.copyfile(source, target)
    with closing(sqlite3.connect(target)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return target


@pytest.mark.parametrize("more", [(), ("DROP TABLE issues",), ("DELETE FROM experiments", "CREATE TABLE later (x)")])
def test_a_file_of_a_newer_mlflow_is_called_newer_and_left_alone(
    more: tuple[str, ...], empty_store: Path, tmp_path: Path
) -> None:
    path = changed(
        empty_store, tmp_path / "mlflow.db", "UPDATE alembic_version SET version_num = 'fedcba987654'", *more
    )
    before = path.read_bytes()
    problem = Tracker(f"sqlite:///{path}").prepare().problem or ""
    assert "the database is of a newer MLflow than the one installed here" in problem
    assert "upgrade" not in problem
    assert path.read_bytes() == before


def test_a_file_of_an_older_mlflow_is_called_older(empty_store: Path, tmp_path: Path) -> None:
    from study.tracking.store import explain

    path = changed(empty_store, tmp_path / "mlflow.db", "UPDATE alembic_version SET version_num = '451aebb31d03'")
    problem = Tracker(f"sqlite:///{path}").prepare().problem or ""
    assert "of an older MLflow: run `mlflow db upgrade`" in problem
    assert "newer" in explain(Exception("Can't locate revision identified by 'fedcba987654'"))


@pytest.mark.parametrize("kind", ["optuna", "another program", "text", "damaged"])
def test_a_file_that_is_not_mlflows_is_never_set_aside(kind: str, empty_store: Path, tmp_path: Path) -> None:
    path, told = tmp_path / "mlflow.db", ""
    if kind == "optuna":
        from optuna.storages import RDBStorage

        RDBStorage(f"sqlite:///{path}").engine.dispose()
        told = "the file is the database of another program"
    elif kind == "another program":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE mine (x)")
            connection.commit()
    elif kind == "text":
        path.write_text("dear diary\n" * 500)
        told = "the file is no SQLite database"
    else:
        content = empty_store.read_bytes()
        path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
        told = "the SQLite file is damaged"
    before = path.read_bytes()
    problem = Tracker(f"sqlite:///{path}").prepare().problem
    assert list(tmp_path.glob("*half-made*")) == []
    if told:
        assert told in (problem or "")
        assert "\n" not in (problem or "")
        assert path.read_bytes() == before
    else:
        assert problem is None  # MLflow makes its tables beside those
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_what_is_half_made_but_holds_rows_is_never_set_aside(half_made: dict[int, Path], tmp_path: Path) -> None:
    path = changed(
        half_made[260], tmp_path / "mlflow.db",
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('kept', 'x', 'active')",
    )  # fmt: skip
    Tracker(f"sqlite:///{path}").prepare()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM experiments WHERE name = 'kept'").fetchone() == ("kept",)
    assert list(tmp_path.glob("*half-made*")) == []


@pytest.mark.parametrize("name", ["50%41.db", "a#b.db", 'it\'s "mine".db', "übung λ.db", "new folder/deep/m.db"])
def test_a_file_may_be_called_anything(
    name: str, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db import utils

    def quick(engine: Any) -> None:
        shutil.copyfile(empty_store, engine.url.database)

    monkeypatch.setattr(utils, "_initialize_tables", quick)  # seconds
    path = tmp_path / name
    assert works(path)
    (made,) = path.parent.iterdir()
    assert made == Path(str(make_url(f"sqlite:///{path}").database))


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    problem = Tracker(f"sqlite:///{path}").prepare().problem or ""
    assert "does not show all of the study (" in problem
    assert "\n" not in problem
    assert [entry.name for entry in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_file_that_another_process_keeps_locked_is_left_alone(
    half_made: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.tracking import database

    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    path = tmp_path / "mlflow.db"
    shutil.copyfile(half_made[260], path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        problem = Tracker(f"sqlite:///{path}").prepare().problem or ""
    assert "another process keeps the database locked" in problem
    assert list(tmp_path.glob("*half-made*")) == []


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "folder"])
def test_what_is_no_regular_file_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    odd = tmp_path / "odd"
    odd.mkdir() if kind == "folder" else os.mkfifo(odd)
    path = odd
    if "link" in kind:
        path = tmp_path / "mlflow.db"
        path.symlink_to(odd)
    before = odd.lstat()
    problem = Tracker(f"sqlite:///{path}").prepare().problem or ""
    assert "the database file cannot be opened" in problem
    assert odd.lstat().st_ino == before.st_ino
    assert odd.lstat().st_mode == before.st_mode
