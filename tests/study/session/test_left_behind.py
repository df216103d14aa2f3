"""What a study leaves: files for its owner alone and, where it was killed, nothing that its next start keeps."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from study.cluster.starting import end_abandoned
from study.search import close_storage, open_storage
from study.search.record.private import made_for_owner_alone
from study.search.record.storage import Storage
from study.session.opening import locked
from tests.study import studies
from trainables.saving.place import Place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_study_makes_its_folder_for_its_owner_and_leaves_one_that_is_there(tmp_path: Path) -> None:
    with locked(tmp_path / "new", "digits") as folder:
        assert mode(folder) == 0o700
    assert mode(tmp_path / "new") == 0o755

    (tmp_path / "shared" / "digits").mkdir(parents=True)
    (tmp_path / "shared" / "digits").chmod(0o2770)
    with locked(tmp_path / "shared", "digits") as folder:
        assert mode(folder) == 0o2770


def test_a_database_file_is_its_owners_if_it_was_not_there(tmp_path: Path) -> None:
    for name in ("new.db", "old.db"):
        if name == "old.db":
            (tmp_path / name).touch()
        with made_for_owner_alone(f"sqlite:///{tmp_path / name}?timeout=3"):
            (tmp_path / name).write_text("x")
    with made_for_owner_alone("http://127.0.0.1:5000"), made_for_owner_alone(f"sqlite:///{tmp_path / 'none.db'}"):
        pass

    assert mode(tmp_path / "new.db") == 0o600
    assert mode(tmp_path / "old.db") == 0o644


def test_a_folder_of_artifacts_is_its_owners_if_it_was_not_there(tmp_path: Path) -> None:
    """They hold copies of the study's files, which lie in a folder for its owner alone."""
    (tmp_path / "shared").mkdir()
    for name in ("new", "shared"):
        with made_for_owner_alone("postgresql://head/mlflow", artifacts=tmp_path / name):
            (tmp_path / name / "1").mkdir(parents=True)

    assert mode(tmp_path / "new") == 0o700
    assert mode(tmp_path / "shared") == 0o755


NAMED = """
import ctypes, sys, time

start, end = map(int, open("/proc/self/stat").read().rpartition(")")[2].split()[47:49])  # of the environment
ctypes.CDLL(None).prctl(15, sys.argv[1].encode())
ctypes.memset(start, 0, end - start if sys.argv[2] == "all" else 40)  # as setproctitle does
time.sleep(600)
"""


def marked(
    environment: dict[str, str], *, name: str = "python", wiped: str = "some", log: Path = Path(os.devnull)
) -> subprocess.Popen[bytes]:
    """A process that has named itself, as Ray's agents do: some or all of its environment is NULs then."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", NAMED, name, wiped], env={"A": "a" * 60, **os.environ, **environment}, stdout=file
        )


def log_of_session(folder: Path, mark: str | None) -> Path:
    session = folder / "session_2026-01-01_00-00-00_000000_7"
    (session / "logs").mkdir(parents=True)
    if mark is not None:
        (session / "align_study_driver").write_text(mark)
    return session / "logs" / "dashboard_agent.out"


def test_what_a_killed_driver_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    own = f"{os.getpid()}-{Path('/proc/self/stat').read_text().rpartition(')')[2].split()[19]}"
    gone = f"{ended.pid}-1"
    sessions = {
        name: log_of_session(tmp_path / name, mark) for name, mark in [("ended", gone), ("lives", own), ("other", None)]
    }
    processes = {
        "orphan": marked({"ALIGN_STUDY_DRIVER": gone, "RAY_RAYLET_PID": "1"}),
        "number taken again": marked({"ALIGN_STUDY_DRIVER": f"{os.getpid()}-1", "RAY_RAYLET_PID": "1"}),
        "orphan by its name": marked({"ALIGN_STUDY_DRIVER": gone}, name="ray::Agent"),
        "orphan by its session": marked({}, name="ray::Agent", wiped="all", log=sessions["ended"]),
        "not of Ray": marked({"ALIGN_STUDY_DRIVER": gone}),
        "not of Ray but with a log of it": marked({}, wiped="all", log=sessions["ended"]),
        "of a driver that lives": marked({"ALIGN_STUDY_DRIVER": own, "RAY_RAYLET_PID": "1"}),
        "of a session that lives": marked({}, name="ray::Agent", wiped="all", log=sessions["lives"]),
        "of another Ray": marked({"RAY_RAYLET_PID": "1"}, name="ray::Agent", log=sessions["other"]),
        "of nothing": marked({}, name="ray::Agent", wiped="all"),
    }
    try:
        until = time.monotonic() + 20
        while not all(Path(f"/proc/{one.pid}/environ").read_bytes().startswith(b"\0") for one in processes.values()):
            assert time.monotonic() < until
            time.sleep(0.02)
        end_abandoned()
        time.sleep(0.1)
        assert [name for name, one in processes.items() if one.poll() is not None] == [
            "orphan", "number taken again", "orphan by its name", "orphan by its session"
        ]  # fmt: skip
    finally:
        for one in processes.values():
            one.kill()
            one.wait()


@pytest.mark.slow  # a study that is killed in the middle, and run to its end
@pytest.mark.timeout(900)
def test_after_a_kill_the_next_start_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    places = (temporary, Path("/tmp"))
    before = {path for place in places for path in place.glob(".align-study-*")}
    study = studies.TinyStudy(
        tmp_path, text=studies.LONG, environment={"TMPDIR": str(temporary), "HOME": str(tmp_path)}
    )
    try:
        driver = study.start()
        studies.wait_for(lambda: list(study.out.glob("packs/*.pt")), driver)
        agents = [p for p in psutil.Process(driver.pid).children(recursive=True) if p.name().startswith("ray::")]
        driver.send_signal(signal.SIGKILL)  # alone: what it started sees to itself
        driver.wait()
        for pipe in (driver.stdout, driver.stderr):
            pipe.close()
        left = {path for place in places for path in place.glob(".align-study-*")} - before
        (study.out / "packs" / f"{'0' * 16}.pt.torn").write_text("half")
        report = study.finish()
    finally:
        study.close()

    assert report["status"] == "complete"
    assert agents
    assert not [p for p in agents if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert list((study.out / "packs").iterdir()) == []
    assert left
    assert not [path for path in left if path.exists()]
    for name in ("config.yaml", "events.jsonl", "optuna/journal.log"):
        assert mode(study.out / name) == 0o600, name
    assert mode(tmp_path / "mlflow.db") == 0o600
    assert mode(tmp_path / "mlartifacts") == 0o700  # it holds config.yaml, too
    assert mode(study.out) == 0o700
    assert mode(study.out / "report.json") == 0o644  # for whoever the folder is opened to


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_checkpoints_that_nobody_needs_are_cleared_by_name_and_age(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if kind == "folder" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    place = Place(root).below("study")
    for name in ("a.pt", "b.pt.torn", "notes.txt"):
        place.write(name, lambda path: path.write_text("x"))

    place.clear("*.pt*", untouched=3600)
    assert place.read("a.pt", Path.read_text) == "x"
    place.clear("*.pt.*")
    assert place.read("a.pt", Path.read_text) == "x"
    place.clear("*.pt*")
    for name in ("a.pt", "b.pt.torn"):
        with pytest.raises(FileNotFoundError):
            place.read(name, Path.read_text)
    assert place.read("notes.txt", Path.read_text) == "x"
    Place(f"{root}/never-made").clear("*")


def test_a_record_in_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    from study.search.record.private import for_owner_alone

    for kind, name in (("journal", "optuna/journal.log"), (f"sqlite:///{tmp_path / 'record.db'}", "record.db")):
        with for_owner_alone():
            close_storage(open_storage(Storage(kind), folder=tmp_path / "optuna"))
        assert mode(tmp_path / name) == 0o600
    assert mode(tmp_path / "optuna") == 0o700
