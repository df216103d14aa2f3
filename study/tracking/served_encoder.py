"""A trained encoder as an MLflow model: MLflow stores this file with the model and runs it where it is loaded."""

from __future__ import annotations

import warnings
from typing import Any

import mlflow
from numpy.typing import NDArray

from trainables.export import TrainedEncoder, load_encoder

# MLflow asks for a type of the input, but knows only types that it is not; its own filter lets no other one silence it.
with warnings.catch_warnings(record=True):

    class ServedEncoder(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """Raw inputs in, as an array (N, …) or a data frame of N rows; a dictionary of arrays out, one row each.

        `features`, and `logits` and `probabilities` of classes or `predictions` of a real target.
        """

        encoder: TrainedEncoder

        def load_context(self, context: Any) -> None:
            """Read the weights."""
            self.encoder = load_encoder(context.artifacts["encoder"])

        def predict(self, context: Any, model_input, params: Any = None) -> dict[str, NDArray[Any]]:  # type: ignore[no-untyped-def]
            """See `trainables.export.TrainedEncoder.predict`."""
            del context, params
            return self.encoder.predict(model_input)


mlflow.models.set_model(ServedEncoder())
