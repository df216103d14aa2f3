"""Embeddings of a million samples, 512 + 768 numbers each, in every format: loading them, and training on them.

    python tests/bench/large_embeddings.py                 # a quarter of an hour, 11 GiB of disk, 12 GiB of memory
    python tests/bench/large_embeddings.py --only parquet --rows 100000

`anonymous` is the memory that belongs to the process alone, above what it had before; the rest of its peak is pages of
files, which the system takes back when it needs them. One copy of the data is 4.77 GiB. Formats are written in pieces
and removed again. Training is one pack of two replicates, without Ray, which would hold the one copy for all workers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTHS: Mapping[str, int] = {"image": 512, "text": 768}
CLASSES = 10
PIECE = 20_000
MEASURE = """
import json, resource, sys, threading, time
from trainables.datasets import load
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

EPOCHS = int(sys.argv[2])
SPEC = PackSpec(
    dataset=DatasetSpec(name="arrays"), pair=("image", "text"), encoders=(EncoderSpec(layers=1, width=16),) * 2,
    alignment=AlignmentSpec(), training=TrainingSpec(epochs=EPOCHS or 1, batch_size=1024),
    replicas=tuple(ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=seed) for seed in range(2)),
)

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

peak = anonymous()
done = threading.Event()
def watch():
    global peak
    while not done.wait(0.02):
        peak = max(peak, anonymous())
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
def measured(do):
    global peak
    started, peak = time.perf_counter(), anonymous()
    before = peak
    result = do()
    size, seconds = max(peak, anonymous()) - before, time.perf_counter() - started
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result, {"seconds": seconds, "anonymous_bytes": size, "peak_bytes": whole}

data, loading = measured(lambda: load(DatasetSpec(name="arrays", options=json.loads(sys.argv[1]))))
print(json.dumps({**loading, "data_bytes": data.n_bytes}))

def train():
    pack = Pack(SPEC, data.pair("image", "text"))
    pack.run()
    return [score for result in pack.results() for score in result.scores]
if not EPOCHS:
    done.set()
    raise SystemExit
scores, training = measured(train)
done.set()
watcher.join()
print(json.dumps({**training, "score": sum(scores) / len(scores)}))
"""
Options = dict[str, Any]  # of the dataset


def pieces(rows: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Rows of both modalities, which share their class, and of `y`; the same noise moves on by a row each time."""
    rng = np.random.default_rng(0)
    centres = {name: rng.normal(size=(CLASSES, width)).astype(np.float32) for name, width in WIDTHS.items()}
    noise = {name: 4 * rng.standard_normal((2 * PIECE, width), dtype=np.float32) for name, width in WIDTHS.items()}
    for place, start in enumerate(range(0, rows, PIECE)):
        y = rng.integers(0, CLASSES, min(PIECE, rows - start))
        moved = slice(place % PIECE, place % PIECE + len(y))
        yield {"y": y, **{name: centres[name][y] + noise[name][moved] for name in WIDTHS}}


def write_npy(folder: Path, rows: int) -> Options:
    """A folder of .npy files."""
    path = folder / "npy"
    path.mkdir()
    shapes = {"y": (rows,), **{name: (rows, width) for name, width in WIDTHS.items()}}
    files = {
        name: np.lib.format.open_memmap(path / f"{name}.npy", "w+", "i8" if name == "y" else "f4", shape)
        for name, shape in shapes.items()
    }
    _fill(files, rows)
    for file in files.values():
        file.flush()
    return {"path": str(path)}


def write_hdf5(folder: Path, rows: int, *, chunks: tuple[int, int] | None = None) -> Options:
    """HDF5, each array in one piece."""
    import h5py

    path = folder / "d.h5"
    with h5py.File(path, "w") as file:
        packed = {} if chunks is None else {"chunks": chunks, "compression": "lzf"}
        arrays = {name: file.create_dataset(name, (rows, width), "f4", **packed) for name, width in WIDTHS.items()}
        _fill({"y": file.create_dataset("y", (rows,), "i8"), **arrays}, rows)
    return {"path": str(path)}


def write_chunks(folder: Path, rows: int) -> Options:
    """HDF5 in chunks, packed by LZF."""
    return write_hdf5(folder, rows, chunks=(1000, 128))


def write_h5ad(folder: Path, rows: int) -> Options:
    """What AnnData writes of two matrices in `obsm`, without X, and a category."""
    import h5py

    path = folder / "d.h5ad"
    with h5py.File(path, "w") as file:
        for name, kind in {"": "anndata", "obs": "dataframe", "obs/y": "categorical", "obsm": "dict"}.items():
            group = file if not name else file.create_group(name)
            group.attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})
        file["obs"].attrs.update({"column-order": ["y"], "_index": "_index"})
        file["obs/y/categories"] = [f"class {label}" for label in range(CLASSES)]
        arrays = {name: file.create_dataset(f"obsm/{name}", (rows, width), "f4") for name, width in WIDTHS.items()}
        _fill({"y": file.create_dataset("obs/y/codes", (rows,), "i1"), **arrays}, rows)
    return {"path": str(path), "modalities": list(WIDTHS)}


def write_parquet(folder: Path, rows: int) -> Options:
    """Parquet with columns of vectors, as pyarrow writes it unless told otherwise."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "d.parquet"
    with parquet.ParquetWriter(path, _schema()) as writer:
        for piece in pieces(rows):
            writer.write_table(pa.Table.from_batches([_batch(piece)]))
    return {"path": str(path), "modalities": {name: name for name in WIDTHS}}


def write_datasets(folder: Path, rows: int) -> Options:
    """What `save_to_disk` makes of Hugging Face's dataset."""
    import datasets
    import pyarrow as pa

    with pa.OSFile(str(folder / "d.arrow"), "wb") as sink, pa.ipc.new_stream(sink, _schema()) as writer:
        for piece in pieces(rows):
            writer.write_batch(_batch(piece))
    datasets.disable_progress_bars()
    datasets.Dataset.from_file(str(folder / "d.arrow")).save_to_disk(folder / "datasets")
    (folder / "d.arrow").unlink()
    return {"path": str(folder / "datasets")}


FORMATS: Mapping[str, Callable[[Path, int], Options]] = {
    "npy": write_npy,
    "hdf5": write_hdf5,
    "chunks": write_chunks,
    "h5ad": write_h5ad,
    "parquet": write_parquet,
    "datasets": write_datasets,
}


def _fill(arrays: Mapping[str, Any], rows: int) -> None:
    for place, piece in enumerate(pieces(rows)):
        for name, values in piece.items():
            arrays[name][place * PIECE : place * PIECE + len(values)] = values


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema({"y": pa.int64(), **{name: pa.list_(pa.float32(), width) for name, width in WIDTHS.items()}})


def _batch(piece: Mapping[str, NDArray[Any]]) -> Any:
    import pyarrow as pa

    vectors = [pa.FixedSizeListArray.from_arrays(piece[name].reshape(-1), width) for name, width in WIDTHS.items()]
    return pa.record_batch([pa.array(piece["y"]), *vectors], schema=_schema())


def measure(options: Options, *, epochs: int) -> list[dict[str, float]]:
    """`seconds`, `anonymous_bytes` and `peak_bytes` of a process that loads the data and, if asked to, trains on them.

    Of loading also `data_bytes`, of training the mean `score` on the validation rows.
    """
    command = [sys.executable, "-c", MEASURE, json.dumps(options), str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="samples (default: %(default)s)")
    parser.add_argument("--only", choices=FORMATS, nargs="+", default=list(FORMATS), help="these formats alone")
    parser.add_argument("--epochs", type=int, default=2, help="of training; 0: load alone (default: %(default)s)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in options.only:
        with tempfile.TemporaryDirectory() as scratch:
            dataset = FORMATS[name](Path(scratch), options.rows)
            for step, found in zip(("load", "train"), measure(dataset, epochs=options.epochs), strict=False):
                print(_told(name, step, found), flush=True)


def _told(name: str, step: str, found: Mapping[str, float]) -> str:
    sizes = (f"{key.removesuffix('_bytes')} {found[key] / 2**30:.2f} GiB" for key in found if key.endswith("_bytes"))
    score = f", score {found['score']:.2f} (by chance {1 / CLASSES:.2f})" if "score" in found else ""
    return f"{name} {step}: {found['seconds']:.1f} s, {', '.join(sizes)}{score}"


if __name__ == "__main__":
    main()
