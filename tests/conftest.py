"""What the tests share: one thread per process, the gates' profiles, real data where a checkout has any, a bucket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("deterministic", derandomize=True, deadline=None)  # machines here are slow at times
settings.load_profile("deterministic")

# Redundancy, unique_1, unique_2 and synergy in bits for fair bits (Bertschinger et al. 2014; Liang et al. 2023).
GATE_PROFILES = {
    "and": (0.3113, 0, 0, 0.5),
    "or": (0.3113, 0, 0, 0.5),
    "xor": (0, 0, 0, 1),
    "sum": (0.5, 0, 0, 1),
    "unique1": (0, 1, 0, 0),
    "redundant": (1, 0, 0, 0),
    "redundant_and_unique1": (0.3113, 0.5, 0, 0),
    "redundant_or_unique1": (0.3113, 0.5, 0, 0),
    "redundant_xor_unique1": (0, 1, 0, 0),
}

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose slow tests may take longest come first, so that workers that run files side by side end together."""
    limits: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        if item.get_closest_marker("slow"):
            limits[item.path] = limits.get(item.path, 0) + (limit.args[0] if limit and limit.args else 300)
    items.sort(key=lambda item: -limits.get(item.path, 0))


@pytest.fixture(scope="session")
def gate_profiles() -> Mapping[str, tuple[float, float, float, float]]:
    """The published profile of every gate of `trainables.datasets.generated.gates`."""
    return GATE_PROFILES


@pytest.fixture(autouse=True)
def ends_with_the_test() -> Iterator[None]:
    """What a test leaves in its process, and another test or a process that it starts would find, ends with it.

    That is what a command or a library has set for Ray and MLflow, which they read at any later start; what was made
    importable, as models that MLflow loads with their code and a user's folder; and which of the tests' own modules are
    imported, as a user's code is imported anew where it has changed, with all that lies in its folder.
    """
    prefixes = ("RAY_", "TUNE_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    path, modules = list(sys.path), {name: one for name, one in sys.modules.items() if name.startswith("tests")}
    yield
    for name in [name for name in os.environ if name.startswith(prefixes) and name not in environment]:
        del os.environ[name]
    os.environ.update(environment)
    sys.path[:] = path
    sys.modules.update(modules)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real paired data beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data sets at {SHARED_DATA}: this test needs real data beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket of an S3-compatible server on loopback; the environment leads there, as on every node of a cluster."""
    pytest.importorskip("moto", reason="no S3-compatible server: install the extra test")
    from pyarrow.fs import S3FileSystem

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "align", "AWS_SECRET_ACCESS_KEY": "planted", "AWS_REGION": "us-east-1"}
    try:
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{address}/moto-api/", timeout=2):
                    break
            except OSError:
                assert server.poll() is None, "the S3-compatible server ended"
                assert time.monotonic() < until, "the S3-compatible server does not answer"
                time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**keys, "AWS_ENDPOINT_URL": address}.items():
                patch.setenv(name, value)
            S3FileSystem(endpoint_override=address, allow_bucket_creation=True).create_dir("align")
            yield "s3://align"
    finally:
        server.kill()
        server.wait()
