"""What tests of resuming share."""

from __future__ import annotations

from pathlib import Path

from trainables.datasets.base import PairData
from trainables.spec import PackSpec
from trainables.training.pack import Pack


def reloaded(pack: Pack, spec: PackSpec, data: PairData, folder: Path) -> Pack:
    """A new pack that has read the checkpoint of another."""
    pack.save(folder / "pack.pt")
    again = Pack(spec, data)
    again.load(folder / "pack.pt")
    return again
