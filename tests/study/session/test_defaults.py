"""A study goes on as it began, though the default of a key is another now than in the version that began it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.cells.building import build_cells
from study.config import ConfigError, StudyConfig, differences, load_config, parse_config, to_yaml
from study.config.reading import load_resolved
from study.search.record.notes import CONFIGURATION
from study.session.opening import check_in, opened

STUDY = """
study: before
dataset: {name: digits}
pairs: [[left, right]]
encoder: {width: 4}
strength: {initial: [0, 2], refine: 0}
replicates: {search: 2, confirm: 2%s}
"""
ADDED = {  # by later versions, and what their absence means
    ("replicates", "splits"): "fixed",
    ("replicates", "confirm_on"): "holdout",
    ("search", "smallest_gain"): 0.0,
}


def older(config: StudyConfig) -> dict[str, Any]:
    """The configuration as a version wrote it that did not know what was added since."""
    value = config.identity
    for section, key in ADDED:
        value[section].pop(key, None)
    return value


def begun(folder: Path) -> None:
    """A record of the version before."""
    config = parse_config(STUDY % "")
    cells, data = build_cells(config)
    with opened(config, out=folder, cells=1, say=str) as study:
        check_in(study, config, cells, data, say=str)
        study.ledger.set_note(CONFIGURATION, older(config))


def gone_on(folder: Path, text: str) -> tuple[StudyConfig, list[str]]:
    said: list[str] = []
    config = parse_config(text)
    cells, data = build_cells(config)
    with opened(config, out=folder, cells=1, say=said.append) as study:
        config, cells, _ = check_in(study, config, cells, data, say=said.append)
        assert cells[0].config == config
        assert study.ledger.note(CONFIGURATION) == older(config)
    return config, said


def test_a_new_study_draws_rows_anew_and_one_of_the_version_before_keeps_its_own(tmp_path: Path) -> None:
    assert parse_config(STUDY % "").replicates.splits == "resampled"
    begun(tmp_path)
    config, said = gone_on(tmp_path, STUDY % "")
    assert {place: getattr(getattr(config, place[0]), place[1]) for place in ADDED} == ADDED
    assert any("goes on as it began" in line and "resampled -> fixed" in line for line in said)
    assert (
        gone_on(tmp_path, STUDY % ", splits: fixed")[0].identity == config.identity
    )  # said or left out, it is the same study


def test_what_the_study_file_asks_for_is_not_passed_over(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(ConfigError, match=r"another configuration \(replicates.splits: fixed -> resampled\)"):
        gone_on(tmp_path, STUDY % ", splits: resampled")


def test_the_identity_of_fixed_splits_is_that_of_the_version_before() -> None:
    fixed, resampled = (parse_config(STUDY % f", splits: {splits}") for splits in ("fixed", "resampled"))
    assert "splits" not in fixed.identity["replicates"]
    assert StudyConfig.of_identity(json.loads(json.dumps(fixed.identity))) == fixed
    assert StudyConfig.of_identity(resampled.identity) == resampled
    assert differences(fixed.identity, resampled.identity) == ["replicates.splits: fixed -> resampled"]


def test_a_resolved_file_of_the_version_before_says_what_it_meant(tmp_path: Path) -> None:
    fixed = parse_config(STUDY % ", splits: fixed")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(fixed))
    assert load_resolved(path) == fixed
    words = [key for _, key in ADDED]
    lines = to_yaml(fixed).splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not any(word in line for word in words)))
    assert load_resolved(path).replicates == fixed.replicates
    assert load_resolved(path).search.smallest_gain == 0
    assert load_config(path).replicates.splits == "resampled"  # as a study file of today it asks for what is left out


def test_a_stand_in_leaves_out_what_its_study_file_does() -> None:
    text = (STUDY % "").replace("{name: digits}", "{name: mfeat}").replace("[[left, right]]", "all")
    assert "splits" not in parse_config(text, stand_in="small").replicates.model_fields_set
    text = text.replace("confirm: 2", "confirm: 2, splits: fixed")
    assert "splits" in parse_config(text, stand_in="small").replicates.model_fields_set
