"""Peak memory counts children, and keeps a peak that has passed."""

from __future__ import annotations

import subprocess
import sys

MEBIBYTE = 2**20
HOLDS = "import time; held = bytearray(b'x') * (300 * 2**20); time.sleep(2); del held; time.sleep(1)"
# In a process of its own: that of the tests holds a gigabyte, which it may give back meanwhile.
MEASURES = f"""
import subprocess, sys, time
from study.session.memory import PeakMemory
with PeakMemory() as alone:
    time.sleep(0.7)
with PeakMemory() as both:
    subprocess.run([sys.executable, "-c", {HOLDS!r}], check=True)
print(alone.peak, both.peak)
"""


def test_what_a_child_held_for_a_while_is_in_the_peak() -> None:
    said = subprocess.run([sys.executable, "-c", MEASURES], check=True, capture_output=True, text=True).stdout
    alone, both = map(int, said.split())
    assert 300 * MEBIBYTE < both - alone < 400 * MEBIBYTE
