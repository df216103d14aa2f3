"""What the tests of MLflow share: an encoder as a study keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from study.tracking.content import ModelRecord
from trainables.datasets import load
from trainables.saving.export import TrainedEncoder, trained_encoders, training_hash
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

NAME = "mine.left-right.left"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelRecord, TrainedEncoder, np.ndarray]:
    """An encoder of digits as a study keeps it, and rows for it."""
    spec = PackSpec(
        dataset=DatasetSpec(name="digits"),
        pair=("left", "right"),
        encoders=(EncoderSpec(width=4), EncoderSpec(width=4)),
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=1, batch_size=256),
        replicas=(ReplicaSpec(strength_1=0.5, strength_2=0.5, seed=0),),
    )
    data = load(spec.dataset).pair(*spec.pair)
    pack = Pack(spec, data)
    pack.run()
    encoder = trained_encoders(pack, data, 0)[0]
    path = tmp_path_factory.mktemp("kept") / "left.npz"
    encoder.save(path)
    return ModelRecord(name=NAME, training=training_hash(spec, 0), path=path), encoder, data.modalities[0].values[:5]
