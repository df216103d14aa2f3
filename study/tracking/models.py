"""MLflow models of the encoders that a study keeps: logged under the cell's run, registered with the alias `best`."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import trainables
from study.tracking.content import ModelRecord
from study.tracking.naming import ALIAS, ENCODER, TRAINING, logged_name
from trainables.saving.export import TrainedEncoder, load_encoder
from trainables.saving.kept import is_kept, read_kept
from trainables.saving.scratch import scratch

# What reading and running an encoder needs; it travels with the model, so that no other machine needs this package.
_MODULES = (
    *("__init__", "spec", "sources", "code/__init__", "code/calls", "code/files", "code/modules", "code/tracebacks"),
    *("networks/__init__", "networks/draws", "networks/encoders", "networks/layers"),
    *("networks/modules", "networks/network"),
    *("saving/__init__", "saving/checkpoint", "saving/export", "saving/padding"),
)
_MODULES_OF_KEPT = ("__init__", "saving/__init__", "saving/checkpoint", "saving/kept")
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "torch")
_EXAMPLE_ROWS = 2


def register(client: Any, model: ModelRecord, *, experiment: str, run: str) -> None:
    """Log a model under a run and make it the best version of its name, unless it is that already.

    What a call that was killed half-way has made is found by its tags and gone on from, or removed.
    """
    versions = list(client.search_model_versions(f"run_id = '{run}'"))
    registered = [one for one in versions if one.name == model.name and one.tags.get(TRAINING) == model.training]
    begun = _begun(client, model, versions, experiment=experiment, run=run, wanted=not registered)
    best = _best_version(client, model.name)
    if best is not None and any(one.version == best.version for one in registered):
        return
    made = min(registered, key=lambda one: int(one.version)) if registered else None
    if made is None:
        made = _make_version(client, model, begun, experiment=experiment, run=run)
    client.set_registered_model_alias(model.name, ALIAS, made.version)


def _begun(client: Any, model: ModelRecord, versions: Sequence[Any], *, experiment: str, run: str, wanted: bool) -> Any:
    """A model of this training that was logged and not registered, if one is `wanted`; other such ones are removed."""
    begun = None
    for logged in _logged_models(client, experiment, run, logged_name(model.name)):
        if any(logged.model_id in (version.model_id or version.source) for version in versions):
            continue
        if wanted and begun is None and logged.tags.get(TRAINING) == model.training:
            begun = logged
        else:
            client.delete_logged_model(logged.model_id)
    return begun


def _logged_models(client: Any, experiment: str, run: str, name: str) -> list[Any]:
    """A run's encoders of this name, in the order in which they were made."""
    logged: list[Any] = []
    token = None
    while True:
        page = client.search_logged_models([experiment], f"source_run_id = '{run}'", page_token=token)
        logged += [one for one in page if one.name == name and one.model_type == ENCODER]
        token = page.token
        if not token:
            return sorted(logged, key=lambda one: (one.creation_timestamp, one.model_id))


def _make_version(client: Any, model: ModelRecord, begun: Any, *, experiment: str, run: str) -> Any:
    """A version of the registered model, on top of what was `begun` already."""
    tags = {**model.tags, TRAINING: model.training}
    logged = begun or client.create_logged_model(
        experiment, name=logged_name(model.name), source_run_id=run, tags=tags, model_type=ENCODER
    )
    if str(logged.status) != "READY":
        with scratch() as staging:
            save(model, staging, model_id=logged.model_id, run=run)
            client.log_model_artifacts(logged.model_id, str(staging / "model"))
        client.finalize_logged_model(logged.model_id, "READY")
    _create_name(client, model.name)
    # A server resolves the model's id itself; for a database MLflow does so through the process-wide tracking URI, and
    # that need not be this one.
    remote = client.tracking_uri.startswith(("http:", "https:"))
    source = f"models:/{logged.model_id}" if remote else logged.artifact_location
    told = f"{model.description} {_reads(model.path)}".strip()
    return client.create_model_version(
        model.name, source, run_id=run, tags=tags, description=told, model_id=logged.model_id
    )


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


def _reads(path: Path) -> str:
    """How a model reads its input, in a sentence; of a user's own what it is, and how to have it itself."""
    if is_kept(path):
        return f"A {read_kept(path).kind}, as it was kept: `unwrap_python_model().model`."
    return load_encoder(path, run_code=True).reads


def save(model: ModelRecord, folder: Path, *, model_id: str, run: str) -> None:
    """The model as MLflow stores it, in `folder`/model."""
    if is_kept(model.path):
        _save_kept(model, folder, model_id=model_id, run=run)
    else:
        _save_encoder(model, folder, model_id=model_id, run=run)


def _copied(modules: Sequence[str], folder: Path) -> Path:
    """Modules of `trainables` in a folder that travels with a model."""
    code = folder / "code" / "trainables"
    for name in modules:
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(trainables.__file__).parent / f"{name}.py", code / f"{name}.py")
    return code


def _requirements(names: Sequence[str]) -> list[str]:
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def _save_kept(model: ModelRecord, folder: Path, *, model_id: str, run: str) -> None:
    """A model of the user's own: what it reads and gives nobody knows but him, so it has no signature."""
    from mlflow import pyfunc
    from mlflow.models import Model

    library = read_kept(model.path).kind.partition(".")[0]
    names = dict.fromkeys([*_REQUIREMENTS, "cloudpickle", *packages_distributions().get(library, [])[:1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyfunc.save_model(
            str(folder / "model"),
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"encoder": str(model.path)},
            code_paths=[str(_copied(_MODULES_OF_KEPT, folder))],
            pip_requirements=_requirements(list(names)),
            mlflow_model=Model(model_id=model_id, run_id=run),
        )


def _save_encoder(model: ModelRecord, folder: Path, *, model_id: str, run: str) -> None:
    from mlflow import pyfunc
    from mlflow.models import Model

    encoder = load_encoder(model.path, run_code=True)
    code = _copied(_MODULES, folder)
    example = _example(encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on types, see `served_encoder`
        pyfunc.save_model(
            str(folder / "model"),
            python_model=str(Path(__file__).with_name("served_encoder.py")),
            artifacts={"encoder": str(model.path)},
            code_paths=[str(code)],
            signature=_signature(encoder, example),
            input_example=example if len(example) > 1 else example[encoder.modality],
            pip_requirements=_requirements(_REQUIREMENTS),
            mlflow_model=Model(model_id=model_id, run_id=run),
        )


def _example(encoder: TrainedEncoder) -> dict[str, NDArray[Any]]:
    """Rows of mean values, without padding, by the names of the signature."""
    rows = np.tile(encoder.module.mean.numpy(), (_EXAMPLE_ROWS, *encoder.shape[:-1], 1)).astype(encoder.dtype)
    if len(encoder.shape) == 1:
        rows = rows.reshape(_EXAMPLE_ROWS, -1)
    if encoder.padding is None:
        return {encoder.modality: rows}
    if encoder.padding.needs_mask:
        return {encoder.modality: rows, f"{encoder.modality}_mask": np.ones(rows.shape[:2], dtype=np.bool_)}
    while not encoder.padding.real(rows).all():  # the mean may be what the data pad with
        rows = np.nextafter(rows, np.inf)
    return {encoder.modality: rows}


def _signature(encoder: TrainedEncoder, example: Mapping[str, NDArray[Any]]) -> Any:
    """Inputs and outputs by name, and the value that stands for padding as a parameter with its default.

    MLflow leaves the check of inputs to the model, as where their types are hints in its code: its own would take a row
    that is too long, and neither arrays for named columns nor float64 for a tensor.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    def schema(arrays: Mapping[str, NDArray[Any]]) -> Any:
        return Schema([TensorSpec(array.dtype, (-1, *array.shape[1:]), name) for name, array in arrays.items()])

    padding, params = encoder.padding, None
    if padding is not None and np.isfinite(padding.value).any():
        name = "trailing_padding" if padding.trailing else "padding"
        params = ParamSchema([ParamSpec(name, DataType.double, list(padding.value), shape=(-1,))])
    said = encoder.predict(example[encoder.modality], mask=example.get(f"{encoder.modality}_mask"))
    signature = ModelSignature(inputs=schema(example), outputs=schema(said), params=params)
    signature._is_signature_from_type_hint = True
    return signature
