"""Functions in Lightning, HF Trainer, scikit-learn, JAX and plain torch, called as a worker calls them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.study.own_training.frameworks.cases import Case
from trainables.functions.code import read_code
from trainables.functions.running import FunctionTrainer, FunctionTraining
from trainables.functions.spec import FunctionReplica, FunctionSpec
from trainables.saving.place import Place
from trainables.spec import ReplicateResult
from trainables.trainer import Context

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),  # lightning with torch 2.13
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),  # lightning, of what it left
]


def begin(
    case: Case, folder: Path, *, epochs: int, strength: float = 0.5, seed: int = 7, **more: Any
) -> FunctionTraining:
    """A call that has not begun, with its checkpoints in `folder`."""
    folder.mkdir(exist_ok=True)
    code = read_code(f"{case.file.name}:train", base=case.file.parent)
    replica = FunctionReplica(
        strength_1=strength, strength_2=strength, seed=seed, replicate=0, hyperparameters={case.tuned: case.rate}
    )
    spec = FunctionSpec(
        call=code.call, code=code.hash, pair=("upper", "lower"), replicas=(replica,), options={case.length: epochs},
        **more,
    )  # fmt: skip
    return FunctionTrainer().begin(spec, Context(shared=lambda: code, place=Place(str(folder))))


def to_the_end(training: FunctionTraining) -> ReplicateResult:
    while not training.done:
        training.advance(60)
    assert training.close()
    (result,) = training.results()
    return result


def test_a_call_that_is_ended_goes_on_from_its_folder_and_comes_to_the_same(case: Case, tmp_path: Path) -> None:
    whole = to_the_end(begin(case, tmp_path / "whole", epochs=4))
    assert whole.status == "ok"
    assert [point[0] for point in whole.curve] == [1, 2, 3, 4]
    assert whole.curve[-1][1:3] == pytest.approx(whole.scores)

    ended = begin(case, tmp_path / "ended", epochs=4)
    while ended.advance(0.001).epochs < 2:
        pass
    while not ended.close():
        time.sleep(0.01)
    assert not ended.done
    gone_on = to_the_end(begin(case, tmp_path / "ended", epochs=4))
    assert gone_on.scores == whole.scores
    assert gone_on.curve == whole.curve


def test_scores_depend_on_seed_strength_and_split(case: Case, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{}, {"seed": 8}, {"strength": 4.0}, {"evaluate": "test"}]
    results = [to_the_end(begin(case, tmp_path, epochs=1, **one)) for one in asked]
    assert len({result.scores for result in results}) == len(asked)
