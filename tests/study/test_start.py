"""The start and the end of a command: what it need not wait for, and what must not end it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from study.config import schema
from study.pid import ESTIMATORS
from trainables.encoders import ENCODERS
from trainables.objectives import ALIGNMENT_OBJECTIVES

HEAVY = ("torch", "scipy", "sklearn", "pandas", "matplotlib", "mlflow", "ray.tune")
CHECKS_A_STUDY = f"""
import sys
from study.api import read_study
from study.cells import build_cells
import study.session
build_cells(read_study({{
    "study": "quick", "dataset": {{"name": "gates"}}, "pid": {{"estimator": "broja"}},
    "encoder": {{"kind": "mlp"}}, "alignment": {{"objective": "cosine"}},
}}))
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


def said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_study_is_checked_before_seconds_of_imports() -> None:
    assert said(CHECKS_A_STUDY) == "[]"


@pytest.mark.parametrize(
    ("usual", "table"),
    [
        (schema.USUAL_ENCODERS, ENCODERS),
        (schema.USUAL_ESTIMATORS, ESTIMATORS),
        (schema.USUAL_OBJECTIVES, ALIGNMENT_OBJECTIVES),
    ],
)
def test_names_that_are_accepted_without_their_table_are_in_it(
    usual: tuple[str, ...], table: Mapping[str, object]
) -> None:
    assert set(usual) <= set(table)


@pytest.mark.slow
def test_ray_ends_while_other_threads_make_garbage_of_its_references() -> None:
    assert said(ENDS_BESIDE_GARBAGE) == "went on"
