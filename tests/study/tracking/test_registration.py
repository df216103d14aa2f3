"""Encoders in MLflow's registry through real kills: each is there once and whole, and nothing half-made beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.tracking import Tracker
from study.tracking.content import ModelRecord
from study.tracking.models import ALIAS, register
from trainables.saving.export import TrainedEncoder
from trainables.saving.scratch import clear_scratch

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow keeps its engines open to the end
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred"),  # from its import
]
NAME = "mine.left-right.left"
Kept = tuple[ModelRecord, TrainedEncoder, np.ndarray]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Tracker(f"sqlite:///{path}").prepare().problem is None
    return path


def client_of(path: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{path}")


def begun(empty_store: Path, folder: Path) -> tuple[Any, str, str]:
    """A store in `folder` with an experiment and a run: its client and both ids."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(empty_store, folder / "mlflow.db")
    client = client_of(folder / "mlflow.db")
    experiment = client.create_experiment("mine", artifact_location=(folder / "artifacts").as_uri())
    return client, experiment, client.create_run(experiment).info.run_id


def logged(client: Any, experiment: str) -> list[tuple[str, str]]:
    """Name and status of every logged model that is not deleted."""
    return [(one.name, str(one.status)) for one in client.search_logged_models([experiment])]


REGISTERS = """
import json, os, signal, sys
from pathlib import Path
import mlflow.pyfunc
from mlflow.tracking import MlflowClient
from study.tracking.content import ModelRecord
from study.tracking.models import register

name, training, encoder, jobs = json.loads(sys.argv[1])
model = ModelRecord(name=name, training=training, path=Path(encoder))
for path, experiment, run, request in jobs:
    for kill in (True, False):
        child = os.fork()
        if not child:
            real = getattr(MlflowClient, request)
            def killed(*arguments, **options):
                real(*arguments, **options)
                os.kill(os.getpid(), signal.SIGKILL)
            if kill:
                setattr(MlflowClient, request, killed)
            register(MlflowClient(tracking_uri=f"sqlite:///{path}"), model, experiment=experiment, run=run)
            os._exit(0)
        print(os.waitpid(child, 0)[1])
"""
REQUESTS = (
    "create_logged_model", "log_model_artifacts", "finalize_logged_model", "create_model_version",
)  # fmt: skip


def test_a_driver_killed_at_any_request_leaves_no_second_version_and_no_orphan(
    kept: Kept, empty_store: Path, tmp_path: Path
) -> None:
    import mlflow

    (temporary := tmp_path / "temporary").mkdir()
    model, encoder, rows = kept
    stores = {request: begun(empty_store, tmp_path / request) for request in REQUESTS}
    jobs = [
        [str(tmp_path / request / "mlflow.db"), experiment, run, request]
        for request, (_, experiment, run) in stores.items()
    ]
    ended = subprocess.run(
        [sys.executable, "-c", REGISTERS, json.dumps([model.name, model.training, str(model.path), jobs])],
        capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert ended.stdout.split() == ["9", "0"] * len(REQUESTS)
    assert list(temporary.iterdir())  # what those that were killed have left there
    clear_scratch(temporary)
    assert not list(temporary.iterdir())
    for request, (client, experiment, run) in stores.items():
        (version,) = client.search_model_versions(f"name = '{NAME}'")
        assert client.get_model_version_by_alias(NAME, ALIAS).version == version.version, request
        assert version.run_id == run
        assert logged(client, experiment) == [(NAME.replace(".", "-"), "READY")], request
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri(stores["log_model_artifacts"][0].tracking_uri)
        served = mlflow.pyfunc.load_model(f"models:/{NAME}@{ALIAS}").predict(rows.astype(np.float64))
    finally:
        mlflow.set_tracking_uri(before)
    for name, values in encoder.predict(rows).items():
        np.testing.assert_allclose(served[name], values, rtol=1e-6)


def test_what_killed_studies_of_before_left_is_removed_and_what_others_made_is_kept(
    kept: Kept, empty_store: Path, tmp_path: Path
) -> None:
    model = kept[0]
    client, experiment, run = begun(empty_store, tmp_path)
    name = NAME.replace(".", "-")
    ours = [client.create_logged_model(experiment, name=name, source_run_id=run, model_type="encoder") for _ in "abc"]
    client.finalize_logged_model(ours[0].model_id, "READY")
    client.finalize_logged_model(ours[1].model_id, "READY")
    client.create_registered_model("taken by somebody")
    client.create_model_version("taken by somebody", ours[1].artifact_location, run_id=run, model_id=ours[1].model_id)
    others = [
        client.create_logged_model(experiment, name=name, model_type="encoder"),
        client.create_logged_model(experiment, name="another", source_run_id=run, model_type="encoder"),
        client.create_logged_model(experiment, name=name, source_run_id=run, model_type="mine"),
    ]
    for _ in range(2):
        register(client, model, experiment=experiment, run=run)
    left = {one.model_id for one in client.search_logged_models([experiment])}
    assert left >= {ours[1].model_id, *(other.model_id for other in others)}
    assert not left & {ours[0].model_id, ours[2].model_id}
    assert len(left) == 5
    assert [one.version for one in client.search_model_versions(f"name = '{NAME}'")] == [1]


def test_another_training_is_a_version_of_its_own_and_clears_what_the_first_left(
    kept: Kept, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    model = kept[0]
    client, experiment, run = begun(empty_store, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            register(client, model, experiment=experiment, run=run)
    for training in ("second", "third", "second"):
        register(client, replace(model, training=training), experiment=experiment, run=run)
    versions = client.search_model_versions(f"name = '{NAME}'")
    assert sorted(one.tags["align_study.training"] for one in versions) == ["second", "third"]
    assert client.get_model_version_by_alias(NAME, ALIAS).tags["align_study.training"] == "second"
    assert len(logged(client, experiment)) == 2


def by_hand(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return change


@pytest.mark.parametrize(
    ("change", "versions"),
    [
        (by_hand(lambda client: client.delete_registered_model_alias(NAME, ALIAS)), 1),
        (by_hand(lambda client: client.delete_model_version(NAME, "1")), 1),
        (by_hand(lambda client: client.delete_registered_model(NAME)), 1),
        (by_hand(lambda client: client.update_model_version(NAME, "1", description="mine")), 1),
        (by_hand(lambda client: client.set_model_version_tag(NAME, "1", "align_study.training", "else")), 2),
    ],
    ids=["alias gone", "version gone", "model gone", "described", "tag changed"],
)
def test_what_is_changed_by_hand_comes_back_without_a_second_upload(
    change: Callable[[Any], object], versions: int, kept: Kept, empty_store: Path, tmp_path: Path
) -> None:
    client, experiment, run = begun(empty_store, tmp_path)
    register(client, kept[0], experiment=experiment, run=run)
    change(client)
    for _ in range(2):
        register(client, kept[0], experiment=experiment, run=run)
    found = client.search_model_versions(f"name = '{NAME}'")
    assert len(found) == versions
    best = client.get_model_version_by_alias(NAME, ALIAS)
    assert best.tags["align_study.training"] == kept[0].training
    assert len(logged(client, experiment)) == versions


def test_a_name_with_signs_that_mlflow_does_not_take_is_registered(
    kept: Kept, empty_store: Path, tmp_path: Path
) -> None:
    client, experiment, run = begun(empty_store, tmp_path)
    model = replace(kept[0], name='it\'s 100%."left".übung')
    for _ in range(2):
        register(client, model, experiment=experiment, run=run)
    (version,) = client.search_model_versions(f"run_id = '{run}'")
    assert version.name == model.name
    assert len(logged(client, experiment)) == 1
