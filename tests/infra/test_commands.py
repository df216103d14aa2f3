"""The commands of infra/README.md, as they are written and with the environment that a user has."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from study.__main__ import COMMANDS
from study.config import load_config, to_yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
MODULES = {module.removesuffix(".__main__"): module for module, _ in COMMANDS.values()}
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, flags=re.M | re.S)
TINY = [
    "training.epochs=2", "strength.initial=[0, 1]", "strength.refine=0", "replicates.search=2", "replicates.confirm=2",
    "pid.estimator=broja", "pid.bootstrap=20", "alignment.one_sided=never", "models=false",
]  # fmt: skip


def block(start: str) -> str:
    (found,) = [text for text in BLOCKS if text.startswith(start)]
    return found


def own_commands() -> Iterator[list[str]]:
    """Every command of the project, in blocks and in sentences, as its words."""
    lines = [line for text in BLOCKS for line in text.replace("\\\n", " ").splitlines()]
    lines += [text.replace("\n", " ") for text in re.findall(r"`(python -m [^`]+)`", README)]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"] and words[2] in MODULES:
            yield words


def clean_environment(home: Path, mark: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    ours = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ALIGN_STUDY_TEST": mark}
    return {**kept, **ours}


def test_every_command_of_the_project_is_understood() -> None:
    shown = list(own_commands())

    assert {words[2] for words in shown} == {"study.run", "study.submit", "study.status", "study.report"}
    for words in shown:
        importlib.import_module(MODULES[words[2]]).parser().parse_args(words[3:])


def test_every_option_of_ray_is_one() -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for line in (line for text in BLOCKS for line in text.splitlines() if line.startswith("ray start")):
        options = [word.partition("=")[0] for word in shlex.split(line, comments=True)[2:]]
        assert set(options) <= known, line


def test_the_secrets_are_made_as_written_and_for_their_owner_alone(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine: the secrets are made with it")
    text = block("mkdir -p -m 700")
    ended = subprocess.run(
        ["bash", "-ec", text], cwd=tmp_path, env=clean_environment(tmp_path, ""), capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    secrets = tmp_path / "infra" / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert len((secrets / "ray_token").read_text()) == 64
    assert set(re.findall(r"infra/secrets/(\w+)", text)) <= {path.name for path in secrets.iterdir()}


@pytest.mark.slow  # a head of Ray and a study on it, twice
@pytest.mark.timeout(900)
@pytest.mark.parametrize("token", [True, False], ids=["with a token in the home", "without one"])
def test_a_ray_with_a_metrics_port_is_started_joined_and_read_as_written(token: bool, tmp_path: Path) -> None:
    for port in (6379, 8080, 8265):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pytest.skip(f"port {port} of this machine is in use: the README's commands need it")
    (tmp_path / "search_spaces").mkdir()
    config = load_config(ROOT / "search_spaces" / "digits.yaml", overrides=TINY)
    (tmp_path / "search_spaces" / "digits.yaml").write_text(to_yaml(config), encoding="utf-8")
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("5f2d1c77" * 8)
    mark = uuid.uuid4().hex
    environment = {**clean_environment(tmp_path, mark), "TMPDIR": "/tmp"}  # a user's, of a short name
    generate, start, study, read = [line for line in block("(umask 077 && ray get-auth-token").splitlines() if line]
    (tmp_path / "other").mkdir()
    try:
        for line in (generate, start, study):
            ended = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
            assert "5f2d1c77" not in ended.stdout
        if token:
            assert (tmp_path / ".ray" / "auth_token").read_text() == "5f2d1c77" * 8
        else:
            assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
        asked = [
            subprocess.run(
                ["ray", "status", "--address=127.0.0.1:6379"],
                env={**environment, **more}, capture_output=True, text=True, check=False, timeout=120,
            )
            for more in ({"RAY_AUTH_MODE": "token"}, {"HOME": str(tmp_path / "other")})
        ]  # fmt: skip
        assert asked[0].returncode == 0, asked[0].stderr
        assert asked[1].returncode != 0
        assert "token is missing" in asked[1].stderr
        assert read.startswith(
            "curl -s http://127.0.0.1:8080/metrics"
        )  # what it shows: tests/study/cluster/test_metrics.py
        assert (tmp_path / "studies" / "digits" / "report.html").is_file()
        assert "Unauthenticated" not in ended.stderr
    finally:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("ALIGN_STUDY_TEST") == mark:
                    for one in (*process.children(recursive=True), process):  # agents have overwritten their own
                        one.kill()
