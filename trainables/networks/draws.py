"""Random numbers that a module of the user's draws from torch's own generators, by seed.

What a replica draws depends on its seed alone: while it is its turn, torch's generator is the replica's; in lockstep
each random operator runs once for each seed (`BySeed`), on what a replica alone would have given it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from trainables.networks.layers import Dropout

# Of their tensor they read the shape alone, so that all replicas of a seed get the same numbers.
_OF_SHAPE = {"bernoulli_.float", "uniform_", "normal_", "exponential_", "cauchy_", "log_normal_", "geometric_",
             "random_", "random_.from", "random_.to", "rand_like", "randn_like", "randint_like"}  # fmt: skip


class Draws(Dropout):
    """The generators of K replicas, `of_replica` being which of the `seeds` each has; on a GPU two each."""

    def __init__(self, seeds: Sequence[int], of_replica: Sequence[int], *, device: torch.device) -> None:
        super().__init__(0.0, [], torch.empty(0))
        self.of_replica = list(of_replica)
        devices = [torch.device("cpu"), *([device] if device.type == "cuda" else [])]
        self._own = [[torch.Generator(d).manual_seed(seeds[s]) for d in devices] for s in self.of_replica]
        self._first = [self.of_replica.index(s) for s in range(len(seeds)) if s in self.of_replica]

    @contextmanager
    def turn(self, replica: int) -> Iterator[None]:
        """Torch's generators are those of this replica, which go on from where its last turn ended."""
        with _as_default(self._own[replica]):
            yield

    def once_for_each_seed(self, draw: Callable[[int], Any]) -> list[Any]:
        """What `draw` of one replica of each seed returns, for each replica."""
        drawn = {}
        for replica in self._first:
            with self.turn(replica):
                drawn[self.of_replica[replica]] = draw(replica)
        return [drawn[seed] for seed in self.of_replica]

    def for_each_replica(self, draw: Callable[[int], Any]) -> list[Any]:
        """What `draw` of each replica returns, all those of a seed beginning alike."""
        before = {r: [g.get_state() for g in self._own[r]] for r in self._first}
        start = {self.of_replica[r]: states for r, states in before.items()}
        drawn = []
        for replica, seed in enumerate(self.of_replica):
            if replica not in before:
                for generator, state in zip(self._own[replica], start[seed], strict=True):
                    generator.set_state(state)
            with self.turn(replica):
                drawn.append(draw(replica))
        return drawn


class InOrder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Random operators fill tensors in the order of their elements, as `BySeed` has them do, not in that of memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """See `trainables.training.memory.TensorMemory`."""
        return False

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        drawn = func(*_contiguous(args, func), **_contiguous(kwargs or {}))
        return args[0].copy_(drawn) if func._schema.is_mutable else drawn


class BySeed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While vmap runs K replicas at once with `randomness="different"`: random operators draw for each seed."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._draws = draws

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """See `trainables.training.memory.TensorMemory`."""
        return False

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        name, n_replicas = func.__name__.removesuffix(".default"), len(self._draws.of_replica)
        if name == "dropout":
            raise NotImplementedError("dropout as a whole")
        sizes = [a.name for a in func._schema.arguments].index("size") if _has_size(func) else None

        def check(tensor: Any) -> None:
            if isinstance(tensor, Tensor) and (tensor.ndim == 0 or len(tensor) != n_replicas):
                raise NotImplementedError(f"{func} draws for all replicas at once")

        def of(replica: int) -> Any:
            def part(value: Any) -> Any:
                return value[replica] if isinstance(value, Tensor) else value

            own = list(tree_map(part, args))
            if sizes is not None:
                own[sizes] = args[sizes][1:]
            return func(*_contiguous(own, func), **_contiguous(tree_map(part, kwargs)))

        tree_map(check, (args, kwargs))
        others = any(isinstance(value, Tensor) for value in (*args[1:], *kwargs.values()))
        alike = sizes is not None or (name in _OF_SHAPE and not others)
        drawn = self._draws.once_for_each_seed(of) if alike else self._draws.for_each_replica(of)
        if func._schema.is_mutable:
            return args[0].copy_(torch.stack(drawn))
        if isinstance(drawn[0], tuple):
            return tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))
        return torch.stack(drawn)


def _contiguous(arguments: Any, func: Any = None) -> Any:
    """The same, in order in memory; what an operator writes to is new."""
    ordered = tree_map(lambda v: v.contiguous() if isinstance(v, Tensor) else v, arguments)
    if func is not None and func._schema.is_mutable:
        return [torch.empty_like(ordered[0]), *ordered[1:]]
    return ordered


def _has_size(func: Any) -> bool:
    return any(argument.name == "size" for argument in func._schema.arguments)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All global generators (torch's, NumPy's, Python's) begin from a seed, and are afterwards what they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        with _as_default([torch.Generator(device).manual_seed(seed) for device in _devices()]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _devices() -> list[torch.device]:
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    return [torch.device("cpu"), *(torch.device("cuda", index) for index in gpus)]


@contextmanager
def _as_default(generators: Sequence[torch.Generator]) -> Iterator[None]:
    """The defaults of these generators' devices go on in their place."""
    defaults = [_default(generator.device) for generator in generators]
    before = [default.get_state() for default in defaults]
    for default, generator in zip(defaults, generators, strict=True):
        default.set_state(generator.get_state())
    try:
        yield
    finally:
        for default, generator, state in zip(defaults, generators, before, strict=True):
            generator.set_state(default.get_state())
            default.set_state(state)


def _default(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
