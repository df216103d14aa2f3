"""A model that a user's function has kept, as an MLflow model: MLflow stores this file with it and runs it where it is
loaded.
"""

from __future__ import annotations

import warnings
from typing import Any

import mlflow
import numpy as np

from trainables.saving.kept import read_kept

# MLflow asks for a type of the input, but knows only types that it is not; its own filter lets no other one silence it.
with warnings.catch_warnings(record=True):

    class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """The model as it was kept, `model`; a torch module takes an array and gives what it gives, as arrays."""

        model: Any

        def load_context(self, context: Any) -> None:
            """Open the model, which runs code of the file."""
            self.model = read_kept(context.artifacts["encoder"]).open()

        def predict(self, context: Any, model_input, params: Any = None) -> Any:  # type: ignore[no-untyped-def]
            """What the model makes of rows: by `predict` or `transform`, or by calling it."""
            del context, params
            import torch

            if isinstance(self.model, torch.nn.Module):
                self.model.eval()
                with torch.inference_mode():
                    return _as_arrays(self.model(torch.as_tensor(np.asarray(model_input))))
            for name in ("predict", "transform"):
                if hasattr(self.model, name):
                    return getattr(self.model, name)(model_input)
            return self.model(model_input)


def _as_arrays(value: Any) -> Any:
    """A tensor as an array, however deep it stands."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: _as_arrays(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_as_arrays(each) for each in value)
    return value


mlflow.models.set_model(ServedModel())
