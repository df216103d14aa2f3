"""The trainable that Ray Tune drives, without Ray: a pack in steps, its checkpoint, and allocations that fail."""

import json
from dataclasses import replace

import pytest
import torch

from trainables.datasets import load
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ReplicateResult,
    TrainingSpec,
)
from trainables.training import pack as engine
from trainables.tune import PackTrainable, is_out_of_memory

DATASET = DatasetSpec(name="digits")


def spec(*, width=8, epochs=2):
    encoder = EncoderSpec(width=width)
    return PackSpec(
        dataset=DATASET,
        pair=("left", "right"),
        encoders=(encoder, encoder),
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=epochs, batch_size=256),
        replicas=tuple(ReplicaSpec(strength_1=s, strength_2=s, seed=1) for s in (0.0, 1.0)),
    )


@pytest.fixture(scope="module")
def datasets():
    return {"digits": load(DATASET)}


@pytest.fixture
def config_of(tmp_path):
    """What Tune would tell a trial of a pack."""
    (tmp_path / "packs").mkdir()

    def config(the_spec):
        place = str(tmp_path / "packs")
        return {"spec": json.dumps(the_spec.to_json()), "data_key": "digits", "place": place, "threads": 1}

    return config


@pytest.fixture
def begin(config_of, datasets):
    def trainable(the_spec):
        made = PackTrainable.__new__(PackTrainable)  # Tune's own constructor wants a Ray session
        made.setup(config_of(the_spec), datasets=datasets)
        return made

    return trainable


def test_steps_end_with_the_results_of_the_pack(begin, datasets):
    trained = begin(spec())
    while not (progress := trained.step())["done"]:
        pass
    alone = engine.Pack(spec(), datasets["digits"].pair("left", "right"))
    alone.run()
    assert tuple(ReplicateResult.from_json(value) for value in json.loads(progress["results"])) == alone.results()


def test_one_pack_trains_on_one_thread(begin):
    torch.set_num_threads(2)
    begin(spec())
    assert torch.get_num_threads() == 1


def test_a_pack_that_cannot_be_allocated_says_so_and_the_process_takes_the_next(begin, config_of):
    trained = begin(spec(width=400_000))  # weights of 640 GB, which no allocator grants
    assert trained.step() == {"epochs": 0, "total": 2, "done": True, "out_of_memory": True}
    trained.reset_config(config_of(spec(epochs=1)))
    assert "results" in trained.step()


def test_another_error_is_not_taken_for_a_lack_of_memory(begin):
    trained = begin(replace(spec(), training=TrainingSpec(epochs=1, batch_size=10**6)))
    with pytest.raises(ValueError, match="batch size"):
        trained.step()


def test_allocations_that_fail_are_recognised():
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**55)
    assert is_out_of_memory(failure.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("the size of tensor a must match"))
    assert not is_out_of_memory(ValueError("allocate memory"))
