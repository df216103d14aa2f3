"""`resources.pack: auto`: one number that the study file and the kind of hardware decide."""

from __future__ import annotations

import pytest

from study.cells.building import build_cells
from study.config import parse_config
from study.scheduling.size import pack_size

STUDY = (
    "{study: small, dataset: {name: digits}, pairs: [[left, right]], resources: {pack: %s}, strength: {initial: %s}}"
)


def size(*, pack: str = "auto", initial: int = 9, cpus: float = 1.0, gpus: float = 0.0) -> int:
    config = parse_config(STUDY % (pack, [0.02 * i for i in range(initial)]))
    return pack_size(*build_cells(config), cpus=cpus, gpus=gpus)


def test_a_number_in_the_study_file_is_taken_as_it_is() -> None:
    assert size(pack="7") == 7


def test_a_small_study_is_cut_in_two() -> None:
    assert size(initial=4) == 10  # 4 strengths × 5 seeds, for two cores


def test_a_large_study_gets_packs_of_what_pays() -> None:
    assert 20 < size(initial=100) < 100


@pytest.mark.parametrize("cpus", [1.0, 16.0])
def test_more_memory_than_pays_changes_nothing(cpus: float) -> None:
    assert size(initial=100, cpus=cpus) == size(initial=100)


def test_little_memory_makes_packs_smaller() -> None:
    assert size(initial=100, cpus=0.0005) < size(initial=100)


def test_a_gpu_takes_larger_packs() -> None:
    assert size(initial=100, gpus=0.25) == 250
