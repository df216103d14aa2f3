"""An `nn.Module` of the user's as an encoder of K replicas.

Its parameters lie in a pack's flat buffer as any encoder's. `torch.func` runs it for all replicas at once where that
gives what each of them gives alone (`trainables.networks.trial` tries it out); elsewhere they take their turns. Frozen
parts (`requires_grad=False`) are there once; buffers (running statistics) are each replica's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.code.calls import SourceError
from trainables.networks.draws import BySeed, Draws, InOrder, seeded
from trainables.networks.layers import Parameter, Parameters
from trainables.sources import Source
from trainables.spec import EncoderSpec, canonical_json

PREFIX = "module."  # of its parameters and buffers among those of a network


class ModuleError(ValueError):
    """A module that cannot be an encoder; one line says why, and what to do."""


class ModuleEncoder:
    """What `factory(shape, width, **options)` returns, for K replicas.

    `parameters` are those that are trained. The `state` of a replica is its buffers, and frozen parts that follow from
    the seed; a training step changes buffers in place.
    """

    head_activation = None

    def __init__(self, spec: EncoderSpec, shape: tuple[int, ...]) -> None:
        self.shape, self.width = shape, spec.width
        self.source = Source(spec.factory, spec.code)
        self._factory, self._options = self.source.load(), dict(spec.options)
        self.module = self.make(0)
        self._in_evaluation = [name for name, part in self.module.named_modules() if not part.training]
        self._trained = {name: p.shape for name, p in self.module.named_parameters() if p.requires_grad}
        self.parameters = tuple(
            Parameter(PREFIX + name, tuple(s), "constant", 0.0) for name, s in self._trained.items()
        )
        frozen = {name: p for name, p in self.module.named_parameters() if not p.requires_grad}
        other = dict(self.make(1).named_parameters()) if frozen else {}
        self._state = [name for name, p in frozen.items() if not torch.equal(p, other[name])]
        self._state += [name for name, _ in self.module.named_buffers()]
        self.in_lockstep, self.draws = False, True  # what is right for any module, until a trial has shown more

    @property
    def name(self) -> str:
        """The factory's."""
        return self.source.name

    @cached_property
    def size(self) -> int:
        """How many numbers of a replica are trained."""
        return sum(math.prod(shape) for shape in self._trained.values())

    def make(self, seed: int) -> nn.Module:
        """What the factory makes with all global generators at a seed, on the CPU, as training has it.

        Raises:
            ModuleError: it raises, or returns what cannot be trained.
        """
        with (
            unset_fake_temporarily(), torch.enable_grad(), seeded(seed),
            self.users_code("the factory"), self.source.importable(),
        ):  # fmt: skip
            module = self._factory(self.shape, self.width, **self._options)
        if not isinstance(module, nn.Module):
            raise ModuleError(f"{self.name} returns a {type(module).__name__}; return an nn.Module")
        for name, parameter in module.named_parameters():
            if isinstance(parameter, nn.UninitializedParameter):
                raise ModuleError(
                    f"{self.name}: {name} has no shape before the first batch; take it from `shape`, not a lazy layer"
                )
            if parameter.requires_grad and parameter.dtype != torch.float32:
                raise ModuleError(f"{self.name}: {name} is {_dtype(parameter)}; train in float32, or freeze it")
        return module.cpu()

    def draw(self, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """One replica's parameters (P,) and state, which follow from the seed.

        Raises:
            ModuleError: another seed makes other shapes.
        """
        module = self.make(seed)
        tensors = _tensors(module)
        trained = {name: p.shape for name, p in module.named_parameters() if p.requires_grad}
        if trained != self._trained or any(name not in tensors for name in self._state):
            raise ModuleError(f"{self.name} makes another architecture for another seed; make it follow from options")
        flat = torch.cat([torch.zeros(0), *(tensors[name].flatten() for name in self._trained)])
        return flat, {PREFIX + name: tensors[name].clone() for name in self._state}

    def solo(self, parameters: Parameters) -> nn.Module:
        """The module of one replica by itself, with `parameters` and state (without a replica axis) by name."""
        module = self.make(0)
        with torch.no_grad():
            for name, tensor in _tensors(module).items():
                if PREFIX + name in parameters:
                    tensor.copy_(parameters[PREFIX + name])
        return module.eval()

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: Callable[..., Any]) -> Tensor:
        """Features (K, N, width) of x (K, N, …); in training, which is where `dropout` is a `Draws`."""
        draws = dropout if isinstance(dropout, Draws) else None
        if not self.in_lockstep:
            return self.turns(parameters, x, mask, draws)
        if len(x) > 1:
            return self.lockstep(parameters, x, mask, draws)
        # One alone needs no vmap; but it draws what it would draw in company.
        with InOrder() if draws is not None and self.draws else nullcontext():
            return self.turns(parameters, x, mask, draws)

    def turns(self, parameters: Parameters, x: Tensor, mask: Tensor | None, draws: Draws | None) -> Tensor:
        """One replica after the other."""
        features = []
        with self._as_in(training=draws is not None):
            for k in range(len(x)):
                own, state = self._split({name: values[k] for name, values in parameters.items()})
                tensors = {**own, **state}
                given = (x[k],) if mask is None else (x[k], mask[k])
                if draws is not None and self.draws:
                    with draws.turn(k):
                        features.append(functional_call(self.module, tensors, given))
                else:
                    features.append(functional_call(self.module, tensors, given))
                if draws is not None:
                    _keep(state, tensors)
        return torch.stack(features)

    def lockstep(self, parameters: Parameters, x: Tensor, mask: Tensor | None, draws: Draws | None) -> Tensor:
        """All replicas at once; samples that are the same for all are not copied for each."""
        own, state = self._split(parameters)
        given = [values for values in (x, mask) if values is not None]
        shared = len(x) > 1 and all(values.stride(0) == 0 for values in given)

        def one(tensors: dict[str, Tensor], *samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            tensors = dict(tensors)
            features = functional_call(self.module, tensors, samples)
            return features, {name: tensors[name] for name in state} if draws is not None else {}

        call = vmap(one, in_dims=(0, *[None if shared else 0 for _ in given]), randomness="different")
        samples = [values[0] for values in given] if shared else given
        with self._as_in(training=draws is not None), _batched_attention(), _without_advice():
            if draws is not None and self.draws:
                with BySeed(draws):
                    features, after = call({**own, **state}, *samples)
            else:
                features, after = call({**own, **state}, *samples)
        if draws is not None:
            _keep(state, after)
        return features

    @contextmanager
    def users_code(self, what: str) -> Iterator[None]:
        """An error of the user's code becomes a `ModuleError`."""
        try:
            yield
        except (ModuleError, MemoryError, torch.OutOfMemoryError):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's code may raise anything
            raise ModuleError(f"{self.name}: {what} raised {self.source.told(error)}") from None

    def _split(self, parameters: Parameters) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What is trained, and the state, by the module's own names."""
        own = {name: parameters[PREFIX + name] for name in self._trained}
        return own, {name: parameters[PREFIX + name] for name in self._state}

    @contextmanager
    def _as_in(self, *, training: bool) -> Iterator[None]:
        """The module in training, but for parts that the factory has left in evaluation; or all in evaluation."""
        self.set_training(self.module, training)
        with torch.enable_grad() if training else torch.no_grad():
            yield

    def set_training(self, module: nn.Module, training: bool) -> None:
        """Put a module of this factory into training as the factory left it, or into evaluation."""
        module.train(training)
        if training:
            for name in self._in_evaluation:
                module.get_submodule(name).training = False


def module_encoder(spec: EncoderSpec, shape: tuple[int, ...]) -> ModuleEncoder:
    """The encoder of a spec for samples of `shape`; one object for as long as a process needs it again and again.

    Raises:
        ModuleError: the factory is not given, or does not make a module.
    """
    if not spec.factory or not spec.code:
        raise ModuleError("an encoder of kind module needs a factory; give factory: FILE.py:name")
    try:
        with unset_fake_temporarily():
            return _built(canonical_json(spec.to_json()), tuple(shape))
    except SourceError as error:
        raise ModuleError(str(error)) from None


@lru_cache(maxsize=8)
def _built(spec: str, shape: tuple[int, ...]) -> ModuleEncoder:
    return ModuleEncoder(EncoderSpec(**json.loads(spec)), shape)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {
        **{name: p.detach() for name, p in module.named_parameters()},
        **{name: b.detach() for name, b in module.named_buffers()},
    }


def _keep(state: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Write to the state what a forward pass has put in its place, rather than into it."""
    with torch.no_grad():
        for name, values in state.items():
            if after[name] is not values and after[name].data_ptr() != values.data_ptr():
                values.copy_(after[name])


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


@contextmanager
def _batched_attention() -> Iterator[None]:
    """Attention as products of matrices: vmap would run the fused kernels for one replica after the other."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without vmap's warnings that an operator of the user's would be faster otherwise."""
    warns: Callable[[bool], None] = torch._C._functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]
    warns(False)
    try:
        yield
    finally:
        warns(True)
