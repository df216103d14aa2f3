"""Jobs on a real Ray head that asks for a token; who may reach a cluster without one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import psutil
import pytest

from study.api import run
from study.cluster.access import check_token, is_loopback
from study.cluster.jobs import Job
from study.config import ConfigError
from study.run import main as run_command
from study.search.record.versions import VARIABLE, check_versions, job_versions
from study.submit import main
from study.tracking.login import check_login
from tests.study import servers, studies

TOKEN = "5f2d1c77" * 8


class NoJobs:
    """A cluster that runs no job of the study."""

    def __init__(self, address: str) -> None:
        pass

    def of_study(self, _: str) -> None:
        return None


class FewJobs:
    """A cluster that takes jobs, and so many of them at most."""

    most = 9
    known: ClassVar[dict[str, Job]] = {}
    sent: ClassVar[list[set[str]]] = []  # names of files at the top of each package

    def __init__(self, address: str) -> None:
        pass

    def of_study(self, study: str) -> Job | None:
        return next((job for job in self.known.values() if job.study == study), None)

    def get(self, id_: str) -> Job:
        return self.known[id_]

    def submit(self, command: str, *, study: str, id_: str, folder: Path, **_: object) -> None:
        if len(self.known) == self.most:
            raise ConfigError("the Ray cluster takes no more")
        assert "--space" in command
        self.sent.append({path.name for path in folder.iterdir()})
        self.known[id_] = Job(id=id_, study=study, status="RUNNING", message="", code=None)

    def stop(self, id_: str) -> None:
        self.known[id_] = replace(self.known[id_], status="STOPPED")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> type[FewJobs]:
    cluster = type("Cluster", (FewJobs,), {"known": {}, "sent": []})
    monkeypatch.setattr("study.cluster.jobs.Jobs", cluster)
    return cluster


def two_studies(folder: Path, *, second: str = "study: other") -> list[str]:
    folder.mkdir(exist_ok=True)
    for name, study in (("a", "study: tiny"), ("b", second)):
        (folder / f"{name}.yaml").write_text(studies.SMALLEST.replace("study: tiny", study))
    return ["--space", str(folder / "a.yaml"), str(folder / "b.yaml"), "--address", "http://127.0.0.1:1"]


def test_many_studies_are_submitted_at_once_and_stopped_by_name(
    jobs: type[FewJobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    many = two_studies(tmp_path / "there")

    assert main([*many, "--out", "/tmp/x"]) == 0
    assert sorted(job.study for job in jobs.known.values()) == ["other", "tiny"]
    assert jobs.sent == [{"a.yaml"}, {"b.yaml"}]
    assert main([*many, "--out", "/tmp/x"]) == 0  # nothing runs twice
    assert len(jobs.known) == 2
    assert main(["--address", "http://127.0.0.1:1", "--stop", "other"]) == 0
    assert {job.study: job.status for job in jobs.known.values()} == {"tiny": "RUNNING", "other": "STOPPED"}
    assert main(["--address", "http://127.0.0.1:1", "--stop", "tiny", "none"]) == 2
    assert "no job of the study none" in capsys.readouterr().err
    assert {job.study: job.status for job in jobs.known.values()}["tiny"] == "RUNNING"  # all of them, or none


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("study: tiny", "two files are of the study tiny"),
        ("study: other\nstrenght: {}", "did you mean strength"),
        ("study: other\nencoders: {left: {kind: module, factory: none.py:make}}", "which does not exist"),
    ],
)
def test_a_bad_file_among_many_is_said_before_any_is_submitted(
    second: str, said: str, jobs: type[FewJobs], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*two_studies(tmp_path, second=second), "--out", "/tmp/x"]) == 2
    assert said in capsys.readouterr().err
    assert not jobs.known


def test_none_is_left_where_not_all_could_be_submitted(
    jobs: type[FewJobs], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.most = 1

    assert main([*two_studies(tmp_path), "--out", "/tmp/x"]) == 2
    assert [job.status for job in jobs.known.values()] == ["STOPPED"]
    assert "takes no more" in capsys.readouterr().err


class _Asking(BaseHTTPRequestHandler):
    """An MLflow that asks for a login."""

    def do_GET(self) -> None:
        right = f"Basic {base64.b64encode(b'ann:right').decode()}"
        self.send_response(200 if self.headers.get("Authorization") == right else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_login_of_mlflow_is_tried_before_anything_is_submitted(
    jobs: type[FewJobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without credentials of MLflow's
    for key in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{key}", raising=False)
    with HTTPServer(("127.0.0.1", 0), _Asking) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        there = ["--tracking-uri", f"http://127.0.0.1:{server.server_port}", "--out", "/tmp/x"]
        command = [*two_studies(tmp_path), *there]
        assert "asks for a login, and there is none" in (check_login(there[1]) or "")  # it may be where the job runs
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
        monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "another")
        assert "was not tried" in (check_login(there[1]) or "")
        monkeypatch.delenv("MLFLOW_TRACKING_AUTH")
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "refuses the login" in error
        assert "hunter2" not in error
        assert not jobs.known
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "right")
        assert main(command) == 0
        server.shutdown()
    assert main([*two_studies(tmp_path, second="study: third"), *there]) == 0
    assert "cannot be reached from here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("auto", True),
        ("127.0.0.1:6379", True),
        ("http://localhost:8265", True),
        ("[::1]:6379", True),
        ("10.0.0.7:6379", False),
        ("http://head:8265", False),
        ("0.0.0.0:6379", False),
        ("localhost.example.org:6379", False),
    ],
)
def test_loopback_is_this_machine_alone(address: str, here: bool) -> None:
    assert is_loopback(address) is here


def test_a_cluster_elsewhere_needs_a_token_or_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(ConfigError, match="no token"):
        check_token("head:6379")
    check_token("127.0.0.1:6379")

    (tmp_path / "token").write_text(TOKEN)
    check_token("head:6379")
    assert os.environ["RAY_AUTH_MODE"] == "token"

    (tmp_path / "token").unlink()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check_token("head:6379")


def test_other_versions_than_those_submitted_are_refused() -> None:
    check_versions({})
    check_versions({VARIABLE: json.dumps(job_versions())})
    with pytest.raises(ConfigError, match=r"torch \S+ instead of 1\.0"):
        check_versions({VARIABLE: json.dumps({**job_versions(), "torch": "1.0"})})


@pytest.mark.parametrize(
    ("environment", "said"),
    [({}, "there is no token"), ({"RAY_AUTH_MODE": "disabled", VARIABLE: '{"torch": "1.0"}'}, "instead of 1.0")],
)
def test_a_notebook_is_refused_what_the_command_is_refused(
    environment: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), **environment}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=said):  # before the file is looked for
        run("none.yaml", address="head:6379")
    assert run_command(["--space", "none.yaml", "--address", "head:6379"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "studies"], "absolute path"),
        (
            ["--out", "/tmp/x", "--set", "storage=postgresql://a:hunter2@b/c"],
            "a password (all between :// and the last @) does not belong",
        ),
        (["--out", "/tmp/x", "--tracking-uri", "http://a:hunter2@b"], "process list"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_sent(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # without a token, of which there may be more to say
    monkeypatch.setattr("study.cluster.jobs.Jobs", NoJobs)
    Path("tiny.yaml").write_text(studies.SMALLEST)

    assert main(["--space", "tiny.yaml", "--address", "http://127.0.0.1:1", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "address",
    [
        "", " ", "127.0.0.1:9", "head", "auto", "local", "head:6379", "http://", "http://head", "http://:8265",
        "http://head:", "http://head:0", "http://head:65536", "http://head:8265/jobs", "http://head:8265?a=b",
        "http:/head:8265",
        "http://he ad:8265", "ray://head:10001", "os://head:8265", "http://[::1]",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_dashboard_is_refused_at_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("study.cluster.jobs.Jobs", None)  # is not reached
    for what in (["--status"], ["--stop"], ["--out", str(tmp_path)]):
        assert main(["--space", "none.yaml", "--address", address, *what]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("error: --address '")
        assert "give http://HOST:PORT (or https://), as http://127.0.0.1:8265" in error


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "https://head.example.org:443/", "http://[::1]:8265"])
def test_a_dashboards_address_is_taken(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "none.yaml", "--address", address, "--status"]) == 2
    assert "none.yaml" in capsys.readouterr().err  # the next that is looked at


@pytest.mark.parametrize(
    "address",
    [
        "http://al:Zq7#Xw9@127.0.0.1:9", "http://al:Zq7/Xw9@127.0.0.1:9", "http://al:Zq7?Xw9@127.0.0.1:9",
        "https://al:@Zq7:Xw9@127.0.0.1:9", "al:Zq7#Xw9@127.0.0.1:9", "ray://al:Zq7 Xw9@127.0.0.1:9", "http://al:Zq7",
        "http://127.0.0.1:9/?token=Zq7",
        # A port that is no number may be half of a password.
        "http://head:Zq7", "http://head:8265\n", "http://::1:8265", "http://head:٨٢٦٥",
    ],
)  # fmt: skip
def test_an_address_with_a_password_is_refused_and_never_shown(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, more in ((main, ["--status"]), (run_command, [])):
        assert command(["--space", "none.yaml", "--address", address, *more]) == 2
        error = capsys.readouterr().err
        assert "--address holds a password" in error
        assert error.count("\n") == 1
        assert not [piece for piece in ("Zq7", "Xw9") if piece in error]


@pytest.mark.parametrize("address", ["http://al:Zq7#Xw9@127.0.0.1:9", "http://Zq7#Xw9@127.0.0.1:9", "http://Zq7/x@h"])
def test_a_cluster_that_does_not_answer_shows_no_piece_of_user_and_password(address: str) -> None:
    from study.cluster.jobs import Jobs

    with pytest.raises(ConfigError, match="the Ray cluster at http://…@") as caught:
        Jobs(address)
    assert not [piece for piece in ("Zq7", "Xw9", "zq7") if piece in str(caught.value)]


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head with two CPUs, whose jobs need a token; the environment of those who have it."""
    pytest.importorskip("opencensus", reason="jobs need ray[default]")
    ports = {name: servers.free_port() for name in ("dashboard", "gcs")}
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # an activated environment
    environment.pop("RAY_ADDRESS", None)
    with (tmp_path / "ray.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", "--port",
             str(ports["gcs"]), "--dashboard-host=127.0.0.1", "--dashboard-port", str(ports["dashboard"]),
             "--dashboard-agent-listen-port", str(servers.free_port()), "--object-store-memory", str(200 * 2**20),
             "--temp-dir", f"/tmp/align-{os.getpid()}", "--disable-usage-stats"],
            env=environment, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path,
        )  # fmt: skip
    try:
        yield {**environment, "ADDRESS": f"http://127.0.0.1:{ports['dashboard']}"}
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.wait()
        shutil.rmtree(f"/tmp/align-{os.getpid()}", ignore_errors=True)


def submit(
    folder: Path, environment: dict[str, str], *options: str, space: str = "tiny.yaml"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study.submit", "--space", space, "--address", environment["ADDRESS"], *options],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_study_runs_as_a_job_is_followed_stopped_and_resumed(head: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(studies.SMALLEST)
    out = tmp_path / "out"
    until = time.monotonic() + 90
    while (ready := submit(tmp_path, head, "--status")).returncode != 2 or "no job of the study" not in ready.stderr:
        assert time.monotonic() < until, ready.stderr
        time.sleep(1)

    refused = submit(tmp_path, {**head, "RAY_AUTH_TOKEN": "0" * 64}, "--status")
    assert refused.returncode == 2
    assert TOKEN not in refused.stderr
    assert "refuses" in refused.stderr

    started = submit(tmp_path, head, "--out", str(out), "--detach")
    assert started.returncode == 0, started.stderr
    stopped = submit(tmp_path, head, "--stop")
    assert stopped.returncode == 0, stopped.stderr

    follower = subprocess.Popen(
        [sys.executable, "-m", "study.submit", "--space", "tiny.yaml", "--address", head["ADDRESS"], "--out", str(out)],
        cwd=tmp_path, env=head, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "running" not in submit(tmp_path, head, "--status").stdout:
        assert follower.poll() is None or follower.returncode == 0, "\n".join(follower.communicate())[-3000:]
        if follower.poll() is not None:
            break
    follower.send_signal(signal.SIGINT)
    detached = follower.communicate(timeout=60)[1]
    assert follower.returncode == 0, detached

    followed = submit(tmp_path, head, "--out", str(out))
    assert followed.returncode == 0, followed.stderr
    assert "verdict" in followed.stdout
    report: dict[str, Any] = json.loads((out / "tiny" / "report.json").read_text())
    assert report["status"] == "complete"
    assert "succeeded" in submit(tmp_path, head, "--status").stdout


FUNCTION = """
study: tiny
trainer: {call: code/own.py:train}
pairs: [[image, text]]
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 2, confirm: 2}
"""


@pytest.mark.parametrize(
    ("call", "said"),
    [("code/none.py:train", "does not exist"), ("train", "given from Python")],
)
def test_a_function_whose_code_would_not_travel_is_not_submitted(
    call: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "own.py").write_text("def train(trial): ...")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("study.cluster.jobs.Jobs", NoJobs)
    Path("tiny.yaml").write_text(FUNCTION.replace("code/own.py:train", call))

    assert main(["--space", "tiny.yaml", "--address", "http://127.0.0.1:1", "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_function_is_submitted_with_its_code(head: dict[str, str], tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    (work / "code").mkdir(parents=True)
    (work / "tiny.yaml").write_text(FUNCTION)
    (work / "code" / "beside.py").write_text("PEAK = 1.0")
    (work / "code" / "own.py").write_text(
        "import random\nfrom beside import PEAK\n"
        "def train(trial):\n"
        "    return {'score': -(trial.strength - PEAK) ** 2 + random.Random(trial.seed).random() / 99}"
    )
    until = time.monotonic() + 90
    while "no job of the study" not in (ready := submit(work, head, "--status")).stderr:
        assert time.monotonic() < until, ready.stderr
        time.sleep(1)
    (tmp_path / "elsewhere").mkdir()
    followed = submit(tmp_path / "elsewhere", head, "--out", str(out), space=str(work / "tiny.yaml"))
    assert followed.returncode == 0, followed.stderr + followed.stdout
    report: dict[str, Any] = json.loads((out / "tiny" / "report.json").read_text())
    assert report["cells"][0]["own_training"]["call"] == "own.py:train"
    assert report["cells"][0]["pair_choice"]["lambda_star"] == pytest.approx(1, abs=0.7)
