"""A pack on a device other than the host, without one: torch's `meta` device stands for a GPU.

Its tensors have shapes and no values. `Traffic` refuses, as a GPU would, what mixes them with the host's, and counts
what passes between the two: on a GPU each read would make the host wait for all that it has asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from trainables.datasets.base import Modality, PairData, Target
from trainables.networks.encoders import ENCODERS
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, Precision, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

BUILT_IN = [kind for kind in ENCODERS if kind != "module"]
SHAPES = {"linear": (5,), "mlp": (5,), "transformer": (4, 3), "vit": (8, 8)}
ROWS, REPLICAS = 48, 4


MAY_MIX = ("to", "copy_", "__getitem__")  # an index may lie on the host


class Traffic(TorchFunctionMode):
    """Reads by the host, which is told zeros, or that 0.1 is the smallest value; and copies to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.sent = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if name in ("cpu", "__float__") and args[0].is_meta:
            self.read += 1
            return torch.zeros_like(args[0], device="cpu") if name == "cpu" else 0.1
        on_host = any(not tensor.is_meta and tensor.dim() for tensor in tensors)
        if on_host and any(tensor.is_meta for tensor in tensors) and name not in MAY_MIX:
            raise RuntimeError(f"{name} mixes tensors of the host and of the device")
        result = function(*args, **(kwargs or {}))
        self.sent += name == "to" and on_host and result.is_meta
        return result


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    autocast, is_enabled = torch.autocast, torch.is_autocast_enabled
    # There is no autocast of its own for `meta`.
    monkeypatch.setattr(torch, "autocast", lambda _, *args, **kwargs: autocast("cpu", *args, **kwargs))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: is_enabled("cpu"))
    with Traffic() as counted:
        yield counted


def pack(
    kind: str,
    objective: str = "info_nce",
    *,
    metric: str = "accuracy",
    precision: Precision = "float32",
    **encoder: Any,
) -> Pack:
    rng = np.random.default_rng(0)
    shape = SHAPES[kind]
    mask = np.ones((ROWS, shape[0]), bool) if kind == "transformer" else None
    modalities = tuple(
        Modality(name=name, values=rng.normal(size=(ROWS, *shape)).astype(np.float32), mask=mask) for name in "ab"
    )
    target = (
        Target(values=rng.integers(0, 3, ROWS), kind="classes", n_classes=3)
        if metric == "accuracy"
        else Target(values=rng.normal(size=ROWS).astype(np.float32), kind="real", metric=metric)  # type: ignore[arg-type]
    )
    first, second = modalities
    data = PairData(
        dataset="toy", modalities=(first, second), targets=(target, target), split=(np.arange(ROWS) % 3).astype(np.int8)
    )
    replicas = tuple(
        ReplicaSpec(strength_1=strength, strength_2=1.0, seed=seed, temperature=0.1 * seed)
        for strength, seed in itertools.product((0.0, 1.0), (1, 2))
    )
    spec = PackSpec(
        dataset=DatasetSpec(name="toy"),
        pair=("a", "b"),
        encoders=(EncoderSpec(kind=kind, width=6, heads=2, patch=4, **encoder),) * 2,
        alignment=AlignmentSpec(objective=objective),
        training=TrainingSpec(epochs=4, batch_size=8, precision=precision),
        replicas=replicas,
    )
    return Pack(spec, data, device="meta")


@pytest.mark.parametrize(("kind", "objective"), [*itertools.product(BUILT_IN, ALIGNMENT_OBJECTIVES)])
def test_an_epoch_is_one_copy_to_the_device_and_no_read_of_it(kind: str, objective: str, traffic: Traffic) -> None:
    one = pack(kind, objective)
    one.train_epoch()
    read, sent = traffic.read, traffic.sent  # a temperature for each replica is looked at once

    for _ in range(2):
        one.train_epoch()

    assert traffic.read == read
    assert traffic.sent == sent + 2  # the order of the rows


@pytest.mark.parametrize("metric", ["accuracy", "sign_accuracy", "r2"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_whole_pack_runs_on_the_device(metric: str, precision: Precision, traffic: Traffic) -> None:
    one = pack("mlp", metric=metric, precision=precision, dropout=0.1)
    one.run()

    evaluated = traffic.read
    assert len(one.results()) == REPLICAS
    assert evaluated <= 12  # four points of the curve, the alignment metrics, the temperatures


@pytest.mark.usefixtures("traffic")
def test_a_checkpoint_goes_back_to_the_device() -> None:
    one, other = pack("transformer"), pack("transformer")
    one.run(2)
    other.load_state_dict(one.state_dict())
    other.run()

    assert other.done


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("kind", BUILT_IN)
def test_trained_encoders_are_whole_on_the_device(kind: str) -> None:
    one = pack(kind)
    for encoder in one.encoders(REPLICAS - 1):
        features, _ = encoder(torch.zeros(7, *SHAPES[kind], device="meta"))
        assert features.shape == (7, 6)
        assert {tensor.device.type for tensor in encoder.state_dict().values()} == {"meta"}
