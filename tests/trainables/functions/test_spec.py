"""What a function is asked for: its identity, and its way through JSON."""

import json
import math
from dataclasses import replace

import pytest

from trainables.functions.spec import FunctionReplica, FunctionSpec, small_seed
from trainables.spec import ReplicateResult

REPLICA = FunctionReplica(
    strength_1=0.5, strength_2=0.5, seed=7, replicate=0, hyperparameters={"layers": 3, "decay": 0.1, "norm": "batch"}
)
SPEC = FunctionSpec(
    call="own_training.py:train", code="0123", pair=("image", "text"), replicas=(REPLICA,), options={"epochs": [1, 2]}
)


def test_it_comes_back_from_json_with_its_types():
    back = FunctionSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert back == SPEC
    assert [type(value) for value in back.replica.hyperparameters.values()] == [int, float, str]


def test_everything_but_the_code_is_its_identity():
    others = [
        replace(SPEC, call="other.py:train"),
        replace(SPEC, pair=("text", "image")),
        replace(SPEC, options={}),
        replace(SPEC, phase="confirm"),
        replace(SPEC, evaluate="test"),
        replace(SPEC, maximise=False),
        *(replace(SPEC, replicas=(replace(REPLICA, **change),)) for change in (
            {"strength_1": 0.0}, {"strength_2": 0.0}, {"seed": 8}, {"replicate": 1}, {"hyperparameters": {}}
        )),
    ]  # fmt: skip
    assert len({SPEC.hash, *(other.hash for other in others)}) == len(others) + 1
    assert replace(SPEC, code="4567").hash == SPEC.hash


def test_a_seed_is_one_that_every_library_takes():
    seeds = {small_seed("study", index) for index in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    with pytest.raises(ValueError, match="2\\^31"):
        replace(SPEC, replicas=(replace(REPLICA, seed=2**31),))


def test_it_holds_one_replica():
    for replicas in ((), (REPLICA, REPLICA)):
        with pytest.raises(ValueError, match="one replicate"):
            replace(SPEC, replicas=replicas)


def test_a_result_may_be_scores_alone():
    told = ReplicateResult(status="ok", scores=(0.5, 0.25)).to_json()
    back = ReplicateResult.from_json(json.loads(json.dumps(told)))
    assert (back.scores, back.alignment, back.curve, back.extras, back.one_score) == ((0.5, 0.25), {}, (), {}, False)
    assert all(map(math.isnan, back.losses))
    assert not {"extras", "one_score"} & set(told)


def test_other_numbers_come_back():
    result = ReplicateResult(status="ok", scores=(1, 1), extras={"recall@1": 0.5}, one_score=True)
    back = ReplicateResult.from_json(json.loads(json.dumps(result.to_json())))
    assert (back.extras, back.one_score) == ({"recall@1": 0.5}, True)
