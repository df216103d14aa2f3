"""What the tests share: one thread per process, the profiles of the gates, and real data where a checkout has any."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.fixture(scope="session")
def gate_profiles() -> Mapping[str, tuple[float, float, float, float]]:
    """The published profile of every gate of `trainables.datasets.gates`."""
    return GATE_PROFILES


@pytest.fixture
def shared_data() -> Path:
    """The folder of real paired data beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data sets at {SHARED_DATA}: this test needs real data beside the checkout")
    return SHARED_DATA
