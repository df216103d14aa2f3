"""One thread for small kernels: nested, side by side, and with the settings of before in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
import torch
from threadpoolctl import threadpool_info

from trainables.training.threads import on_one_thread, one_thread


def threads() -> tuple[int, set[int]]:
    """Of torch and of BLAS, as this thread finds them."""
    return torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_the_settings_of_before_are_back_in_the_end():
    before = threads()
    with one_thread(), one_thread():
        assert threads() == (1, {1})
    assert threads() == before
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert threads() == before


def test_a_function_computes_on_one_thread_whatever_is_set():
    before = threads()

    @on_one_thread
    def during(told: str) -> tuple[str, tuple[int, set[int]]]:
        return told, threads()

    assert during("this") == ("this", (1, {1}))
    assert threads() == before


def test_what_libraries_come_meanwhile_are_limited_too():
    code = """
import sys, numpy
from threadpoolctl import threadpool_info
from trainables.training.threads import one_thread
assert "torch" not in sys.modules
def counts():
    return [pool["num_threads"] for pool in threadpool_info()]
with one_thread():
    assert set(counts()) == {1}, threadpool_info()
import scipy.linalg, torch
torch.set_num_threads(4)
before = counts()
assert max(before) == 4, threadpool_info()  # OpenBLAS takes no more than there are cores
with one_thread():
    assert set(counts()) == {1}, threadpool_info()
    assert torch.get_num_threads() == 1
assert counts() == before, threadpool_info()
assert torch.get_num_threads() == 4
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_context_that_ends_leaves_those_beside_it_alone():
    before, ended, entered = threads(), Event(), Barrier(2, timeout=10)

    def first() -> None:
        with one_thread():
            entered.wait()
        ended.set()

    def second() -> tuple[int, set[int]]:
        with one_thread():
            entered.wait()
            assert ended.wait(10)
            return threads()

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(first), pool.submit(second)]
        assert running[1].result(20) == (1, {1})
        running[0].result(20)
    assert threads() == before


PROFILE = """
import json, sys
import torch
from study.cells.building import build_cells
from study.config import parse_config
from study.cells.profiles import profile_cells

before = sys.argv[1]
if before.isdigit():
    torch.set_num_threads(int(before))
study = "{study: a, dataset: {name: digits}, pairs: [[left, right]], pid: {bootstrap: 20}}"
cells, datasets = build_cells(parse_config(study))
if before == "trial":
    from study.scheduling.size import pack_size
    pack_size(cells, datasets, cpus=1, gpus=0)
if before == "back":
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_num_threads(threads)
print(json.dumps([profile.to_json() for profile in profile_cells(cells, datasets).values()]))
"""


@pytest.mark.slow
def test_a_profile_does_not_hang_on_what_ran_before_it():
    """Nothing, the trial that sizes packs, threads set and set back, or set to other numbers: the same bits."""
    profiles = {}
    for before in ("nothing", "trial", "back", "1", "2", "5"):
        ran = subprocess.run([sys.executable, "-c", PROFILE, before], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        profiles[before] = json.loads(ran.stdout)
    assert all(profile == profiles["nothing"] for profile in profiles.values())
