"""A trial of a user's module on two rows: whether it can be an encoder, and whether replicas of it run in lockstep.

Two modules as the factory makes them for two seeds do what they do in a plain loop: forward, backward, a step of
gradient descent, forward again, then an evaluation. The same is done with their parameters in turns, and at once under
`vmap`. What differs from the plain loop is not used.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

from trainables.code.tracebacks import first_line
from trainables.networks.draws import Draws, InOrder
from trainables.networks.layers import Layout
from trainables.networks.modules import PREFIX, ModuleEncoder, ModuleError, module_encoder
from trainables.networks.network import EncoderNetwork
from trainables.spec import EncoderSpec

_SEEDS = (1, 2)
_ROWS = 2
_STEP = 0.03  # length of the step, of the parameters' gradient as one vector
_TOLERANCE = 1e-2  # of a part's length: batch norm over two rows magnifies rounding, a real difference is far larger
Forward = Callable[[Tensor, Mapping[str, Tensor], Draws | None], Tensor]


@dataclass(frozen=True)
class Findings:
    """What a trial came to: `turns` says why replicas take turns (empty: they need not), `draws` whether a training
    step draws random numbers, `widest` how many numbers its largest tensor has for a sample.
    """

    turns: str
    draws: bool
    widest: int


@dataclass(frozen=True)
class _Outcome:
    features: Tensor
    gradient: Tensor
    again: Tensor  # features after the step
    evaluated: Tensor
    state: tuple[Tensor, ...]

    def like(self, other: _Outcome) -> bool:
        parts = ("features", "gradient", "again", "evaluated")
        own, theirs = ([*(getattr(o, part) for part in parts), *o.state] for o in (self, other))
        return all(_close(a, b) for a, b in zip(own, theirs, strict=True))


@lru_cache(maxsize=32)
def examine(encoder: ModuleEncoder, *, masked: bool, device: torch.device) -> Findings:
    """Try the encoder out, on a device.

    Raises:
        ModuleError: its output, its gradient or its use of a mask is not that of an encoder.
    """
    with unset_fake_temporarily(), torch.enable_grad():
        return _Trial(encoder, masked=masked, device=device).findings()


def prepared(network: EncoderNetwork, *, masked: bool, device: torch.device) -> EncoderNetwork:
    """The network, ready to be trained on a device: one with a module of the user's knows whether that is in lockstep.

    Raises:
        ModuleError: as `examine`.
    """
    if not isinstance(network.encoder, ModuleEncoder):
        return network
    findings = examine(network.encoder, masked=masked, device=device)
    network.encoder.module.to(device)
    encoder = copy.copy(network.encoder)
    encoder.in_lockstep, encoder.draws = not findings.turns, findings.draws
    return replace(network, encoder=encoder)


def turns(spec: EncoderSpec, shape: tuple[int, ...], *, masked: bool) -> str:
    """Why replicas of an encoder of the user's take turns on a CPU; empty of any other encoder.

    Raises:
        ModuleError: as `examine`.
    """
    if spec.kind != "module":
        return ""
    return examine(module_encoder(spec, shape), masked=masked, device=torch.device("cpu")).turns


class _Trial:
    def __init__(self, encoder: ModuleEncoder, *, masked: bool, device: torch.device) -> None:
        self._encoder, self._device, self._name = encoder, device, encoder.name
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(_ROWS, *encoder.shape, generator=generator)
        mask = None
        if masked:
            steps = encoder.shape[0]
            mask = torch.arange(steps) < torch.tensor([steps, max(1, steps // 2)])[:, None]
            x = x.masked_fill(~mask.view(*mask.shape, *[1] * (x.ndim - 2)), 0.0)
        self._x, self._mask = x.to(device), None if mask is None else mask.to(device)
        self._generator = generator
        self._layout = Layout(encoder.parameters)
        flats, states = zip(*(encoder.draw(seed) for seed in _SEEDS), strict=True)
        self._flat = torch.stack(flats).to(device)
        self._state = {name: torch.stack([state[name] for state in states]).to(device) for name in states[0]}
        self._widest = 0
        self._drew = False

    def findings(self) -> Findings:
        encoder = self._encoder
        self._check_start()
        plain = self._run_plainly()
        if not self._run_plainly().like(plain):
            raise ModuleError(
                f"{self._name}: the same training step comes to something else the second time; draw random numbers by "
                "torch alone, and keep what changes in buffers"
            )
        self._check_gradient(plain)
        if self._mask is not None:
            self._check_mask()
        encoder.module.to(self._device)
        with encoder.users_code("the module, called by torch.func.functional_call,"):
            turns = self._run(self._functional(encoder.turns))
        if not turns.like(plain):
            raise ModuleError(
                f"{self._name}: what it computes does not follow from its parameters and buffers alone; register what "
                "it keeps, and derive nothing from a weight before forward"
            )
        if self._drew:
            with InOrder():
                turns = self._run(self._functional(encoder.turns))
        try:
            lockstep = self._run(self._functional(encoder.lockstep))
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever vmap and the module say to one another
            why = f"torch's vmap refuses it ({first_line(error).rstrip('.')})"
        else:
            why = "" if lockstep.like(turns) else "in lockstep it computes something else"
        return Findings(turns=why, draws=self._drew, widest=max(self._widest, encoder.width))

    def _run_plainly(self) -> _Outcome:
        """As a loop without packs does it: the modules themselves."""
        modules = [self._encoder.make(seed).to(self._device) for seed in _SEEDS]
        states = [{PREFIX + name: t for name, t in (*m.named_parameters(), *m.named_buffers())} for m in modules]
        first = True

        def forward(flat: Tensor, state: Mapping[str, Tensor], draws: Draws | None) -> Tensor:
            nonlocal first
            features = []
            for k, (module, own) in enumerate(zip(modules, states, strict=True)):
                if not first:
                    with torch.no_grad():
                        for name, values in self._layout.split(flat).items():
                            own[name].copy_(values[k])
                self._encoder.set_training(module, draws is not None)
                features.append(self._called(module, k, draws))
                for name in state:
                    state[name][k].copy_(own[name].detach())
            first = False
            return torch.stack(features)

        def gradient(out: Tensor) -> Tensor:
            return torch.stack([
                torch.cat([torch.zeros(0, device=self._device), *(
                    torch.zeros_like(states[k][p.name]).flatten() if g is None else g.flatten()
                    for p, g in zip(self._encoder.parameters, _gradients(
                        _loss(out[k]), [states[k][p.name] for p in self._encoder.parameters]), strict=True)
                )]) for k in range(len(modules))
            ])  # fmt: skip

        with self._encoder.users_code("the module"):
            return self._run(forward, gradient)

    def _called(self, module: torch.nn.Module, replica: int, draws: Draws | None) -> Tensor:
        given = [self._x] if self._mask is None else [self._x, self._mask]
        if self._mask is not None and not _takes(module, 2):
            raise ModuleError(
                f"{self._name}: its forward takes no mask, and the data have one; give it a second argument, (N, T) "
                "and true at real steps"
            )

        def packed(tensor: Tensor) -> Tensor:
            self._widest = max(self._widest, tensor.numel() // _ROWS if tensor.ndim and len(tensor) == _ROWS else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
            if draws is None:
                with torch.no_grad():
                    out = module(*given)
            else:
                with draws.turn(replica):
                    before = [_generator_state(self._device), torch.get_rng_state()]
                    out = module(*given)
                    after = [_generator_state(self._device), torch.get_rng_state()]
                    self._drew |= any(not torch.equal(b, a) for b, a in zip(before, after, strict=True))
        width = self._encoder.width
        if not isinstance(out, Tensor):
            raise ModuleError(f"{self._name}: its forward returns a {type(out).__name__}; return features (N, {width})")
        if out.shape != (_ROWS, width):
            raise ModuleError(
                f"{self._name}: of samples {(_ROWS, *self._encoder.shape)} it makes {tuple(out.shape)}, not "
                f"(N, width) = {(_ROWS, width)}; `width` is its second argument"
            )
        if not out.dtype.is_floating_point:
            raise ModuleError(f"{self._name}: its features are {out.dtype}; return floating-point numbers")
        return out.float()

    def _functional(self, way: Callable[..., Tensor]) -> Forward:
        def forward(flat: Tensor, state: Mapping[str, Tensor], draws: Draws | None) -> Tensor:
            x = self._x.expand(len(_SEEDS), *self._x.shape)
            mask = None if self._mask is None else self._mask.expand(len(_SEEDS), *self._mask.shape)
            if draws is not None:  # as in training, where replicas of other seeds have other samples
                x, mask = x.clone(), None if mask is None else mask.clone()
            return way({**self._layout.split(flat), **state}, x, mask, draws).float()

        return forward

    def _run(self, forward: Forward, gradient: Callable[[Tensor], Tensor] | None = None) -> _Outcome:
        flat = self._flat.clone().requires_grad_()
        state = {name: values.clone() for name, values in self._state.items()}
        draws = Draws(_SEEDS, range(len(_SEEDS)), device=self._device)
        features = forward(flat, state, draws)
        if gradient is None:
            (found,) = _gradients(_loss(features), [flat])
            slope = torch.zeros_like(flat) if found is None else found
        else:
            slope = gradient(features)
        step = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-12)
        stepped = (flat - _STEP * step).detach().requires_grad_()
        again = forward(stepped, state, draws).detach()
        evaluated = forward(stepped, state, None).detach()
        return _Outcome(features.detach(), slope, again, evaluated, tuple(state.values()))

    def _check_start(self) -> None:
        for seed, flat in zip(_SEEDS, self._flat, strict=True):
            if not torch.equal(self._encoder.draw(seed)[0].to(self._device), flat):
                raise ModuleError(
                    f"{self._name}: its initial weights do not follow from the seed; draw them by torch's, NumPy's or "
                    "Python's own generators, without a seed of yours"
                )

    def _check_gradient(self, plain: _Outcome) -> None:
        if self._encoder.size and not plain.gradient.any():
            raise ModuleError(f"{self._name}: no gradient reaches its parameters; do not detach its features")

    def _check_mask(self) -> None:
        """Padding may neither matter as a value does, nor may a module overlook the mask."""
        assert self._mask is not None
        module = self._encoder.make(_SEEDS[0]).to(self._device).eval()
        hidden = ~self._mask.view(*self._mask.shape, *[1] * (self._x.ndim - 2))
        other = self._x + hidden * torch.randn(self._x.shape, generator=self._generator).to(self._device)
        with torch.no_grad(), self._encoder.users_code("the module"):
            masked, unmasked = module(self._x, self._mask), module(self._x, torch.ones_like(self._mask))
            padded = module(other, self._mask)
        if self._mask.shape[1] > 1 and torch.equal(masked, unmasked) and not _close(padded, masked):
            raise ModuleError(
                f"{self._name}: its forward takes the mask and does not use it; leave padded steps out, or set them to "
                "0 by it"
            )


def _loss(features: Tensor) -> Tensor:
    """A number that depends on all features, with a slope that no norm takes away."""
    weights = torch.linspace(-1.0, 2.0, features.shape[-1] * _ROWS, device=features.device)
    return (features * weights.view(_ROWS, -1)).sum() + 0.1 * features.square().sum()


def _gradients(loss: Tensor, of: list[Tensor]) -> tuple[Tensor | None, ...]:
    if not of or not loss.requires_grad:
        return (None,) * len(of)
    return torch.autograd.grad(loss, of, allow_unused=True, retain_graph=True)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    one, other = one.double(), other.double()
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    one, other = one.nan_to_num(0.0, 0.0, 0.0), other.nan_to_num(0.0, 0.0, 0.0)
    return bool((one - other).norm() <= _TOLERANCE * other.norm() + 1e-6)


def _generator_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def _takes(module: torch.nn.Module, count: int) -> bool:
    """Whether a module's forward can be given so many arguments."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
