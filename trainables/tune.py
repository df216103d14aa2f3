"""The Ray Tune class Trainable around a Pack: one trial trains one pack, in steps of about a second.

The pack's own checkpoint file, named by its content hash, is what a trial continues from after its worker, its node or
the whole study was killed; Tune's own checkpoints are not used.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

import ray
import torch
from ray import tune

from trainables.datasets.base import MultimodalData
from trainables.saving.export import encoder_file, trained_encoders, training_hash
from trainables.saving.place import Place
from trainables.spec import PackSpec
from trainables.training.pack import CheckpointError, Pack

STEP_SECONDS = 1.0
CHECKPOINT_SECONDS = 5.0  # unless `checkpoint_seconds` of the configuration says otherwise


class PackTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains the pack of `config`: `spec` (JSON text of a PackSpec), `data_key`, `place` of checkpoints (the address of
    a `Place`), `threads`, and `keep` where the trained encoders are to be written beside the checkpoints.

    Results hold `epochs`, `total` and, with the last one, `results` (a JSON list of ReplicateResults). A pack that does
    not fit into memory ends with `out_of_memory` instead: the driver halves it.
    """

    def setup(
        self, config: dict[str, Any], datasets: Mapping[str, MultimodalData | ray.ObjectRef] | None = None
    ) -> None:
        """Build the pack and go on from its checkpoint, if there is a sound one.

        Datasets given as references stay in the node's object store: their arrays are read there, and never copied
        where they are large.
        """
        if datasets is not None:  # given once, by tune.with_parameters
            self._datasets = datasets
        torch.set_num_threads(max(1, int(config["threads"])))
        self._spec = PackSpec.from_json(json.loads(config["spec"]))
        self._data_key = str(config["data_key"])
        self._place = Place(str(config["place"]))
        self._checkpoint = f"{self._spec.hash}.pt"
        self._keep = bool(config.get("keep", False))
        self._pack: Pack | None = None
        self._resumed_from = 0  # epoch of the checkpoint that it went on from
        self._saved = time.monotonic()
        self._checkpoint_seconds = float(config.get("checkpoint_seconds", CHECKPOINT_SECONDS))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack in the same process, which saves its start."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or to the end."""
        total = self._spec.training.epochs
        try:
            pack = self._advance()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._pack = None
            return {"epochs": 0, "total": total, "done": True, "out_of_memory": True}
        progress: dict[str, Any] = {
            "epochs": pack.epoch, "total": total, "done": pack.done, "resumed_from": self._resumed_from
        }  # fmt: skip
        if pack.done:
            progress["results"] = json.dumps([result.to_json() for result in pack.results()])
            if self._keep:
                self._keep_encoders(pack)
        return progress

    def cleanup(self) -> None:
        """Free the pack's memory before the actor is reused or ends."""
        self._pack = None

    def _advance(self) -> Pack:
        self._pack = pack = self._pack or self._begin()
        start = time.monotonic()
        while not pack.done and time.monotonic() - start < STEP_SECONDS:
            pack.run(1)
        if pack.done or time.monotonic() - self._saved > self._checkpoint_seconds:
            with contextlib.suppress(OSError):  # a full or absent disk costs the checkpoint, not the training
                self._place.write(self._checkpoint, pack.save)
            self._saved = time.monotonic()
        return pack

    def _keep_encoders(self, pack: Pack) -> None:
        data = self._data().pair(*self._spec.pair)
        for replica in range(len(self._spec.replicas)):
            training = training_hash(self._spec, replica)
            for modality, encoder in enumerate(trained_encoders(pack, data, replica)):
                self._place.write(encoder_file(training, modality), encoder.save)

    def _data(self) -> MultimodalData:
        data = self._datasets[self._data_key]
        return data if isinstance(data, MultimodalData) else ray.get(data)

    def _begin(self) -> Pack:
        data = self._data().pair(*self._spec.pair)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        pack = Pack(self._spec, data, device=device)
        try:
            self._place.read(self._checkpoint, pack.load)
            self._resumed_from = pack.epoch
        except FileNotFoundError:
            pass
        except (CheckpointError, OSError):  # torn by a crash while the file system wrote it: start this pack over
            pack = Pack(self._spec, data, device=device)
        return pack


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or (as a plain RuntimeError of torch's allocator) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
