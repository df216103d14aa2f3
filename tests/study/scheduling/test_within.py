"""A plan beside a budget, in lines."""

from __future__ import annotations

import pytest

from study.cells.building import build_cells
from study.config import parse_config, parse_resolved, to_yaml
from study.scheduling.plan import Amount, Plan
from study.scheduling.within import within

STUDY = """
study: planned
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
strength: {initial: [0, 1, 4], refine: 6}
replicates: {search: 2, confirm: 3}
models: false
"""  # of each pair the first strengths and their confirmation are 3 * 2 + 4 * 3 trainings


def planned() -> Plan:
    least, likely, most = (
        Amount(trainings=count, packs=1, seconds=9 * count, training_seconds=6 * count, cost=None)
        for count in (72, 100, 144)
    )
    return Plan(
        study="planned", cells=(), rows=(), pack_size=4, pack_bytes=0, at_once=4, devices=1, gpu=True, start_seconds=1,
        least=least, likely=likely, most=most,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "gpus", "told"),
    [
        ("trainings: 150", 0.0, ["150 trainings, which is enough: all of it takes about 100 (at most 144)"]),
        ("trainings: 120", 0.0, ["120 trainings; all of it takes about 100 (at most 144), so that fewer"]),
        ("minutes: 3", 0.0, ["3 minutes, but the first strengths and their confirmation take about 3.6: these are"]),
        ("minutes: 12", 0.0, ["12 minutes; all of it takes about 10 (at most 14), so that fewer strengths"]),
        ("gpu_hours: 1", 0.25, ["1 GPU-hours, which is enough: all of it takes about 0.17 (at most 0.24)"]),
        ("gpu_hours: 1", 0.0, ["1 GPU-hours, of which packs that train on CPUs take nothing"]),
        ("trainings: 150, minutes: 15", 0.0, ["150 trainings, which is enough", "15 minutes, which is enough"]),
        ("minutes: 12.5", 0.0, ["12.5 minutes; all of it takes about 10 (at most 14), so that fewer strengths"]),
        ("{}", 0.0, []),
    ],
)
def test_a_budget_is_told_beside_the_plan(limits: str, gpus: float, told: list[str]) -> None:
    text = f"budget: {{{limits}}}" if limits != "{}" else ""
    cells = build_cells(parse_config(STUDY + text))[0]

    lines = [str(one) for one in within(planned(), cells, gpus=gpus)]

    assert len(lines) == len(told)
    for line, start in zip(lines, told, strict=True):
        assert line.startswith(f"budget: {start}")


def test_a_budget_changes_no_hash_and_is_read_back() -> None:
    free, bounded = parse_config(STUDY), parse_config(STUDY + "budget: {minutes: 2.5}")

    assert free.hash == bounded.hash
    assert "budget" not in to_yaml(free)
    assert parse_resolved(to_yaml(bounded), source="here") == bounded
