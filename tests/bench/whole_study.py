"""A whole study of 45 small trainings against the plain way: one Ray Tune trial per strength and seed.

    python tests/bench/whole_study.py

Both sides train the same pair on the same data (9 strengths × 5 seeds, 512 rows, batch 64, 100 epochs, MLPs of width
12), on all CPUs, from process start to the last MLflow write. The plain side is what a careful user of Ray Tune writes:
a function trainable around `nn.Module`s, one CPU per trial, reporting its result once to MLflow through Ray's callback.
Only our side profiles the pair, selects, and writes a report; the profile is the quick estimator's.
Prints wall times, their ratio, and the cost of one more training: the slope from 45 to 495 trainings on our side, from
9 to 45 on the plain one, which takes minutes for more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 4.0)
EPOCHS, BATCH, ROWS, WIDTH = 100, 64, 512, 12
STUDY = """
study: bench
dataset: {{name: synthetic, redundancy: 6, rows: {rows}}}
pid: {{estimator: broja, bootstrap: 20}}
encoder: {{kind: mlp, layers: 2, width: {width}}}
training: {{epochs: {epochs}, batch_size: {batch}, learning_rate: 5e-3, weight_decay: 0, temperature: 0.5}}
alignment: {{one_sided: never}}
strength: {{range: [0, 4], initial: {strengths}, refine: 0}}
replicates: {{search: {seeds}, confirm: 0}}
"""


def ours(seeds: int, folder: Path) -> None:
    """Run the study from the command line, as a user does."""
    text = STUDY.format(
        rows=ROWS, width=WIDTH, epochs=EPOCHS, batch=BATCH, strengths=json.dumps(STRENGTHS), seeds=seeds
    )
    (folder / "bench.yaml").write_text(text)
    _command(folder, "-m", "study.run", "--space", "bench.yaml")


def plain(seeds: int, folder: Path) -> None:
    """Run the plain side in a process of its own."""
    _command(folder, str(Path(__file__).resolve()), "--plain-side", str(seeds))


def plain_side(seeds: int) -> None:
    """One Tune trial per strength and seed."""
    import torch
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from torch import nn
    from torch.nn import functional

    from trainables.datasets import load
    from trainables.spec import DatasetSpec

    data = load(DatasetSpec(name="synthetic", options={"redundancy": 6, "rows": ROWS})).pair("first", "second")

    def train(config: dict[str, float], data: object = None) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(int(config["seed"]))
        fit, check = (data.rows(split) for split in ("train", "valid"))  # type: ignore[attr-defined]
        xs = [torch.tensor(m.values) for m in data.modalities]  # type: ignore[attr-defined]
        y = torch.tensor(data.targets[0].values)  # type: ignore[attr-defined]
        xs = [(x - x[fit].mean(0)) / x[fit].std(0).clamp_min(1e-6) for x in xs]
        bodies = [
            nn.Sequential(nn.Linear(x.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()) for x in xs
        ]
        heads = [nn.Linear(WIDTH, 4) for _ in xs]
        parameters = [p for module in (*bodies, *heads) for p in module.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0)
        rows = torch.tensor(fit)
        for _ in range(EPOCHS):
            for batch in rows[torch.randperm(len(rows))].split(BATCH):
                features = [body(x[batch]) for body, x in zip(bodies, xs, strict=True)]
                loss = sum(functional.cross_entropy(h(f), y[batch]) for h, f in zip(heads, features, strict=True))
                first, second = (functional.normalize(f, dim=1) for f in features)
                logits, labels = first @ second.T / 0.5, torch.arange(len(batch))
                align = functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)
                (loss + config["strength"] * align / 2).backward()
                nn.utils.clip_grad_norm_(parameters, 8.0)
                optimiser.step()
                optimiser.zero_grad()
        with torch.no_grad():
            outputs = [h(b(x[check])) for h, b, x in zip(heads, bodies, xs, strict=True)]
        accuracy = [float((o.argmax(1) == y[check]).float().mean()) for o in outputs]
        tune.report({"accuracy_1": accuracy[0], "accuracy_2": accuracy[1]})

    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=data), {"cpu": 1}),
        param_space={"strength": tune.grid_search(list(STRENGTHS)), "seed": tune.grid_search(list(range(seeds)))},
        run_config=tune.RunConfig(
            storage_path=str(Path.cwd() / "ray"),
            callbacks=[MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="bench")],
            verbose=0,
        ),
    )
    assert len(tuner.fit()) == seeds * len(STRENGTHS)


def _command(folder: Path, *arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(ended.stderr[-3000:])


def _seconds(side: object, seeds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        side(seeds, Path(folder))  # type: ignore[operator]
        return time.perf_counter() - start


def main() -> None:
    """Measure both sides alternately and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=5, help="runs of each side, alternating; medians are printed")
    options.add_argument("--plain-side", type=int, metavar="SEEDS", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.plain_side:
        plain_side(given.plain_side)
        return
    runs = {"ours": (ours, 5), "plain": (plain, 5), "ours, more": (ours, 55), "plain, fewer": (plain, 1)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.repeats):
        for name, (side, seeds) in runs.items():
            times[name].append(_seconds(side, seeds))
            print(f"{name}: {len(STRENGTHS) * seeds} trainings in {times[name][-1]:.1f} s", file=sys.stderr, flush=True)
    wall = {name: statistics.median(values) for name, values in times.items()}
    more = {
        "ours": (wall["ours, more"] - wall["ours"]) / (len(STRENGTHS) * 50),
        "plain": (wall["plain"] - wall["plain, fewer"]) / (len(STRENGTHS) * 4),
    }
    print(f"medians of {given.repeats} on {os.cpu_count()} CPUs")
    print("| | packs | plain Ray Tune + MLflow | ratio |\n|---|---|---|---|")
    print(f"| 45 trainings, wall s | {wall['ours']:.1f} | {wall['plain']:.1f} | {wall['plain'] / wall['ours']:.1f}× |")
    print(f"| one more training, s | {more['ours']:.3f} | {more['plain']:.2f} | {more['plain'] / more['ours']:.0f}× |")


if __name__ == "__main__":
    main()
