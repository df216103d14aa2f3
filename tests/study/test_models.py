"""Encoders as MLflow models: in the store that was meant, whatever the process tracks to by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from study.projection import ModelRecord
from study.tracking import Tracker
from study.tracking.models import ALIAS, register
from trainables.datasets import load
from trainables.export import TrainedEncoder, trained_encoders, training_hash
from trainables.pack import Pack
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # MLflow keeps its engines open to the end
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


def test_a_model_goes_to_the_store_that_was_meant_and_once(
    kept: tuple[ModelRecord, TrainedEncoder, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    model, encoder, rows = kept
    meant, other = (f"sqlite:///{tmp_path / name}.db" for name in ("meant", "other"))
    assert Tracker(meant).prepare().problem is None
    shutil.copyfile(tmp_path / "meant.db", tmp_path / "other.db")  # an empty store, which takes seconds to make
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(other)
        client = MlflowClient(tracking_uri=meant)
        experiment = client.create_experiment("mine", artifact_location=(tmp_path / "artifacts").as_uri())
        run = client.create_run(experiment).info.run_id
        for _ in range(2):
            register(client, model, experiment=experiment, run=run)
        assert [found.version for found in client.search_model_versions(f"name='{NAME}'")] == [1]
        assert MlflowClient(tracking_uri=other).search_registered_models() == []

        mlflow.set_tracking_uri(meant)
        served = mlflow.pyfunc.load_model(f"models:/{NAME}@{ALIAS}").predict(rows.astype(np.float64))
    finally:
        mlflow.set_tracking_uri(before)
    for name, values in encoder.predict(rows).items():
        np.testing.assert_allclose(served[name], values, rtol=1e-6)
