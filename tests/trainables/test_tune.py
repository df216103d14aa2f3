"""The trainable that Ray Tune drives, without Ray: jobs in steps, checkpoints, limits, allocations that fail."""

import json
import time
from dataclasses import dataclass, replace

import pytest
import torch

from trainables.datasets import load
from trainables.saving.checkpoint import CheckpointError
from trainables.saving.place import Place
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ReplicateResult,
    TrainingSpec,
)
from trainables.trainer import Progress, RefusedError, TimedOutError, forget
from trainables.training import pack as engine
from trainables.training.trainer import is_out_of_memory
from trainables.tune import TRAINERS, JobTrainable

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
        made = JobTrainable.__new__(JobTrainable)  # Tune's own constructor wants a Ray session
        made.setup(config_of(the_spec), shared=datasets)
        return made

    return trainable


def test_steps_end_with_the_results_of_the_pack(begin, datasets):
    trained = begin(spec())
    while not (progress := trained.step())["done"]:
        pass
    alone = engine.Pack(spec(), datasets["digits"].pair("left", "right"))
    alone.run()
    assert tuple(ReplicateResult.from_json(value) for value in json.loads(progress["results"])) == alone.results()


def test_a_pack_that_finds_no_gpu_where_it_holds_one_says_so_and_trains(config_of, datasets, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = []
    for gpus in (0.5, 0):
        made = JobTrainable.__new__(JobTrainable)
        made.setup({**config_of(spec(epochs=1)), "gpus": gpus}, shared=datasets)
        told.append(made.step())
    assert "CUDA" in told[0]["lacks"] or "GPU" in told[0]["lacks"]
    assert "lacks" not in told[1]
    assert told[0]["results"] == told[1]["results"]


def test_one_pack_trains_on_one_thread(begin):
    torch.set_num_threads(2)
    begin(spec())
    assert torch.get_num_threads() == 1


def test_a_pack_that_cannot_be_allocated_says_so_and_the_process_takes_the_next(begin, config_of):
    trained = begin(spec(width=400_000))  # weights of 640 GB, which no allocator grants
    assert trained.step() == {"epochs": 0, "total": 0, "done": True, "out_of_memory": True}
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


@dataclass(frozen=True)
class Counting:
    """A job of a third kind: it counts to `n`, and may hang or refuse on its way."""

    n: int
    fault: str = ""

    @property
    def hash(self):
        return f"counting-{self.n}-{self.fault}"

    def to_json(self):
        return {"trainer": "counting", "n": self.n, "fault": self.fault}


class Counter:
    def __init__(self, job, context):
        self.job, self.context, self.at, self.closed = job, context, 0, False

    @property
    def done(self):
        return self.at >= self.job.n

    def advance(self, seconds):  # noqa: ARG002 - a step is one number
        if self.job.fault == "refuses":
            raise RefusedError("it counts no further")
        self.at += 0 if self.job.fault == "hangs" else 1
        return Progress(epochs=self.at, total=self.job.n)

    def results(self):
        return (ReplicateResult(status="ok", scores=(self.at, self.context.shared())),)

    def save(self, path):
        path.write_text(str(self.at))

    def load(self, path):
        if not (text := path.read_text()).isdigit():
            raise CheckpointError("it is torn")
        self.at = int(text)
        return Progress(epochs=self.at, total=self.job.n)

    def keep(self):
        self.context.place.write("kept", lambda path: path.write_text(str(self.at)))

    def close(self):
        return True


class CountingTrainer:
    def read(self, value):
        return Counting(value["n"], value["fault"])

    def begin(self, job, context):
        return Counter(job, context)


@pytest.fixture
def count(monkeypatch, tmp_path):
    """A trial of the third kind, which one line makes known."""
    monkeypatch.setitem(TRAINERS, "counting", CountingTrainer())

    def trainable(n, *, fault="", **more):
        made = JobTrainable.__new__(JobTrainable)
        spec = json.dumps(Counting(n, fault).to_json())
        config = {"spec": spec, "data_key": "seven", "place": str(tmp_path), "threads": 1, **more}
        made.setup(config, shared={"seven": 7})
        return made

    return trainable


def test_another_kind_of_trainer_needs_one_line(count, tmp_path):
    trial = count(2, keep=True)
    assert trial.step() == {"epochs": 1, "total": 2, "done": False, "resumed_from": 0}
    progress = trial.step()
    assert (progress["epochs"], progress["done"]) == (2, True)
    assert ReplicateResult.from_json(json.loads(progress["results"])[0]).scores == (2, 7)
    assert (tmp_path / "kept").read_text() == "2"


def test_a_trial_goes_on_from_the_checkpoint_of_the_one_before(count):
    before = count(3, checkpoint_seconds=0)
    before.step()
    assert count(3).step() == {"epochs": 2, "total": 3, "done": False, "resumed_from": 1}


def test_a_torn_checkpoint_is_begun_without(count, tmp_path):
    (tmp_path / "counting-3-.pt").write_text("torn")
    assert count(3).step() == {"epochs": 1, "total": 3, "done": False, "resumed_from": 0}


def test_what_no_retry_mends_ends_the_trial_with_its_reason(count):
    progress = count(3, fault="refuses").step()
    assert (progress["done"], progress["refused"]) == (True, "it counts no further")
    assert "results" not in progress


def test_a_trial_that_takes_too_long_is_ended(count):
    trial = count(3, fault="hangs", seconds_per_trial=0.05)
    assert not trial.step()["done"]
    time.sleep(0.06)
    with pytest.raises(TimedOutError, match=r"0\.00\d+ minutes at epoch 0.*minutes_per_trial"):
        trial.step()


def test_what_a_job_leaves_is_forgotten(tmp_path):
    place = Place(str(tmp_path))
    (tmp_path / "ab" / "below").mkdir(parents=True)
    for name in ("ab.pt", "ab/below/model.pt", "cd.pt"):
        (tmp_path / name).write_text("")
    forget(place, "ab")
    forget(place, "ef")
    assert [path.name for path in tmp_path.iterdir()] == ["cd.pt"]
