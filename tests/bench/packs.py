"""Packs of K replicas against one plain nn.Module training at a time, in turns in one process.

A training is so many epochs of the pair; nothing is evaluated on either side. `plain` uses torch.optim.AdamW as it
comes, `fused` with fused=True. The K = 1 column says how a solo training compares (above 1: faster than plain).
"""

from __future__ import annotations

import argparse

import torch
from pack_cases import CASES, Case, PlainTraining, Traffic, copy_bandwidth, machine, medians, parser

SIZES = {"mlp64": (1, 8, 45, 180), "mlp512": (1, 8, 45), "transformer": (1, 4, 9)}
GPU_SIZES = {"mlp64": (1, 45, 450, 1800), "mlp512": (1, 45, 450), "transformer": (1, 45, 180)}
EPOCHS = {"mlp64": 5, "mlp512": 20, "transformer": 1}  # of one timed run


def main() -> None:
    arguments = parser(__doc__, repeats=7)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    arguments.add_argument("--epochs", type=int, default=100, help="of the training that is quoted (default: 100)")
    arguments.add_argument("--precision", default="float32", choices=("float32", "tf32", "bf16"), help="of the packs")
    options = arguments.parse_args()
    if unknown := set(options.cases) - set(CASES):
        arguments.error(f"unknown case {', '.join(sorted(unknown))}; known are {', '.join(CASES)}")
    torch.set_num_threads(options.threads)
    gpu = options.device == "cuda"
    print(f"{machine(options.device)}; trainings of {options.epochs} epochs, medians of {options.repeats} turns")
    bandwidth = copy_bandwidth(options.device)
    print(f"a large copy moves {bandwidth / 1e9:.1f} GB/s")
    for name in options.cases or CASES:
        bench(CASES[name], (GPU_SIZES if gpu else SIZES)[name], EPOCHS[name], bandwidth, options)


def bench(case: Case, sizes: tuple[int, ...], epochs: int, bandwidth: float, options: argparse.Namespace) -> None:
    data, device = case.data(), options.device
    plain = {name: PlainTraining(case, data, device=device, fused=name == "fused") for name in ("plain", "fused")}
    packs = {k: case.pack(k, data, device=device, precision=options.precision) for k in sizes}

    def repeatedly(training):
        def run():
            for _ in range(epochs):
                training.train_epoch()

        return run

    runs = {name: repeatedly(training) for name, training in (plain | packs).items()}
    seconds = medians(runs, repeats=options.repeats, device=device)
    steps = epochs * (case.rows // case.batch_size)
    print(f"\n{case}, {case.rows} rows, inputs {case.shape}")
    columns = ("ms/step", "trainings/s", "× plain", "× fused", "copy limit")
    print(f"{'':>10}" + "".join(f"{column:>13}" for column in columns))
    for name, value in seconds.items():
        n_replicas = name if isinstance(name, int) else 1
        rate = n_replicas / (value / epochs * options.epochs)
        cells = [f"{1e3 * value / steps:.2f}", f"{rate:.2f}"]
        cells += [f"{n_replicas * seconds[other] / value:.1f}" for other in plain]
        if name in packs:
            with Traffic() as traffic:
                packs[name].train_epoch()
            cells.append(f"{traffic.bytes * epochs / value / bandwidth:.0%}")
        label = f"K = {name}" if name in packs else str(name)
        print(f"{label:>10}" + "".join(f"{cell:>13}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
