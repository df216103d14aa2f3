"""What the pack benches share: encoder pairs, the same pairs in plain torch, options, and timing in turns."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.datasets.base import Modality, PairData, Target
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

SEEDS = 5  # as in a study: K replicas are strengths × 5 seeds
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Case:
    """A pair of encoders on noise: what is timed does not depend on what there is to learn."""

    kind: str
    width: int
    batch_size: int
    rows: int = 512
    shape: tuple[int, ...] = (12,)
    heads: int = 1
    classes: int = 4

    def __str__(self) -> str:
        return f"{self.kind}, width {self.width}, batch {self.batch_size}"

    def encoder(self) -> EncoderSpec:
        return EncoderSpec(kind=self.kind, layers=2, width=self.width, heads=self.heads)

    def plain(self) -> nn.Module:
        """The same in plain torch, with its task head."""
        return PlainEncoder(self)

    def data(self) -> PairData:
        rng = np.random.default_rng(0)
        rows = 2 * self.rows  # as many to score on
        mask = None
        if self.kind == "transformer":
            mask = np.arange(self.shape[0]) < rng.integers(1, self.shape[0] + 1, rows)[:, None]
        modalities = tuple(
            Modality(name=name, values=rng.normal(size=(rows, *self.shape)).astype(np.float32), mask=mask)
            for name in ("first", "second")
        )
        target = Target(values=rng.integers(0, self.classes, rows), kind="classes", n_classes=self.classes)
        split = (np.arange(rows) >= self.rows).astype(np.int8)
        return PairData(dataset="noise", modalities=modalities, targets=(target, target), split=split)

    def spec(self, n_replicas: int, *, epochs: int, evaluations: int, precision: str = "float32") -> PackSpec:
        encoder = self.encoder()
        replicas = tuple(
            ReplicaSpec(
                strength_1=0.25 * (1 + k // SEEDS),
                strength_2=0.25 * (1 + k // SEEDS),
                seed=k % SEEDS,
                learning_rate=5e-3,
                temperature=TEMPERATURE,
            )
            for k in range(n_replicas)
        )
        return PackSpec(
            dataset=DatasetSpec(name="noise"),
            pair=("first", "second"),
            encoders=(encoder, encoder),
            alignment=AlignmentSpec(),
            training=TrainingSpec(
                epochs=epochs, batch_size=self.batch_size, evaluations=evaluations, precision=precision
            ),
            replicas=replicas,
        )

    def pack(self, n_replicas: int, data: PairData, *, device: str, precision: str = "float32") -> Pack:
        """A pack that neither ends nor evaluates while it is timed."""
        return Pack(self.spec(n_replicas, epochs=10**6, evaluations=1, precision=precision), data, device=device)


CASES = {
    "mlp64": Case(kind="mlp", width=12, batch_size=64),
    "mlp512": Case(kind="mlp", width=12, batch_size=512),
    "transformer": Case(kind="transformer", width=40, batch_size=64, rows=128, shape=(50, 35), heads=5),
}


class PlainEncoder(nn.Module):
    """The same encoder as anyone would write it with torch.nn."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.is_sequence = case.kind == "transformer"
        n_in, width = case.shape[-1], case.width
        self.embed = nn.Linear(n_in, width)
        if self.is_sequence:
            self.positions = nn.Parameter(torch.randn(case.shape[0], width))
            layer = nn.TransformerEncoderLayer(width, case.heads, width, dropout=0.0, batch_first=True)
            self.body: nn.Module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        else:
            self.body = nn.Linear(width, width)
        self.head = nn.Linear(width, case.classes)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        if mask is None:
            features = self.body(self.embed(x).relu())
            return features, self.head(features.relu())
        tokens = self.body(self.embed(x) + self.positions, src_key_padding_mask=~mask)
        features = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return features, self.head(features)


class PlainTraining:
    """One training of a pair: nn.Module, torch.optim.AdamW, two cross-entropies for InfoNCE, data on the device."""

    def __init__(self, case: Case, data: PairData, *, device: str, fused: bool) -> None:
        torch.manual_seed(0)
        self.case, self.device = case, device
        rows = data.rows("train")
        self.x = [torch.from_numpy(m.values[rows]).to(device) for m in data.modalities]
        self.masks = [None if m.mask is None else torch.from_numpy(m.mask[rows]).to(device) for m in data.modalities]
        self.y = torch.from_numpy(data.targets[0].values[rows]).to(device)
        self.encoders = [case.plain().to(device) for _ in range(2)]
        self.optimisers = [
            torch.optim.AdamW(e.parameters(), lr=5e-3, weight_decay=1e-2, fused=fused or None) for e in self.encoders
        ]

    def train_epoch(self) -> None:
        batch_size = self.case.batch_size
        order = torch.randperm(len(self.y)).to(self.device)
        for index in order[: len(order) // batch_size * batch_size].split(batch_size):
            y, features, loss = self.y[index], [], torch.zeros((), device=self.device)
            for encoder, x, mask in zip(self.encoders, self.x, self.masks, strict=True):
                z, out = encoder(x[index], None if mask is None else mask[index])
                features.append(functional.normalize(z, dim=-1))
                loss = loss + functional.cross_entropy(out, y)
            similarities = features[0] @ features[1].T / TEMPERATURE
            labels = torch.arange(batch_size, device=self.device)
            rows, columns = (functional.cross_entropy(s, labels) for s in (similarities, similarities.T))
            loss = loss + 0.5 * (rows + columns) / 2
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            loss.backward()
            for encoder in self.encoders:
                nn.utils.clip_grad_norm_(encoder.parameters(), 8.0)
            for optimiser in self.optimisers:
                optimiser.step()


class Traffic(TorchDispatchMode):
    """Counts the bytes that operators read and write, each operand once, views not at all; and the operators."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.operators = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operators += 1
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.bytes += sum({t.data_ptr(): t.nbytes for t in tensors}.values())
        return out


def parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The options of every pack bench; `repeats` is the default number of timed turns."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1, as a study's workers)")
    options.add_argument(
        "--repeats", type=_at_least_5, default=repeats, help=f"timed turns per figure, at least 5 (default: {repeats})"
    )
    return options


def _at_least_5(text: str) -> int:
    if (value := int(text)) < 5:
        raise argparse.ArgumentTypeError(f"{value} turns tell too little; give at least 5")
    return value


def copy_bandwidth(device: str) -> float:
    """Bytes per second, reads and writes together, of a large copy."""
    source = torch.zeros(2**28 if device == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    seconds = medians({"copy": lambda: target.copy_(source)}, repeats=5, device=device)["copy"]
    return 2 * source.nbytes / seconds


def medians(runs: Mapping[str, Callable[[], object]], *, repeats: int, device: str) -> dict[str, float]:
    """Seconds of each, the runs taking turns, the first turn warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            synchronise(device)
            start = time.perf_counter()
            run()
            synchronise(device)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    return f"{name}, torch {torch.__version__}"
