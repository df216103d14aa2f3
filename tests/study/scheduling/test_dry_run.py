"""Dry runs of the study files that come with the project; what a plan is made of is tested in `test_planned.py`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from study.config import load_config
from study.run import main
from trainables.datasets import DATASETS


@pytest.mark.parametrize("space", sorted(Path(__file__).parents[3].glob("search_spaces/*.yaml")), ids=lambda p: p.name)
def test_every_search_space_passes_a_dry_run(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("mine.npz", audio=rng.normal(size=(300, 3)), video=rng.normal(size=(300, 4)), y=np.arange(300) % 3)
    has_file = "path" in DATASETS[load_config(space).dataset.name].options and space.name != "arrays.yaml"

    assert (
        main(["--space", str(space), "--dry-run", "--workers", "1", *(["--stand-in", "small"] if has_file else [])])
        == 0
    )
    assert re.search(r"cells?, \d+ trainings", capsys.readouterr().out)
