"""The Ray Tune class Trainable around a Pack: one trial trains one pack, in steps of about a second.

The pack's own checkpoint file, named by its content hash, is what a trial continues from after its worker, its node or
the whole study was killed; Tune's own checkpoints are not used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.datasets.base import MultimodalData
from trainables.pack import CheckpointError, Pack
from trainables.spec import PackSpec

STEP_SECONDS = 1.0
CHECKPOINT_SECONDS = 5.0


class PackTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains the pack of `config`: `spec` (JSON text of a PackSpec), `data_key`, `folder` of checkpoints, `threads`.

    Results hold `epochs`, `total` and, with the last one, `results` (a JSON list of ReplicaResults). A failure of the
    training itself is a result too, `error` with its text and `out_of_memory`: only the driver can decide what then.
    """

    def setup(self, config: dict[str, Any], datasets: Mapping[str, MultimodalData] | None = None) -> None:
        """Build the pack and go on from its checkpoint, if there is a sound one."""
        if datasets is not None:  # given once, by tune.with_parameters
            self._datasets = datasets
        torch.set_num_threads(max(1, int(config["threads"])))
        spec = PackSpec.from_json(json.loads(config["spec"]))
        self._path = Path(config["folder"]) / f"{spec.hash}.pt"
        data = self._datasets[config["data_key"]].pair(*spec.pair)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._pack = Pack(spec, data, device=device)
        if self._path.exists():
            try:
                self._pack.load(self._path)
            except CheckpointError:  # torn by a crash while the file system wrote it: start this pack over
                self._pack = Pack(spec, data, device=device)
        self._saved = time.monotonic()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack in the same process, which saves its start."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or to the end."""
        pack, start = self._pack, time.monotonic()
        while not pack.done and time.monotonic() - start < STEP_SECONDS:
            pack.run(1)
        if pack.done or time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            pack.save(self._path)
            self._saved = time.monotonic()
        progress: dict[str, Any] = {"epochs": pack.epoch, "total": pack.spec.training.epochs, "done": pack.done}
        if pack.done:
            progress["results"] = json.dumps([result.to_json() for result in pack.results()])
        return progress

    def cleanup(self) -> None:
        """Free the pack's memory before the actor is reused or ends."""
        del self._pack
