"""MLflow models of the encoders that a study keeps: logged under the cell's run, registered with the alias `best`."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import trainables
from study.projection import ModelRecord
from trainables.export import load_encoder

ALIAS = "best"
_TRAINING = "align_study.training"  # tag of a version: which training its weights came from
# What reading and running an encoder needs; it travels with the model, so that no other machine needs this package.
_MODULES = ("__init__", "checkpoint", "encoders", "export", "layers", "spec")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "torch")
_EXAMPLE_ROWS = 2


def register(client: Any, model: ModelRecord, *, experiment: str, run: str) -> None:
    """Log a model under a run and make it the best version of its name, unless it is that already."""
    current = _best_version(client, model.name)
    if current is not None and current.tags.get(_TRAINING) == model.training and current.run_id == run:
        return
    logged = client.create_logged_model(
        experiment, name=model.name.replace(".", "-"), source_run_id=run, tags=dict(model.tags), model_type="encoder"
    )
    with tempfile.TemporaryDirectory(prefix="align-study-") as staging:
        _save(model, Path(staging), model_id=logged.model_id, run=run)
        client.log_model_artifacts(logged.model_id, str(Path(staging) / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    _create_name(client, model.name)
    tags = {**model.tags, _TRAINING: model.training}
    # A server resolves the model's id itself; for a database MLflow does so through the process-wide tracking URI, and
    # that need not be this one.
    remote = client.tracking_uri.startswith(("http:", "https:"))
    source = f"models:/{logged.model_id}" if remote else logged.artifact_location
    made = client.create_model_version(
        model.name, source, run_id=run, tags=tags, description=model.description, model_id=logged.model_id
    )
    client.set_registered_model_alias(model.name, ALIAS, made.version)


def _best_version(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _create_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _save(model: ModelRecord, folder: Path, *, model_id: str, run: str) -> None:
    """The model as MLflow stores it, in `folder`/model."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    encoder = load_encoder(model.path)
    code = folder / "code" / "trainables"
    code.mkdir(parents=True)
    for name in _MODULES:
        shutil.copyfile(Path(trainables.__file__).with_name(f"{name}.py"), code / f"{name}.py")
    example = np.zeros((_EXAMPLE_ROWS, *encoder.shape), dtype=encoder.dtype)
    # Columns take arrays and data frames of float32 and float64 alike, a tensor takes its own type alone.
    flat = len(encoder.shape) == 1
    columns = [ColSpec(DataType.double) for _ in range(encoder.shape[0])] if flat else []
    inputs = Schema(columns or [TensorSpec(example.dtype, (-1, *encoder.shape))])
    outputs = Schema([TensorSpec(v.dtype, (-1, *v.shape[1:]), name) for name, v in encoder.predict(example).items()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on types, see `served_encoder`
        pyfunc.save_model(
            str(folder / "model"),
            python_model=str(Path(__file__).with_name("served_encoder.py")),
            artifacts={"encoder": str(model.path)},
            code_paths=[str(code)],
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            input_example=example,
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS],
            mlflow_model=Model(model_id=model_id, run_id=run),
        )
