"""Does the linear forecast order measured optima? Trained MLP pairs on real sets against `study.theory.forecast`.

Reads the sets from a folder of NAME/NAME.npz files (one array per view, `y`, `split`), trains every pair at seven
strengths, and prints per encoder the measured optimum beside the forecast, then the agreement in order.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from study.theory import EncoderForecast, forecast, rank_agreement
from trainables.datasets.base import Modality, PairData, Target
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

SETS = {
    "mfeat": ("fou", "fac", "kar", "pix", "zer", "mor"),
    "houston2013": ("hsi", "lidar"),
    "leaves100": ("view0", "view1_shape", "view2"),
    "mosi752": ("text", "audio", "vision"),
    "avdigits": ("image", "audio"),
}
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
WIDTH = 16


def load_pairs(folder: Path, names: list[str]) -> list[PairData]:
    """All pairs of the named sets."""
    pairs = []
    for name in names:
        with np.load(folder / name / f"{name}.npz", allow_pickle=False) as arrays:
            y, split = arrays["y"].astype(np.int64), arrays["split"].astype(np.int8)
            modalities = [Modality(name=v, values=arrays[v].astype(np.float32).reshape(len(y), -1)) for v in SETS[name]]
        target = Target(values=y, kind="classes", n_classes=int(y.max()) + 1)
        pairs += [
            PairData(dataset=name, modalities=pair, targets=(target, target), split=split)
            for pair in combinations(modalities, 2)
        ]
    return pairs


def measured_curves(data: PairData, *, epochs: int, seeds: int) -> np.ndarray:
    """Mean validation accuracy (strengths, 2) of two-layer MLP pairs under InfoNCE, τ = 0.1."""
    encoder = EncoderSpec(kind="mlp", layers=2, width=WIDTH)
    spec = PackSpec(
        dataset=DatasetSpec(name=data.dataset),
        pair=data.names,
        encoders=(encoder, encoder),
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=epochs, batch_size=128, evaluations=1),
        replicas=tuple(
            ReplicaSpec(strength_1=strength, strength_2=strength, seed=seed, learning_rate=5e-3)
            for strength in STRENGTHS
            for seed in range(seeds)
        ),
    )
    pack = Pack(spec, data)
    pack.run()
    return np.array([result.scores for result in pack.results()]).reshape(len(STRENGTHS), seeds, 2).mean(axis=1)


def statistics(encoder: EncoderForecast) -> dict[str, float]:
    """What a forecast could be read by, larger = more alignment."""
    return {
        "best_strength (weighted median)": encoder.best_strength,
        "minimum of held_out": encoder.strengths[int(np.argmin(np.round(encoder.held_out, 9)))],
        "first critical strength": min(encoder.critical_strengths, default=np.inf),
        "held-out R² kept at λ = 100": encoder.held_out[0] - encoder.held_out[-1],
    }


def main() -> None:
    """Train, forecast, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=4, help="trainings per strength (default 4)")
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    missing = [name for name in arguments.sets if not (arguments.folder / name / f"{name}.npz").exists()]
    if missing:
        sys.exit(f"{arguments.folder} has no {', '.join(missing)}; give the folder that holds NAME/NAME.npz, or --sets")
    torch.set_num_threads(1)
    optima: list[float] = []
    rises: list[float] = []
    forecasts: list[dict[str, float]] = []
    seconds = [0.0, 0.0]
    for data in load_pairs(arguments.folder, arguments.sets):
        start = time.perf_counter()
        found = forecast(data, k=WIDTH)
        middle = time.perf_counter()
        curves = measured_curves(data, epochs=arguments.epochs, seeds=arguments.seeds)
        seconds = [seconds[0] + middle - start, seconds[1] + time.perf_counter() - middle]
        for encoder, curve in zip(found.encoders, curves.T, strict=True):
            optima.append(STRENGTHS[int(np.argmax(curve))])
            rises.append(float(curve[1:].max() - curve[0]))
            forecasts.append(statistics(encoder))
            name = f"{data.dataset} {encoder.modality} (with {data.names[data.names[0] == encoder.modality]})"
            best = encoder.best_strength
            print(f"{name:<40} measured λ* {optima[-1]:<5g} gain {100 * rises[-1]:+5.1f} points   forecast {best:.3g}")
    print(f"\n{len(optima)} encoders; forecasts took {seconds[0]:.1f} s, trainings {seconds[1]:.1f} s")
    print(f"{'Spearman with':<34} {'measured λ*':>22} {'measured best gain':>24}")
    for name in forecasts[0]:
        values = [row[name] for row in forecasts]
        columns = []
        for target in (optima, rises):
            agreement = rank_agreement(values, target)
            low, high = agreement.spearman_interval
            columns.append(f"{agreement.spearman:+.2f} [{low:+.2f}, {high:+.2f}]")
        print(f"{name:<34} {columns[0]:>22} {columns[1]:>24}")


if __name__ == "__main__":
    main()
