"""How many replicates share a pack: what `resources.pack: auto` stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from study.cells.cell import Cell
from study.search.design import nuisance_settings
from trainables.datasets import MultimodalData
from trainables.training.memory import auto_pack_size

# Declared, not looked up: memory that happens to be free must not decide what a study computes.
_BYTES_PER_CPU = 2 * 2**30
_BYTES_PER_GPU = 24 * 2**30
_PACKS_AT_ONCE = 2  # a study of one cell should occupy two cores


def pack_size(cells: Sequence[Cell], datasets: Mapping[str, MultimodalData], *, cpus: float, gpus: float) -> int:
    """Replicates in a pack at most, one number for the whole study.

    `auto` is what the memory model allows and throughput gains from (`trainables.training.memory`) in the cell of the
    largest samples, on a device of 2 GiB per CPU, or 24 GiB per whole GPU: the study file and the kind of hardware
    decide, so that every machine of a kind composes the same packs. A pack that does not fit after all is halved. A
    call of the user's function trains one.
    """
    config = cells[0].config
    if config.trainer is not None:
        return 1
    if isinstance(config.resources.pack, int):
        return config.resources.pack
    device, budget = ("cuda", gpus * _BYTES_PER_GPU) if gpus else ("cpu", cpus * _BYTES_PER_CPU)
    pairs = [datasets[cell.data_key].pair(*cell.pair) for cell in cells]
    sizes = [sum(math.prod(modality.values.shape[1:]) for modality in pair.modalities) for pair in pairs]
    largest = sizes.index(max(sizes))
    cell = cells[largest]
    spec = cell.pack("shared", [(nuisance_settings(cell)[0], i) for i in range(config.replicates.search)])
    fitting = auto_pack_size(spec, pairs[largest], budget=int(budget), device=device)
    first_round = len(config.strength.design) * config.search.trials_per_strength * config.replicates.search
    return min(fitting, -(-first_round * len(cells) // _PACKS_AT_ONCE))
