"""Each table of the product takes a new line from outside the package: one file and one line, and all else follows."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.profiles import profile_cells
from study.cells.trials import Setting
from study.config import ConfigError, parse_config
from study.config.reference import reference
from study.pid import ESTIMATORS
from trainables.datasets import DATASETS, MultimodalData
from trainables.datasets.__main__ import main as list_datasets
from trainables.metrics.scores import SCORES
from trainables.metrics.similarities import SIMILARITIES
from trainables.networks.encoders import ENCODERS
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.saving.export import load_encoder, trained_encoders
from trainables.spec import ReplicateResult
from trainables.training.memory import auto_pack_size
from trainables.training.pack import Pack

ENCODER = '''
"""An encoder that passes on squares of a linear map."""
from dataclasses import dataclass
from math import prod
from trainables.networks.layers import Linear

@dataclass(frozen=True)
class Squares:
    layer: Linear
    head_activation: None = None

    @property
    def parameters(self):
        return self.layer.parameters

    def __call__(self, parameters, x, mask, dropout):
        return self.layer(parameters, x.flatten(2)).square()

def added(spec, shape):
    return Squares(Linear("layer0", prod(shape), spec.width))
'''
OBJECTIVE = '''
"""The mean distance of two projections."""
def added(z_1, z_2, temperature):
    return (z_1 - z_2).abs().mean((1, 2))
'''
ESTIMATOR = '''
"""A profile that calls everything redundant."""
from study.pid import COMPONENTS, PIDProfile

def added(data, *, bootstrap, bins, seed, level, splits, discretiser):
    values = {"redundancy": float(bootstrap), "unique_1": 0.0, "unique_2": 0.0, "synergy": 0.0}
    return PIDProfile(
        **values, estimator="added", gap=None, interval={name: (value, value) for name, value in values.items()},
        null=dict.fromkeys(COMPONENTS, 0.0), significant={name: value > 0 for name, value in values.items()},
    )
'''
SCORE = '''
"""Minus the mean squared error."""
from trainables.metrics.scores import Score

def closeness(outputs, target):
    return -(outputs - target).square().mean((1, 2))

added = Score(compute=closeness, kinds=("real",))
'''
SIMILARITY = '''
"""The mean cosine of the two rows of a sample."""
def added(x, y):
    return (x * y).sum(2).mean(1)
'''
DATASET = '''
"""Two noisy views of a sign."""
import numpy as np
from trainables.datasets import Dataset, Modality, MultimodalData, Option, Target

def signs(options):
    rng = np.random.default_rng(0)
    labels = np.arange(options["rows"]) % 2
    values = {name: (labels[:, None] + 0.1 * rng.normal(size=(len(labels), 3))).astype(np.float32) for name in "ab"}
    target = Target(values=labels, kind="classes", n_classes=2)
    return MultimodalData(
        name="signs", modalities={name: Modality(name=name, values=array) for name, array in values.items()},
        targets=dict.fromkeys("ab", target), split=(np.arange(len(labels)) // 2 % 3).astype(np.int8),
    )

added = Dataset(
    load=signs, description="two noisy views of a sign", licence="generated here", shapes={"a": (3,), "b": (3,)},
    options={"rows": Option(doc="of all splits together", types=(int,), default=120, bounds=(60, 10_000))},
)
'''
GATES = {"name": "gates", "gate": "and", "rows": 200}


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, MutableMapping[str, Any]], ModuleType]:
    """Write a file outside the package, and add what it calls `added` to a table, in one line."""

    def write(text: str, table: MutableMapping[str, Any]) -> ModuleType:
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("mine", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "mine", module)  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        monkeypatch.setitem(table, "added", module.added)
        return module

    return write


def study(**sections: Any) -> tuple[Cell, MultimodalData]:
    """The only cell of a study of a few rows and epochs, and its data."""
    space = {"study": "adding", "dataset": GATES, "training": {"epochs": 2, "batch_size": 16}, **sections}
    (cell,), data = build_cells(parse_config(json.dumps(space), source="the test"))
    return cell, data[cell.data_key]


def train(cell: Cell, data: MultimodalData) -> tuple[Pack, Sequence[ReplicateResult]]:
    """A trained pack of two replicates, at strength 0 and 1."""
    settings = [(Setting(strength_1=value, strength_2=value), 0) for value in (0.0, 1.0)]
    pack = Pack(cell.pack("shared", settings), data.pair(*cell.pair))
    pack.run()
    results = pack.results()
    assert [result.status for result in results] == ["ok", "ok"]
    return pack, results


def refused(**sections: Any) -> str:
    with pytest.raises(ConfigError) as error:
        study(**sections)
    return str(error.value)


def test_an_encoder(add: Any, tmp_path: Path) -> None:
    section = {"kind": "added", "width": 5}
    assert "'added' does not exist, choose one of 'linear', 'mlp'" in refused(encoder=section)
    module = add(ENCODER, ENCODERS)
    assert "'module', 'added'" in refused(encoder={"kind": "another"})
    assert "`module`, `added` |" in reference()
    cell, data = study(encoder=section)
    pack, _ = train(cell, data)
    assert auto_pack_size(pack.spec, data.pair(*cell.pair), budget=2**30) >= 4
    encoder = trained_encoders(pack, data.pair(*cell.pair), 1)[0]
    encoder.save(tmp_path / "encoder.pt")
    values = data.modalities["first"].values[:9]
    features = load_encoder(tmp_path / "encoder.pt").predict(values)["features"]
    weight, bias = (encoder.module.get_parameter(f"layer0_{name}").detach()[None] for name in ("weight", "bias"))
    scaled = (torch.from_numpy(values) - encoder.module.mean) * encoder.module.factor
    expected = module.added(cell.encoders[0], (1,))(
        {"layer0.weight": weight, "layer0.bias": bias}, scaled[None], None, None
    )
    np.testing.assert_allclose(features, expected[0].numpy(), atol=1e-5)
    assert (features >= 0).all()


def test_an_objective(add: Any) -> None:
    section = {"objective": "added"}
    assert "'added' does not exist, choose one of 'info_nce'" in refused(alignment=section)
    add(OBJECTIVE, ALIGNMENT_OBJECTIVES)
    assert "'whitened_mse', 'added'" in refused(alignment={"objective": "another"})
    assert "`whitened_mse`, `added` |" in reference()
    _, (apart, pulled) = train(*study(alignment=section))
    assert apart.losses != pulled.losses


def test_an_estimator(add: Any) -> None:
    section = {"estimator": "added", "bootstrap": 21}
    assert "'added' does not exist, choose one of 'posterior'" in refused(pid=section)
    add(ESTIMATOR, ESTIMATORS)
    assert "`lsmi`, `added` |" in reference()
    cell, data = study(pid=section)
    profile = profile_cells([cell], {cell.data_key: data})[cell.id]
    assert (profile.estimator, profile.redundancy, profile.dominant) == ("added", 21, "redundancy")


def test_a_score(add: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    np.savez(tmp_path / "mine.npz", a=x, b=x + rng.normal(size=x.shape), y=x[:, 0])
    section = {"name": "arrays", "path": str(tmp_path / "mine.npz"), "modalities": {"a": "a", "b": "b"}}
    assert "there is no score 'added'" in refused(dataset=section, score="added")
    add(SCORE, SCORES)
    assert "sign_accuracy, added, or FILE.py:name" in refused(dataset=section, score="another")
    assert "choose one of accuracy" in refused(score="added")  # of classes
    cell, data = study(dataset=section, score="added")
    assert cell.metrics == ("added", "added")
    pack, results = train(cell, data)
    for result in results:
        assert result.scores == pytest.approx([-loss for loss in result.losses])  # the loss is a squared error, too
    confirmed = Pack(replace(pack.spec, evaluate="test"), data.pair(*cell.pair))
    confirmed.run()
    for result in confirmed.results():
        assert result.others is not None
        assert result.others[0]["added"] == pytest.approx(result.scores[0])


def test_a_similarity(add: Any) -> None:
    assert "added" not in train(*study())[1][0].alignment
    add(SIMILARITY, SIMILARITIES)
    _, results = train(*study())
    assert all(list(result.alignment) == ["cka", "svcca", "mutual_knn", "added"] for result in results)
    assert all(-1 <= result.alignment["added"] <= 1 for result in results)
    assert ReplicateResult.from_json(results[1].to_json()) == results[1]


def test_a_dataset(add: Any, capsys: pytest.CaptureFixture[str]) -> None:
    section = {"name": "added", "rows": 180}
    assert "unknown dataset 'added'" in refused(dataset=section)
    add(DATASET, DATASETS)
    assert "dataset option rows: 5 is not allowed; give an integer from 60 to 10000" in refused(
        dataset={"name": "added", "rows": 5}
    )
    assert "## `dataset` with `name: added`" in reference()
    assert list_datasets(["added"]) == 0
    assert "two noisy views of a sign" in capsys.readouterr().out
    cell, data = study(dataset=section)
    assert (cell.pair, cell.rows) == (("a", "b"), {"train": 60, "valid": 60, "test": 60})
    train(cell, data)
