"""Encoders as MLflow models: in the store that was meant, whatever the process tracks to by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from study.tracking import Tracker
from study.tracking.content import ModelRecord
from study.tracking.models import ALIAS, register, save
from trainables.datasets.base import Modality, PairData, Target
from trainables.networks.network import SoloEncoder, build_networks
from trainables.saving.export import TrainedEncoder, load_encoder, trained_encoders
from trainables.sources import Source
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # MLflow keeps its engines open to the end
NAME = "mine.left-right.left"


def test_a_model_goes_to_the_store_that_was_meant_and_once(
    kept: tuple[ModelRecord, TrainedEncoder, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own types, which it defines as it is imported
        from mlflow.pyfunc.scoring_server import invocations

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
        loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@{ALIAS}")
        (version,) = client.search_model_versions(f"name='{NAME}'")
    finally:
        mlflow.set_tracking_uri(before)
    assert "Reads raw left, numbers of shape (N, 32)" in version.description
    assert loaded.metadata.signature.inputs.input_names() == ["left"]
    assert {"features", "logits", "probabilities"} == set(loaded.metadata.signature.outputs.input_names())
    for given in (
        rows, rows.astype(np.float64), rows.tolist(), pd.DataFrame(rows), pd.DataFrame(rows).add_prefix("pixel "),
        {"left": rows}, pd.DataFrame({"left": list(rows)}),
    ):  # fmt: skip
        served = loaded.predict(given)
        for name, values in encoder.predict(rows).items():
            np.testing.assert_allclose(served[name], values, rtol=1e-6)
    wide, narrow = np.zeros((2, 33)), np.zeros((2, 31))
    for wrong in (
        wide, narrow, pd.DataFrame(wide), pd.DataFrame(narrow), {"left": wide}, {"right": rows}, None, [], {}, 3.0,
        {"left": rows, "x": rows}, pd.DataFrame({"left": list(wide)}), [["a"] * 32], [[1.0], [1.0, 2.0]], np.zeros(32),
        pd.DataFrame({"left": ["a"]}), {"left": rows, "left_mask": np.ones((5, 32))}, np.full((1, 32), np.inf),
    ):  # fmt: skip
        with pytest.raises(MlflowException, match=r"left|finite") as caught:
            loaded.predict(wrong)
        assert "\n" not in str(caught.value)
    too_long = json.dumps({"inputs": wide.tolist()})
    with pytest.raises(MlflowException, match=r"\(N, 32\), given \(2, 33\)") as caught:  # as a server asks
        invocations(too_long, "application/json", loaded, loaded.metadata.get_input_schema())
    assert caught.value.get_http_status_code() == 400
    answer = invocations(json.dumps({"inputs": rows.tolist()}), "application/json", loaded, None).response
    np.testing.assert_allclose(json.loads(answer)["predictions"]["logits"], encoder.predict(rows)["logits"], rtol=1e-5)


@pytest.mark.parametrize("fill", [0.0, -7.5, None])
@pytest.mark.parametrize("kind", ["linear", "mlp", "transformer", "vit"])
def test_a_served_model_sees_padding_as_in_training(kind: str, fill: float | None, tmp_path: Path) -> None:
    import mlflow

    rng = np.random.default_rng(0)
    mask = np.arange(4)[None, :] < rng.integers(1, 5, size=60)[:, None]
    values = rng.normal(5, 3, size=(60, 4, 4)).astype(np.float32)
    values[~mask] = rng.normal(size=(int((~mask).sum()), 4)) if fill is None else fill
    target = Target(values=rng.integers(0, 2, 60), kind="classes", n_classes=2)
    data = PairData(
        dataset="made",
        modalities=(Modality(name="audio", values=values, mask=mask), Modality(name="other", values=values[:, 0])),
        targets=(target, target),
        split=np.repeat([0, 1, 2], 20).astype(np.int8),
    )
    pack = Pack(
        PackSpec(
            dataset=DatasetSpec(name="made"), pair=data.names, alignment=AlignmentSpec(),
            encoders=(EncoderSpec(kind=kind, width=4, patch=2, layers=1), EncoderSpec(width=4)),
            training=TrainingSpec(epochs=2, batch_size=10), evaluate="test",
            replicas=(ReplicaSpec(strength_1=0.5, strength_2=0.5, seed=0),),
        ),
        data,
    )  # fmt: skip
    pack.run()
    trained_encoders(pack, data, 0)[0].save(tmp_path / "audio.pt")
    save(ModelRecord(name="x", training="y", path=tmp_path / "audio.pt"), tmp_path, model_id="m-1", run="r")
    told = load_encoder(tmp_path / "audio.pt").reads  # of which the description of the model's version consists
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    signature, rows = loaded.metadata.signature, data.rows("test")

    def score(given: Any, params: Any = None) -> float:
        return float((loaded.predict(given, params=params)["logits"].argmax(1) == target.values[rows]).mean())

    expected, raw = pack.results()[0].scores[0], values[rows]
    by_name = {"audio": raw, "audio_mask": mask[rows]}
    assert score(by_name) == pytest.approx(expected, abs=1e-6)
    assert score({**by_name, "audio_mask": mask[rows].sum(1)}) == pytest.approx(expected, abs=1e-6)
    assert score(np.where(mask[rows][:, :, None], raw, np.nan)) == pytest.approx(expected, abs=1e-6)
    if fill is None:
        assert signature.inputs.input_names() == ["audio", "audio_mask"]
        assert signature.params is None
        assert "give a mask" in told
        with pytest.raises(MlflowException, match="needs to know what is padding"):
            loaded.predict(raw)
    else:
        other = np.where(mask[rows][:, :, None], raw, 99.0)
        assert score(raw) == pytest.approx(expected, abs=1e-6)
        assert score(other, {"padding": [99.0]}) == pytest.approx(expected, abs=1e-6)
        assert signature.inputs.input_names() == ["audio"]
        assert [(p.name, p.default) for p in signature.params.params] == [("padding", [fill])]
        assert f"Steps of nothing but {fill:g}, or of NaN, are padding." in told


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_a_model_brings_all_code_that_it_runs(kind: str, tmp_path: Path) -> None:
    """To a process that has libraries alone, and no file of the user's."""
    (tmp_path / "user").mkdir()
    for name, text in {
        "mine.py": "from near import layer\nfrom torch import nn\n"
        "def make(shape, width): return nn.Sequential(nn.Flatten(), layer(shape[0], width))\n",
        "near.py": "from torch import nn\ndef layer(n, width): return nn.Linear(n, width)\n",
    }.items():
        (tmp_path / "user" / name).write_text(text)
    source = Source.of_file(f"{tmp_path / 'user' / 'mine.py'}:make")
    own = {"factory": source.name, "code": source.text} if kind == "module" else {}
    spec = EncoderSpec(kind=kind, width=4, **own)
    network, _ = build_networks((spec, spec), AlignmentSpec(), ((6,), (6,)), (2, 2))
    flat, _ = network.draw(0)
    made = SoloEncoder(network, flat, torch.zeros(6), torch.ones(6)).eval()
    path = tmp_path / "x.pt"
    TrainedEncoder(modality="x", shape=(6,), kind="classes", n_outputs=2, spec=spec, module=made).save(path)
    save(ModelRecord(name="x", training="y", path=path), tmp_path, model_id="m-1", run="r")
    shutil.rmtree(tmp_path / "user")
    program = (
        "import sys, numpy as np, trainables\nfrom trainables.saving.export import load_encoder\n"
        "said = load_encoder(sys.argv[1], run_code=True).predict(np.ones((3, 6), np.float32))\n"
        "print(trainables.__file__, said['features'].shape, 'study' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "model" / "code")},
    )  # fmt: skip
    assert done.stdout == f"{tmp_path}/model/code/trainables/__init__.py (3, 4) False\n", done.stderr
