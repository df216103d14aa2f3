"""A trained encoder as one file, and back: what a study hands to whoever uses its result.

The file holds numbers and plain containers alone (no code is run when it is read), and all that raw inputs need on
their way to features: the architecture, the weights, the scaling of the training rows and how sequences are padded. The
architecture of a module of the user's is its code, as text, which is run only where that is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trainables.networks.network import SoloEncoder, build_networks
from trainables.saving.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from trainables.saving.padding import Padding, find_padding, read_mask
from trainables.spec import AlignmentSpec, EncoderSpec, PackSpec

if TYPE_CHECKING:  # whoever only uses an encoder needs neither
    from trainables.datasets.base import PairData
    from trainables.metrics.scores import Kind
    from trainables.training.pack import Pack

FORMAT = 2
_FORMATS = (1, FORMAT)  # the first one knows no padding, and was trained on real targets in their own unit
_COLUMNS_SHOWN = 8
_CHUNK_VALUES = 2**24  # input numbers that are encoded at once


@dataclass(frozen=True, kw_only=True)
class TrainedEncoder:
    """One modality's encoder with its task head. `shape` is that of a sample, `kind` that of the target.

    `padding` says how sequences are padded, where the encoder was trained with a mask; of all kinds of encoder, each
    sees padded steps as it did in training. `unit` holds centre and scale (outputs,) of a real target's columns: what
    brings predictions into the data's unit. `columns` are the names of the inputs, where they came from a table.
    """

    modality: str
    shape: tuple[int, ...]
    kind: Kind
    n_outputs: int
    spec: EncoderSpec
    module: SoloEncoder
    padding: Padding | None = None
    unit: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    columns: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the inputs that it was trained on: what is less may not hold them."""
        return np.dtype(np.float64 if self.module.mean.dtype == torch.float64 else np.float32)

    @property
    def reads(self) -> str:
        """What it reads, in words."""
        shape = ", ".join(map(str, ("N", *self.shape)))
        padding = f" {self.padding.told}" if self.padding else ""
        columns = f", the columns {_shown(self.columns)} in this order" if self.columns else ""
        return f"Reads raw {self.modality}, numbers of shape ({shape}){columns}.{padding}"

    def predict(self, values: ArrayLike, *, mask: ArrayLike | None = None) -> dict[str, NDArray[np.floating[Any]]]:
        """Features (N, width), and logits and probabilities (N, classes), of labels each its own (N, labels), or
        predictions (N, outputs) of a real target.

        Predictions are in the unit of the data's own target, and float64 for that: numbers like times need it.

        Args:
            values: raw inputs (N, *shape) as the dataset has them, or flattened to (N, size) as in a data frame, whose
                columns are found by name where the encoder's have names, in whatever order they stand.
            mask: of sequences, (N, T), true at real steps, or their lengths (N,): a missing value there is imputed as
                in training, by the caller. Without it `padding` tells.

        Raises:
            ValueError: another shape, a real value that is not finite or so large that an output is not, a row without
                a real step, or a mask that is needed and not given, or given and not known from training.
        """
        values = self._in_order(values)
        try:
            if isinstance(values, np.ma.MaskedArray):  # what is masked is missing, whatever number lies there
                values = np.ma.filled(values.astype(np.float64), np.nan)
            given = np.asarray(values)
            if odd_kind := _odd_kind(given):
                raise TypeError(f"given {odd_kind}")
            with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is then refused
                x = np.array(given, dtype=self.dtype)  # a copy: torch wants to be able to write
        except (ValueError, TypeError) as error:
            raise ValueError(f"the encoder of {self.modality} reads numbers: {error}") from None
        size = int(np.prod(self.shape))
        if x.ndim == 0 or x.shape[1:] not in (self.shape, (size,)):
            shapes = " or ".join(dict.fromkeys(f"({', '.join(map(str, ('N', *s)))})" for s in (self.shape, (size,))))
            raise ValueError(f"the encoder of {self.modality} reads inputs of shape {shapes}, given {x.shape}")
        x = x.reshape(len(x), *self.shape)
        coarse = given.dtype.kind == "f" and given.dtype.itemsize < x.dtype.itemsize
        real = self._real(given.reshape(x.shape) if coarse else x, mask)
        if real is not None:
            if (empty := np.flatnonzero(~real.any(axis=1))).size:
                raise ValueError(f"row {empty[0]} is padding alone; leave it out")
            x[~real] = 0.0
        if (odd := np.flatnonzero(~np.isfinite(x).reshape(len(x), size).all(axis=1))).size:
            raise ValueError(f"row {odd[0]} has a value that is not finite; impute it as in training")
        rows = max(1, _CHUNK_VALUES // size)
        starts = range(0, max(1, len(x)), rows)
        chunks = [self._encode(x[i : i + rows], None if real is None else real[i : i + rows]) for i in starts]
        encoded = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        for outputs in encoded.values():
            if (odd := np.flatnonzero(~np.isfinite(outputs).all(axis=1))).size:
                raise ValueError(
                    f"row {odd[0]} is too large for the encoder, whose outputs are not finite; see its unit"
                )
        return encoded

    def _in_order(self, values: Any) -> Any:
        """The columns of a data frame in the order of training; numbered ones, and what is no frame, as they are."""
        names = list(getattr(values, "columns", ()))
        if not self.columns or not any(isinstance(name, str) for name in names):
            return values
        where = f"the encoder of {self.modality} reads the columns {_shown(self.columns)}"
        if missing := [name for name in self.columns if name not in names]:
            raise ValueError(f"{where}: {missing[0]!r} is not among those given, {_shown(names)}")
        if more := [name for name in names if name not in self.columns]:
            raise ValueError(f"{where}: given {more[0]!r}, too; leave it out")
        return values[list(self.columns)]

    def _real(self, x: NDArray[np.floating[Any]], mask: ArrayLike | None) -> NDArray[np.bool_] | None:
        """Which steps are real (N, T); None of an encoder that was trained without a mask."""
        if self.padding is None:
            if mask is not None:
                raise ValueError(f"the encoder of {self.modality} was trained without a mask; leave it out")
            return None
        if mask is not None:
            return read_mask(mask, shape=(len(x), self.shape[0]), name=self.modality)
        real = self.padding.real(x)
        if self.padding.needs_mask and len(x) and real.all():
            raise ValueError(f"the encoder of {self.modality} needs to know what is padding. {self.padding.told}")
        return real

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all."""
        state = {
            "format": FORMAT,
            "modality": self.modality,
            "shape": list(self.shape),
            "kind": self.kind,
            "n_outputs": self.n_outputs,
            "spec": self.spec.to_json(),
            "padding": None if self.padding is None else asdict(self.padding),
            "unit": self.unit and [list(part) for part in self.unit],
            "columns": list(self.columns),
            "weights": {name: tensor.cpu() for name, tensor in self.module.state_dict().items()},
        }
        write_checkpoint(state, path)

    @torch.no_grad()
    def _encode(self, x: NDArray[Any], mask: NDArray[np.bool_] | None) -> dict[str, NDArray[np.floating[Any]]]:
        features, outputs = self.module(torch.from_numpy(x), None if mask is None else torch.from_numpy(mask))
        if self.kind == "real":
            centre, scale = self.unit or (0.0, 1.0)
            predictions = outputs.double().numpy() * np.asarray(scale) + np.asarray(centre)
            return {"features": features.numpy(), "predictions": predictions}
        likely = outputs.softmax(1) if self.kind == "classes" else outputs.sigmoid()  # each label by itself
        return {"features": features.numpy(), "logits": outputs.numpy(), "probabilities": likely.numpy()}


def _shown(columns: Sequence[object]) -> str:
    return ", ".join(map(str, columns[:_COLUMNS_SHOWN])) + (", …" if len(columns) > _COLUMNS_SHOWN else "")


def _odd_kind(values: NDArray[Any]) -> str:
    """What `values` are, of which NumPy would make real numbers although they are none; empty where they are such."""
    if values.dtype.kind in "biuf":
        return ""
    if values.dtype.kind != "O":
        return str(values.dtype)
    odd = (one for one in values.flat if not (one is None or isinstance(one, Real | Decimal | np.bool_)))
    return next((type(one).__name__ for one in odd), "")


def load_encoder(path: str | os.PathLike[str], *, run_code: bool = False) -> TrainedEncoder:
    """The encoder that `TrainedEncoder.save` wrote, on the CPU.

    A file of an encoder of kind `module` holds the code that makes it, which is run for it only with `run_code`.

    Raises:
        CheckpointError: the file is torn, or is something else, or holds code that may not be run.
        ValueError: its code does not make the module that was trained.
        OSError: it cannot be opened.
    """
    state = read_checkpoint(path, device=torch.device("cpu"))
    if state.get("format") not in _FORMATS:
        raise CheckpointError(f"{path} is no encoder of format {FORMAT}")
    spec, shape, n_outputs = EncoderSpec(**state["spec"]), tuple(state["shape"]), int(state["n_outputs"])
    if spec.kind == "module" and not run_code:
        raise CheckpointError(
            f"{path} holds code, that of {spec.factory}; if you trust it, let it be run: "
            "load_encoder(path, run_code=True)"
        )
    module = _module(spec, shape, n_outputs, state["weights"])
    if state["format"] == 1:  # it does not say whether there was a mask: for a sequence whoever uses it has to
        padding = Padding() if len(shape) == 2 and spec.kind != "vit" else None
    else:
        padding = None if state["padding"] is None else Padding(**state["padding"])
    return TrainedEncoder(
        modality=state["modality"],
        shape=shape,
        kind=state["kind"],
        n_outputs=n_outputs,
        spec=spec,
        module=module,
        padding=padding,
        unit=state.get("unit") and (tuple(state["unit"][0]), tuple(state["unit"][1])),
        columns=tuple(state.get("columns", ())),
    )


def _module(spec: EncoderSpec, shape: tuple[int, ...], n_outputs: int, weights: dict[str, torch.Tensor]) -> SoloEncoder:
    network, _ = build_networks((spec, spec), AlignmentSpec(), (shape, shape), (n_outputs, n_outputs))
    module = SoloEncoder(network, torch.zeros(network.layout.size), weights["mean"], weights["factor"])
    known = {name: values for name, values in weights.items() if not name.startswith("projector")}
    module.load_state_dict(known)
    return module.eval()


def training_hash(spec: PackSpec, replica: int) -> str:
    """Identity of one training, whatever shares its pack."""
    return replace(spec, replicas=(spec.replicas[replica],)).hash


def encoder_file(training: str, modality: int) -> str:
    """What the encoder of modality 0 or 1 of a training is called, beside the checkpoints, until the study ends."""
    return f"{training}-encoder-{modality + 1}.pt"


def trained_encoders(pack: Pack, data: PairData, replica: int) -> tuple[TrainedEncoder, TrainedEncoder]:
    """Both encoders of one replica of a trained `Pack`, on the CPU; `data` is its `PairData`."""
    from trainables.datasets.columns import target_unit  # here: it is not there where an encoder is only used

    units = [
        target_unit(target, data.rows(*pack.spec.fit)) if target.kind == "real" else None for target in data.targets
    ]
    first, second = (
        TrainedEncoder(
            modality=modality.name,
            shape=tuple(modality.values.shape[1:]),
            kind=target.kind,
            n_outputs=target.n_outputs,
            spec=spec,
            module=_module(
                spec,
                tuple(modality.values.shape[1:]),
                target.n_outputs,
                {name: values.cpu() for name, values in module.state_dict().items()},
            ),
            padding=None if modality.mask is None else find_padding(modality.values, modality.mask),
            unit=None if unit is None else (tuple(unit.centre.tolist()), tuple(unit.scale.tolist())),
            columns=modality.columns,
        )
        for modality, target, spec, module, unit in zip(
            data.modalities, data.targets, pack.spec.encoders, pack.encoders(replica), units, strict=True
        )
    )
    return first, second
