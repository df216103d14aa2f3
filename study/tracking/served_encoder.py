"""A trained encoder as an MLflow model: MLflow stores this file with the model and runs it where it is loaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from trainables.saving.export import TrainedEncoder, load_encoder

# MLflow asks for a type of the input, but knows only types that it is not; its own filter lets no other one silence it.
with warnings.catch_warnings(record=True):

    class ServedEncoder(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """Raw inputs in, as an array (N, …) or a data frame of N rows; a dictionary of arrays out, one row each.

        Inputs may also be given by name, as the signature has them: a mapping of arrays, or a data frame with an array
        in each cell; so is the mask. Outputs are `features`, and `logits` and `probabilities` of classes or labels, or
        `predictions` of a real target.
        """

        encoder: TrainedEncoder

        def load_context(self, context: Any) -> None:
            """Read the weights."""
            self.encoder = load_encoder(context.artifacts["encoder"], run_code=True)

        def predict(self, context: Any, model_input, params: Any = None) -> dict[str, NDArray[Any]]:  # type: ignore[no-untyped-def]
            """See `trainables.saving.export.TrainedEncoder.predict`."""
            del context
            try:
                return self._predict(model_input, params or {})
            except ValueError as error:  # a server passes on what is said so
                raise MlflowException.invalid_parameter_value(str(error)) from None

        def _predict(self, given: Any, params: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
            name, encoder = self.encoder.modality, self.encoder
            values, mask = _inputs(given, name, f"{name}_mask")
            for key, trailing in (("padding", False), ("trailing_padding", True)):  # one of them, see the signature
                if key in params and encoder.padding is not None:
                    padding = replace(encoder.padding, value=tuple(params[key]), trailing=trailing)
                    encoder = replace(encoder, padding=padding)
            return encoder.predict(values, mask=mask)


def _inputs(given: Any, name: str, mask: str) -> tuple[Any, Any]:
    """The values and the mask (or None) among what was given.

    Raises:
        ValueError: names were given, and others than these two.
    """
    if hasattr(given, "columns"):  # a data frame
        columns = list(given.columns)
        if name not in columns and mask not in columns:
            return given, None  # columns of single features
        given = {column: _stacked(given[column]) for column in columns}
        if name in given and given[name].ndim == 1:  # of one feature
            given[name] = given[name][:, None]
    if not isinstance(given, Mapping):
        return given, None
    if unknown := [key for key in given if key not in (name, mask)]:
        raise ValueError(f"the encoder reads {name} (and {mask}, if it was trained with one), given {unknown[0]!r} too")
    if name not in given:
        raise ValueError(f"the encoder reads {name}, which is not given")
    return given[name], given.get(mask)


def _stacked(cells: Any) -> NDArray[Any]:
    """The cells of a column of a data frame as rows."""
    rows = [np.asarray(cell) for cell in cells]
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else np.asarray(list(cells), dtype=object)


mlflow.models.set_model(ServedEncoder())
