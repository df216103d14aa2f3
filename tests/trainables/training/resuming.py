"""What tests of resuming share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainables.datasets.base import PairData
from trainables.spec import PackSpec, ReplicateResult
from trainables.training.pack import Pack


def reloaded(pack: Pack, spec: PackSpec, data: PairData, folder: Path, *, together: int | None = None) -> Pack:
    """A new pack that has read the checkpoint of another."""
    pack.save(folder / "pack.pt")
    again = Pack(spec, data, together=together)
    again.load(folder / "pack.pt")
    return again


def check_goes_on(
    pack: Pack, spec: PackSpec, data: PairData, folder: Path, *, expected: Sequence[ReplicateResult]
) -> None:
    """What goes on from a pack's checkpoint comes to the expected results, and its own checkpoint has them."""
    again = reloaded(pack, spec, data, folder)
    again.run()
    assert again.results() == expected
    assert reloaded(again, spec, data, folder).results() == expected
