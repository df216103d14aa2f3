"""A file of CMU-MOSEI's real size in its real layout: time and memory of loading it."""

import pickle
import subprocess
import sys

import pytest

from trainables.datasets.published.affect import stand_in_corpus
from trainables.datasets.published.corpora import MOSEI_PLAN

LOAD = """
import resource, sys, time
from trainables.datasets import load
from trainables.spec import DatasetSpec
started = time.perf_counter()
data = load(DatasetSpec(name="mosei", options={"path": sys.argv[1]}))
print(len(data.split), time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_mosei_loads_within_30_seconds_and_6_gib(tmp_path):
    path = tmp_path / "mosei_senti_data.pkl"
    with path.open("wb") as file:
        pickle.dump(stand_in_corpus(MOSEI_PLAN, binary=False), file, protocol=4)
    assert path.stat().st_size > 1.8e9
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    rows, seconds, peak = map(float, done.stdout.split())
    print(f"{seconds:.1f} s, {peak / 2**30:.2f} GiB")
    assert rows == 16326 + 1871 + 4659
    assert seconds < 30
    assert peak < 6 * 2**30
