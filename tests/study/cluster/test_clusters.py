"""Ray as a study starts it and joins it: on a busy machine, in long folders, with tokens right, wrong and missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import torch

import study.run as command
from study.cluster.access import check_token, make_token, refused_token, token_doubt, token_source
from study.cluster.joining import join
from study.config import ConfigError
from tests.study import servers, studies
from trainables.saving.scratch import clear_scratch, scratch

TOKEN = "5f2d1c77" * 8
LISTENS = """
import psutil, ray
from study.cluster.pool import Cluster
from study.config import ResourcesSection

def listening():
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"}

with Cluster(ResourcesSection(workers=1), say=print):
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    print(*sorted(listening()))
"""
FAILS_ONCE = """
import ray
from study.cluster.pool import Cluster
from study.config import ConfigError, ResourcesSection

import psutil
init, given = ray.init, []

def late(**options):
    # A node that starts, and is given up before it has: what Ray does in its 30 s on a busy machine.
    given.append(options)
    if len(given) <= FAILURES:
        from ray._private import node
        real, node.time.monotonic = node.time.monotonic, lambda: 1e9 + 31 * len(given) * real()
        get = node.ray._private.services.get_node
        def missing(*_):
            raise RuntimeError("GCS cannot find the node")
        node.ray._private.services.get_node = missing
        try:
            return init(**options)
        finally:
            node.time.monotonic = real
            node.ray._private.services.get_node = get
    return init(**options)

ray.init = late
try:
    with Cluster(ResourcesSection(workers=1), say=print):
        print("started in", given[-1]["_temp_dir"])
        names = [p.name() for p in psutil.Process().children()]
        assert names.count("raylet") == names.count("gcs_server") == 1, names
except ConfigError as error:
    print("error:", error)
    assert not [p for p in psutil.Process().children() if p.name() in ("raylet", "gcs_server")]
"""


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """What a user has: nothing of Ray's, an environment that is activated."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1", **more}


def said(code: str, home: Path, **more: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(home, **more), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.timeout(400)
def test_a_study_of_its_own_listens_on_loopback_alone_and_keeps_its_token_to_itself(tmp_path: Path) -> None:
    first, addresses = said(LISTENS, tmp_path).splitlines()

    assert first.startswith("starting Ray")
    assert {address.removeprefix("::ffff:") for address in addresses.split()} == {"127.0.0.1"}
    token = tmp_path / ".ray" / "auth_token"
    assert len(token.read_text()) == 64
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.timeout(400)
def test_ray_starts_where_temporary_files_lie_in_a_folder_of_a_long_name(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    before = set(Path("/tmp").glob(".align-study-*"))

    assert "127.0.0.1" in said(LISTENS, tmp_path, TMPDIR=str(long))
    assert not set(Path("/tmp").glob(".align-study-*.held")) - before


@pytest.mark.slow  # starts Ray twice for each, which a busy machine takes a minute for
@pytest.mark.timeout(600)
@pytest.mark.parametrize("failures", [1, 2])
def test_ray_that_is_late_is_started_once_more_and_then_given_up_in_a_line(failures: int, tmp_path: Path) -> None:
    lines = said(FAILS_ONCE.replace("FAILURES", str(failures)), tmp_path).splitlines()

    assert lines[0].startswith("starting Ray")
    assert "once more" in lines[1]
    assert len(lines) == 3
    assert lines[2].startswith("started in /tmp/.align-study-" if failures == 1 else "error: Ray did not start")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of two heads, started as a user does: with a token in their home, and without one but with a GPU."""
    with contextlib.ExitStack() as stack:
        addresses = []
        for kind in ("token", "open"):
            home = tmp_path_factory.mktemp(kind)
            if kind == "token":
                (home / ".ray").mkdir()
                (home / ".ray" / "auth_token").write_text(TOKEN)
            port = servers.free_port()
            command = [
                "start", "--head", "--block", "--num-cpus=1", f"--port={port}", "--include-dashboard=false",
                f"--temp-dir=/tmp/align-{os.getpid()}-{kind}", "--disable-usage-stats",
                "--object-store-memory=100000000", f"--num-gpus={int(kind == 'open')}",
            ]  # fmt: skip
            stack.callback(shutil.rmtree, f"/tmp/align-{os.getpid()}-{kind}", ignore_errors=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", *command], env=clean_environment(home),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            stack.callback(_end, process)
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            _wait_for(int(address.rpartition(":")[2]))
        yield addresses[0], addresses[1]


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, "the head does not start"
            time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def joined(folder: Path, address: str, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.yaml").write_text(studies.SMALLEST)
    return subprocess.run(
        [sys.executable, "-m", "study.run", "--space", "tiny.yaml", "--address", address],
        cwd=folder, env=clean_environment(folder, **more), capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip


def one_line(ended: subprocess.CompletedProcess[str]) -> str:
    """What the command ended with, after it said what it waits for."""
    assert ended.returncode == 2, ended.stderr
    *before, last = ended.stderr.splitlines()
    assert all(line.startswith(("reading data", "joining Ray")) for line in before), ended.stderr
    assert last.startswith("error: ")
    return last


@pytest.mark.slow  # two heads of Ray, and a study on each
@pytest.mark.timeout(900)
def test_a_cluster_on_this_machine_is_joined_with_the_token_that_is_there(
    heads: tuple[str, str], tmp_path: Path
) -> None:
    with_token, without = heads
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)

    for address in (with_token, without):  # a token is not asked for where the head does not
        ended = joined(tmp_path, address)
        assert ended.returncode == 0, ended.stderr
        lacking = [line for line in ended.stderr.splitlines() if "has no GPU to train on (torch " in line]
        assert len(lacking) == (address == without and not torch.cuda.is_available()), ended.stderr
        shutil.rmtree(tmp_path / "studies")


@pytest.mark.slow  # two heads of Ray
@pytest.mark.timeout(900)
def test_what_keeps_a_study_from_a_cluster_is_said_in_a_line(heads: tuple[str, str], tmp_path: Path) -> None:
    address, _ = heads
    start = time.monotonic()

    assert "it asks for a token and there is none here" in one_line(joined(tmp_path, address))
    wrong = one_line(joined(tmp_path, address, RAY_AUTH_TOKEN="0" * 64))
    assert "it refuses the token in RAY_AUTH_TOKEN" in wrong
    disabled = one_line(joined(tmp_path, address, RAY_AUTH_MODE="disabled"))
    assert "RAY_AUTH_MODE is disabled" in disabled
    assert time.monotonic() - start < 120


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:{free}", "nobody is there"),
        ("localhost:{free}", "nobody is there"),
        ("127.0.0.1", "it has no port"),
        ("127.0.0.1:", "it has no port"),
        ("127.0.0.1:99999", "it has no port"),
        ("http://127.0.0.1:8265", "HOST:PORT"),
        ("ray://127.0.0.1:10001", "HOST:PORT"),
        ("localhost.invalid:6379", "no host called localhost.invalid"),
    ],
)
def test_an_address_that_leads_nowhere_is_said_at_once(
    address: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.cluster.pool import Cluster
    from study.config import ResourcesSection

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    start = time.monotonic()
    with pytest.raises(ConfigError, match=problem):
        Cluster(ResourcesSection(), address=address.format(free=servers.free_port())).__enter__()
    assert time.monotonic() - start < 60


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without a token, and nothing of Ray's in the environment."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_token_that_is_there_is_used_on_this_machine_too(no_ray: Path) -> None:
    check_token("127.0.0.1:6379")
    assert "RAY_AUTH_MODE" not in os.environ

    (no_ray / ".ray").mkdir()
    (no_ray / ".ray" / "auth_token").write_text(TOKEN)
    check_token("127.0.0.1:6379")
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_token_that_is_refused_is_told_with_what_helps(no_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        refused_token("/a/token") == "refuses the token in /a/token; set RAY_AUTH_TOKEN_PATH to the file of its head's"
    )
    assert "unset RAY_AUTH_TOKEN, and set RAY_AUTH_TOKEN_PATH" in refused_token("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(no_ray / "nowhere"))
    assert "nowhere, which is no file that holds one); set" in refused_token(None)


@pytest.mark.usefixtures("no_ray")
def test_a_head_that_auto_finds_and_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = f"127.0.0.1:{servers.free_port()}"
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address_or_die", lambda _: gone)
    with pytest.raises(ConfigError, match=f"at auto, which is {gone} here: nobody is there"), ExitStack() as stack:
        join("auto", say=lambda _: None, stack=stack)


def test_a_head_without_an_agent_for_jobs_is_not_called_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from study.cluster.jobs import Jobs

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("Request failed with status code 500: No available agent to submit job, please try again.")

    monkeypatch.setattr("study.cluster.jobs.JobSubmissionClient", refuses)
    with pytest.raises(ConfigError, match="has nobody who starts jobs, the agent of its dashboard; wait"):
        Jobs("http://127.0.0.1:8265")


@pytest.mark.parametrize("content", [None, "", " \n"])
@pytest.mark.parametrize("address", [None, "127.0.0.1:6379", "head:6379"])
def test_a_file_without_a_token_is_refused_before_ray_ends_the_process(
    content: str | None, address: str | None, no_ray: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (no_ray / "mine").write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(no_ray / "mine"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")

    with pytest.raises(ConfigError, match="mine, which is no file"):
        check_token(address)


def test_a_ray_that_starts_here_is_reached_with_the_token_that_is_there_now(tmp_path: Path) -> None:
    """Ray keeps the first token that a process has asked for, as in a notebook that lives long."""
    script = """
        import os, sys
        from contextlib import ExitStack
        import ray
        from ray._raylet import AuthenticationTokenLoader
        from study.cluster.starting import start_here

        assert AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
        os.environ["HOME"] = sys.argv[1]
        said = []
        with ExitStack() as stack:
            start_here(cpus=1, store_bytes=100_000_000, say=said.append, stack=stack)
            stack.callback(ray.shutdown)
            assert len(said) == 1, said
    """
    for name, token in (("first", TOKEN), ("now", "0" * 64)):
        (tmp_path / name / ".ray").mkdir(parents=True)
        (tmp_path / name / ".ray" / "auth_token").write_text(token)
        (tmp_path / name / ".ray" / "auth_token").chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}

    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "now")],
        env=environment | {"HOME": str(tmp_path / "first")}, check=True, timeout=300,
    )  # fmt: skip


def test_a_token_that_others_may_read_is_said(no_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert token_doubt() is None
    path = no_ray / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text(TOKEN)
    for mode in (0o644, 0o640, 0o604):
        path.chmod(mode)
        doubt = token_doubt()
        assert doubt == (f"warning: other users can read {path} and run code as you; fix it with chmod 600 {path}")
    said: list[str] = []
    with pytest.raises(ConfigError), ExitStack() as stack:
        join("127.0.0.1:1", say=said.append, stack=stack)
    assert said == ["joining Ray at 127.0.0.1:1 …", doubt]
    path.chmod(0o600)
    assert token_doubt() is None
    path.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token_doubt() is None


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("address", ["head:6379", "127.0.0.1:6379"])
def test_the_command_that_makes_a_token_keeps_it_from_others(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ConfigError, match=r"(made|one) by `\(umask 077 && ray get-auth-token --generate"):
        check_token(address)


def test_a_mode_that_ray_would_take_for_none_is_refused(
    no_ray: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "tokens")

    assert command.main(["--space", str(no_ray / "none.yaml")]) == 2
    assert "RAY_AUTH_MODE is 'tokens'" in capsys.readouterr().err


def test_a_token_is_made_once_and_in_a_home_that_cannot_be_written_for_this_process_alone(
    no_ray: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token()
    path = no_ray / ".ray" / "auth_token"
    token = path.read_text()
    make_token()
    assert path.read_text() == token
    assert list(path.parent.iterdir()) == [path]
    assert token_source() == str(path)

    path.write_text("")  # Ray takes it for none
    make_token()
    assert len(path.read_text()) == 64

    monkeypatch.setenv("HOME", str(path))  # no folder
    make_token()
    assert token_source() == "RAY_AUTH_TOKEN"


def test_scratch_folders_of_killed_processes_are_cleared_and_no_others(tmp_path: Path) -> None:
    (tmp_path / ".align-study-somebody").mkdir()
    hold = (
        "import sys, time\nfrom trainables.saving.scratch import scratch\n"
        "with scratch(sys.argv[1]) as path:\n (path / 'file').touch()\n print(path, flush=True)\n time.sleep(600)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, alive = [Path((process.stdout or sys.stdin).readline().strip()) for process in processes]
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        with scratch(tmp_path) as own:
            clear_scratch(tmp_path)
            assert own.is_dir()
        assert not own.exists()
        assert not killed.exists()
        assert (alive / "file").exists()
        assert (tmp_path / ".align-study-somebody").exists()
        clear_scratch(tmp_path, ours=True)
        assert not alive.exists()
        clear_scratch(tmp_path / "nowhere")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
