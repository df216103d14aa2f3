"""Fused symmetric InfoNCE against the plain form, forward and backward, side by side in one process.

The plain form is two cross-entropies, over the similarity matrix and its transpose: once for all replicas in one
batched call, once replica by replica (which keeps a replica's matrix in the cache, but starts K times the kernels).
Every figure is the median of runs that take turns. On a GPU the absolute time comes with the share of the memory
bandwidth (that of a large copy, measured here) that the traffic of the fused form uses: eleven passes over (K, N, N).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from trainables.objectives.alignment import info_nce, symmetric_info_nce

SHAPES = ((35, 256, 12), (8, 512, 64), (1, 64, 12), (45, 64, 12))
GPU_SHAPES = (*SHAPES, (45, 512, 128), (256, 1024, 64))
# Write the similarities; exponentiate (2); two sums; write 1/r + 1/c; multiply (3); read for both gradients.
PASSES = 11


def batched_plain(z_1: Tensor, z_2: Tensor, temperature: float) -> Tensor:
    n_replicas, n, _ = z_1.shape
    labels = torch.arange(n, device=z_1.device).repeat(n_replicas)
    logits = torch.bmm(z_1, z_2.mT) / temperature
    rows = functional.cross_entropy(logits.reshape(-1, n), labels, reduction="none")
    columns = functional.cross_entropy(logits.mT.reshape(-1, n), labels, reduction="none")
    return ((rows + columns) / 2).view(n_replicas, n).mean(1)


def looped_plain(z_1: Tensor, z_2: Tensor, temperature: float) -> Tensor:
    labels = torch.arange(z_1.shape[1], device=z_1.device)
    losses = []
    for first, second in zip(z_1, z_2, strict=True):
        logits = first @ second.T / temperature
        losses.append((functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2)
    return torch.stack(losses)


def normalised_plain(z_1: Tensor, z_2: Tensor, temperature: float) -> Tensor:
    return batched_plain(functional.normalize(z_1, dim=-1), functional.normalize(z_2, dim=-1), temperature)


def one_sided(z_1: Tensor, z_2: Tensor, temperature: float) -> Tensor:
    return symmetric_info_nce(z_1, z_2, temperature, direction="to_1")


def step(loss: Callable[[Tensor, Tensor, float], Tensor], z_1: Tensor, z_2: Tensor, tau: float) -> tuple[Tensor, ...]:
    value = loss(z_1, z_2, tau)
    return value.detach(), *torch.autograd.grad(value.sum(), (z_1, z_2), allow_unused=True)


def medians(runs: Mapping[str, Callable[[], object]], *, repeats: int, wait: Callable[[], None]) -> dict[str, float]:
    """Seconds of each, the runs taking turns in an order that moves on by one each time."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for repeat in range(repeats + 1):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            runs[name]()
            wait()
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def error(loss: Callable[[Tensor, Tensor, float], Tensor], z_1: Tensor, z_2: Tensor, tau: float) -> float:
    """Largest difference of value and gradients to the plain form in float64, over its largest entry."""
    exact_1, exact_2 = (z.detach().double().requires_grad_() for z in (z_1, z_2))
    exact = step(batched_plain, exact_1, exact_2, tau)
    parts = zip(step(loss, z_1, z_2, tau), exact, strict=True)
    return max(float((mine - theirs).abs().max() / theirs.abs().max()) for mine, theirs in parts)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second, reads and writes together, of copying 1 GiB."""
    source = torch.zeros(2**28, device=device)
    target = torch.empty_like(source)
    runs = {"copy": lambda: target.copy_(source)}
    return 2 * source.nbytes / medians(runs, repeats=9, wait=torch.cuda.synchronize)["copy"]


def bench(device: torch.device, shape: tuple[int, int, int], tau: float, repeats: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    raw_1, raw_2 = (torch.randn(shape, generator=generator).to(device).requires_grad_() for _ in range(2))
    z_1, z_2 = (functional.normalize(z.detach(), dim=-1).requires_grad_() for z in (raw_1, raw_2))
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    repeats *= 20 if shape[0] * shape[1] ** 2 < 10**6 else 1
    runs = {
        "plain": lambda: step(batched_plain, z_1, z_2, tau),
        "loop": lambda: step(looped_plain, z_1, z_2, tau),
        "fused": lambda: step(symmetric_info_nce, z_1, z_2, tau),
        "one-sided": lambda: step(one_sided, z_1, z_2, tau),
        "small τ": lambda: step(symmetric_info_nce, z_1, z_2, 0.01),
        "plain with norm": lambda: step(normalised_plain, raw_1, raw_2, tau),
        "fused with norm": lambda: step(info_nce, raw_1, raw_2, tau),
    }
    result = medians(runs, repeats=repeats, wait=wait)
    result["error"] = error(symmetric_info_nce, z_1, z_2, tau)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--repeats", type=int, default=9, help="runs per figure, at least 5; small shapes get 20 times")
    parser.add_argument("--temperature", type=float, default=0.1)
    options = parser.parse_args()
    if options.repeats < 5:
        parser.error(f"--repeats is {options.repeats}; give at least 5")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else f"CPU, {options.threads} thread(s)"
    print(f"{name}, torch {torch.__version__}, float32, τ = {options.temperature}; forward and backward")
    bandwidth = copy_bandwidth(device) if gpu else 0.0
    if gpu:
        print(f"copy bandwidth {bandwidth / 1e12:.2f} TB/s")
    columns = ("fused ms", "× plain", "× loop", "one-sided", "small τ", "with norm", "rel. error")
    print(f"{'(K, N, D)':>16}" + "".join(f"{column:>12}" for column in columns) + ("   bandwidth" if gpu else ""))
    for shape in GPU_SHAPES if gpu else SHAPES:
        s = bench(device, shape, options.temperature, options.repeats)
        cells = [
            f"{1e3 * s['fused']:.3f}",
            f"{s['plain'] / s['fused']:.2f}",
            f"{s['loop'] / s['fused']:.2f}",
            f"{s['plain'] / s['one-sided']:.2f}",
            f"{s['plain'] / s['small τ']:.2f}",
            f"{s['plain with norm'] / s['fused with norm']:.2f}",
            f"{s['error']:.1e}",
        ]
        if gpu:
            traffic = PASSES * 4 * shape[0] * shape[1] ** 2
            cells.append(f"{traffic / s['fused'] / bandwidth:.0%}")
        print(f"{shape!s:>16}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    print("columns from × plain on: how many times as fast as the plain form (one-sided, small τ: as the batched one)")


if __name__ == "__main__":
    main()
