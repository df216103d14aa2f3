"""Peak memory counts children, and keeps a peak that has passed."""

from __future__ import annotations

import subprocess
import sys
import time

from study.peak_memory import PeakMemory

MEBIBYTE = 2**20


def test_what_a_child_held_for_a_while_is_in_the_peak() -> None:
    with PeakMemory() as alone:
        time.sleep(0.7)
    with PeakMemory() as both:
        program = "import time; held = bytearray(b'x') * (300 * 2**20); time.sleep(2); del held; time.sleep(1)"
        subprocess.run([sys.executable, "-c", program], check=True)

    assert 300 * MEBIBYTE < both.peak - alone.peak < 400 * MEBIBYTE
