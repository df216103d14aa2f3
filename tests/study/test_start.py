"""The start and the end of a command: what it need not wait for, and what must not end it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Literal

import pytest

from study.cells.building import READ_ANYTHING
from study.config import values
from study.pid import ESTIMATORS
from trainables.networks.encoders import ENCODERS
from trainables.networks.network import build_networks
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.spec import AlignmentSpec, EncoderSpec

HEAVY = ("torch", "scipy", "sklearn", "pandas", "matplotlib", "mlflow", "ray.tune")
CHECKS_A_STUDY = f"""
import sys
from study.api import read_study
from study.cells.building import build_cells
import study.session.running
build_cells(read_study({{
    "study": "quick", "dataset": {{"name": "gates"}}, "pid": {{"estimator": "broja"}},
    "encoder": {{"kind": "mlp"}}, "alignment": {{"objective": "cosine"}},
}}))
print([name for name in {HEAVY!r} if name in sys.modules])
"""
TELLS_AN_ENDED_STUDY = f"""
import sys
import study.run, study.session.running, study.session.publishing, study.results.text.summary
from trainables.datasets import load
from trainables.spec import DatasetSpec
load(DatasetSpec(name="digits"))
print([name for name in {(*HEAVY, "ray")!r} if name in sys.modules and name != "scipy"])
"""
SHOWS_HELP = f"""
import sys
from importlib import import_module
for command in ("config.__main__", "profile", "report", "run", "select", "status", "submit"):
    import_module(f"study.{{command}}").parser().format_help()
print([name for name in {HEAVY!r} if name in sys.modules])
"""
# Cycles that hold references of Ray become garbage all the time that Ray takes to end.
ENDS_BESIDE_GARBAGE = """
import threading, time
import ray
from study.cluster.pool import Cluster
from study.config import ResourcesSection

class Cycle:
    def __init__(self, held):
        self.itself, self.held = self, held

def drop():
    while not ended:
        if cycles:
            cycles.pop()
        [[] for _ in range(1000)]
        time.sleep(0.0005)

for _ in range(3):
    ended = False
    with Cluster(ResourcesSection(workers=1)):
        cycles = [Cycle(ray.put(i)) for i in range(3000)]
        thread = threading.Thread(target=drop)
        thread.start()
    ended = True
    thread.join()
    cycles.clear()
print("went on")
"""
FINDS_RAY_RUNNING = """
import ray
from study.cluster.pool import Cluster
from study.config import ConfigError, ResourcesSection

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
try:
    Cluster(ResourcesSection()).__enter__()
except ConfigError as error:
    assert ray.is_initialized()
    print(error)
ray.shutdown()
"""


def said(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_every_command_has_help_before_seconds_of_imports() -> None:
    assert said(SHOWS_HELP) == "[]"


def test_a_study_is_checked_before_seconds_of_imports() -> None:
    assert said(CHECKS_A_STUDY) == "[]"


def test_a_study_that_has_ended_is_told_again_without_seconds_of_imports() -> None:
    assert said(TELLS_AN_ENDED_STUDY) == "[]"


@pytest.mark.parametrize(
    ("usual", "table"),
    [
        (values.USUAL_ENCODERS, ENCODERS),
        (values.USUAL_ESTIMATORS, ESTIMATORS),
        (values.USUAL_OBJECTIVES, ALIGNMENT_OBJECTIVES),
    ],
)
def test_names_that_are_accepted_without_their_table_are_in_it(
    usual: tuple[str, ...], table: Mapping[str, object]
) -> None:
    assert set(usual) <= set(table)


@pytest.mark.parametrize("kind", sorted(READ_ANYTHING))
@pytest.mark.parametrize("shape", [(7,), (4, 3), (8, 6), (8, 6, 3)])
@pytest.mark.parametrize("projector", ["none", "linear", "mlp"])
def test_encoders_that_are_not_checked_against_data_read_any(
    kind: str, shape: tuple[int, ...], projector: Literal["none", "linear", "mlp"]
) -> None:
    spec = EncoderSpec(kind=kind, width=3)
    build_networks((spec, spec), AlignmentSpec(projector=projector), (shape, shape), (2, 1))


@pytest.mark.slow
def test_ray_ends_while_other_threads_make_garbage_of_its_references() -> None:
    assert said(ENDS_BESIDE_GARBAGE) == "went on"


def test_ray_that_somebody_else_started_stays_as_it_is() -> None:
    assert said(FINDS_RAY_RUNNING).startswith("cannot reach Ray on this machine")
