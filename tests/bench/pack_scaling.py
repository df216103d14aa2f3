"""How the time of a training step and the memory of a pack grow with replicas K, batch size N and training rows.

One axis varies at a time from K = 45, N = 64, 512 rows (MLP pair, width 12). `exponent` is the slope between neighbours
on logarithmic axes: 1 is proportional. Memory is the peak of all tensors while a pack trains an epoch and is scored:
predicted, and measured (on a GPU by its allocator, on a CPU by following every tensor).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import torch
from pack_cases import CASES, Case, machine, medians, parser

from trainables.training.memory import TensorMemory, predict_bytes
from trainables.training.pack import Pack

REPLICAS = (1, 5, 15, 45, 135, 405)
BATCH_SIZES = (32, 64, 128, 256, 512)
ROWS = (512, 2048, 8192, 32_768)


def main() -> None:
    options = parser(__doc__, repeats=5).parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine(options.device)}; {CASES['mlp64']}, K = 45, 512 rows where not varied")
    base = CASES["mlp64"]
    table("K", {k: (base, k) for k in REPLICAS}, options)
    table("N", {n: (replace(base, batch_size=n), 45) for n in BATCH_SIZES}, options)
    table("rows", {rows: (replace(base, rows=rows), 45) for rows in ROWS}, options)


def table(axis: str, points: dict[int, tuple[Case, int]], options: argparse.Namespace) -> None:
    columns = ("ms/step", "exponent", "µs/replica", "peak MB", "exponent", "predicted")
    print(f"\n{axis:>8}" + "".join(f"{column:>12}" for column in columns))
    previous: tuple[int, float, float] | None = None
    for value, (case, k) in points.items():
        data = case.data()
        pack = case.pack(k, data, device=options.device)
        steps = case.rows // case.batch_size
        epoch = medians({"epoch": pack.train_epoch}, repeats=options.repeats, device=options.device)["epoch"]
        del pack
        spec = case.spec(k, epochs=1, evaluations=1)
        step, peak = epoch / steps, measured_peak(spec, data, options.device)
        exponents = ["", ""]
        if previous is not None:
            ratio = math.log(value / previous[0])
            exponents = [
                f"{math.log(now / then) / ratio:.2f}" for now, then in ((step, previous[1]), (peak, previous[2]))
            ]
        previous = value, step, peak
        predicted = predict_bytes(spec, data, k) / peak
        cells = [f"{1e3 * step:.2f}", exponents[0], f"{1e6 * step / k:.1f}", f"{peak / 1e6:.1f}", exponents[1]]
        print(f"{value:>8}" + "".join(f"{cell:>12}" for cell in (*cells, f"{predicted:.0%}")), flush=True)


def measured_peak(spec, data, device: str) -> int:
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        Pack(spec, data, device=device).run()
        return torch.cuda.max_memory_allocated() - before
    with TensorMemory() as memory:
        Pack(spec, data).run()
    return memory.peak


if __name__ == "__main__":
    main()
