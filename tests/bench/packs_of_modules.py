"""Packs of a user's modules against one plain training of the same module at a time, in turns in one process.

`--turns` lets the replicas take turns where they could train in lockstep, which tells what lockstep is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from module_factories import cnn, gru, mlp, transformer
from pack_cases import Case, PlainTraining, machine, medians, parser
from torch import Tensor, nn

from trainables.networks.modules import ModuleEncoder
from trainables.sources import Source
from trainables.spec import EncoderSpec

FACTORIES = {"mlp": mlp, "cnn": cnn, "gru": gru, "transformer": transformer}


@dataclass(frozen=True)
class ModuleCase(Case):
    """A pair of modules of the user's; `kind` is the factory's name."""

    options: Mapping[str, object] = field(default_factory=dict)

    def encoder(self) -> EncoderSpec:
        source = Source.of_file(f"{Path(__file__).with_name('module_factories.py')}:{self.kind}")
        return EncoderSpec(kind="module", width=self.width, factory=source.name, code=source.text, options=self.options)

    def plain(self) -> nn.Module:
        return WithHead(FACTORIES[self.kind](self.shape, self.width, **self.options), self.width, self.classes)


class WithHead(nn.Module):
    """The module and its task head."""

    def __init__(self, module: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.module, self.head = module, nn.Linear(width, classes)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        features = self.module(x) if mask is None else self.module(x, mask)
        return features, self.head(features)


CASES = {
    "MLP, width 12, batch 64": ModuleCase(kind="mlp", width=12, batch_size=64),
    "CNN with GroupNorm, 16 × 16, batch 64": ModuleCase(kind="cnn", width=32, batch_size=64, rows=256, shape=(16, 16)),
    "CNN with BatchNorm, 16 × 16, batch 64": ModuleCase(
        kind="cnn", width=32, batch_size=64, rows=256, shape=(16, 16), options={"norm": "batch"}
    ),
    "CNN with BatchNorm, 8 × 8, batch 16": ModuleCase(
        kind="cnn", width=16, batch_size=16, rows=128, shape=(8, 8), options={"norm": "batch"}
    ),
    "GRU, width 32, 20 steps, batch 64": ModuleCase(kind="gru", width=32, batch_size=64, rows=256, shape=(20, 8)),
    "transformer, width 32, 20 steps, batch 64": ModuleCase(
        kind="transformer", width=32, batch_size=64, rows=256, shape=(20, 8)
    ),
    "the same transformer with dropout 0.1": ModuleCase(
        kind="transformer", width=32, batch_size=64, rows=256, shape=(20, 8), options={"dropout": 0.1}
    ),
    "transformer, width 16, 8 steps, batch 16": ModuleCase(
        kind="transformer", width=16, batch_size=16, rows=128, shape=(8, 8)
    ),
}


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help="words that the names of the cases have; all")
    arguments.add_argument("--sizes", type=int, nargs="+", default=(1, 8, 45), help="replicas (default: 1 8 45)")
    arguments.add_argument("--turns", action="store_true", help="let replicas take turns")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine(options.device)}; trainings of the pair, medians of {options.repeats} turns\n")
    print("| pair of | plain, ms a step | " + " | ".join(f"K = {k}" for k in options.sizes) + " | how |")
    print("|---|---|" + "---|" * (len(options.sizes) + 1))
    for name, case in CASES.items():
        if options.cases and not any(word in name for word in options.cases):
            continue
        data = case.data()
        packs = {k: case.pack(k, data, device=options.device) for k in options.sizes}
        encoders = [network.encoder for pack in packs.values() for network in pack._networks]
        for encoder in encoders:
            assert isinstance(encoder, ModuleEncoder)
            encoder.in_lockstep &= not options.turns
        plain = PlainTraining(case, data, device=options.device, fused=False)
        runs = {"plain": plain.train_epoch, **{k: pack.train_epoch for k, pack in packs.items()}}
        seconds = medians(runs, repeats=options.repeats, device=options.device)
        steps = case.rows // case.batch_size
        cells = [f"{k * seconds['plain'] / seconds[k]:.1f}×" for k in options.sizes]
        how = "lockstep" if encoders[0].in_lockstep else "turns"
        print(f"| {name} | {1e3 * seconds['plain'] / steps:.2f} | {' | '.join(cells)} | {how} |", flush=True)


if __name__ == "__main__":
    main()
