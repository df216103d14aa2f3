"""Where the time of one training step of a pack goes, and what limits it.

The wall time is measured without the profiler; the shares are of the time inside operators, by the profiler. Two floors
stand beside it: the step's products at the rate of a large product on this machine, and its traffic (every operand of
every operator, once) at the rate of a large copy. What is above both is operators too small for either, and Python.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import torch
from pack_cases import CASES, Case, Traffic, copy_bandwidth, machine, medians, parser
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

GROUPS = {
    "products": ("bmm", "mm", "addmm", "baddbmm", "_scaled_dot_product"),
    "normalisation, softmax, loss": ("layer_norm", "softmax", "nll_loss", "linalg_vector_norm"),
    "gathers, copies": ("index", "copy_", "cat", "gather", "fill_", "zero_", "stack", "clone"),
    "sums, means": ("sum", "mean", "amax", "max"),
    "exp, log, sqrt, tanh": ("exp", "log", "sqrt", "tanh", "gelu"),
}


def group_of(operator: str) -> str:
    name = operator.removeprefix("aten::")
    for group, prefixes in GROUPS.items():
        if name.startswith(prefixes):
            return group
    return "other elementwise" if operator.startswith("aten::") else "autograd and hand-written backwards"


def main() -> None:
    arguments = parser(__doc__, repeats=15)
    arguments.add_argument("case", nargs="?", default="mlp64", choices=CASES)
    arguments.add_argument("--replicas", type=int, default=45)
    arguments.add_argument("--top", type=int, default=12, help="operators to list")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine(options.device)}; {CASES[options.case]}, K = {options.replicas}")
    report(CASES[options.case], options)


def report(case: Case, options: argparse.Namespace) -> None:
    device = options.device
    pack = case.pack(options.replicas, case.data(), device=device)
    steps = case.rows // case.batch_size
    wall = medians({"epoch": pack.train_epoch}, repeats=options.repeats, device=device)["epoch"] / steps
    with Traffic() as traffic:
        pack.train_epoch()
    with FlopCounterMode(display=False) as flops:
        pack.train_epoch()
    n_flops, n_bytes = flops.get_total_flops() / steps, traffic.bytes / steps
    by_products, by_traffic = n_flops / product_rate(device), n_bytes / copy_bandwidth(device)
    print(f"a step takes {1e3 * wall:.3f} ms, {1e6 * wall / options.replicas:.1f} µs per replica")
    print(f"  {traffic.operators / steps:.0f} operators")
    print(f"  {n_flops / 1e6:.1f} MFLOP of products: at the machine's rate {1e3 * by_products:.3f} ms")
    print(f"  {n_bytes / 1e6:.1f} MB of operands: at the rate of a large copy {1e3 * by_traffic:.3f} ms")

    gpu = device == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if gpu else [])
    with profile(activities=activities) as profiler:
        for _ in range(5):
            pack.train_epoch()
    times: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in profiler.key_averages():
        times[event.key] = event.self_device_time_total if gpu else event.self_cpu_time_total
        calls[event.key] = event.count
    total = sum(times.values())
    groups: dict[str, float] = defaultdict(float)
    for operator, microseconds in times.items():
        groups[group_of(operator)] += microseconds
    print(f"inside operators {total / (5e3 * steps):.3f} ms a step (with the profiler's own cost):")
    for group, microseconds in sorted(groups.items(), key=lambda item: -item[1]):
        print(f"  {microseconds / total:5.0%}  {group}")
    print(f"{'operator':>50}  share  calls/step  µs/call")
    for operator in sorted(times, key=lambda name: -times[name])[: options.top]:
        per_step = calls[operator] / (5 * steps)
        microseconds = times[operator] / calls[operator]
        print(f"{operator:>50}  {times[operator] / total:5.1%}  {per_step:10.1f}  {microseconds:7.1f}")


def product_rate(device: str) -> float:
    """Floating-point operations per second of a large product."""
    a, b = torch.rand(2, 1024, 1024, device=device)
    return 2 * 1024**3 / medians({"product": lambda: a @ b}, repeats=9, device=device)["product"]


if __name__ == "__main__":
    main()
