"""The examples, one after the other; those whose library is not here are skipped."""

from __future__ import annotations

import importlib.util

import pytest

from tests.study.own_training.frameworks.cases import CASES, Case


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    if importlib.util.find_spec(chosen.library) is None:
        pytest.skip(f"no {chosen.library}: install the extra frameworks")
    return chosen
