"""Workers that are warm before the first pack, kept until the last, and never beside a pack that waits."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from ray.tune import PlacementGroupFactory

from study.cells.building import build_cells
from study.cluster.lanes import KEY, Lanes, resources_of
from study.cluster.searcher import PackSearcher
from study.config import ConfigError, parse_config
from study.scheduling.coordinator import Coordinator
from study.search import Ledger, open_storage
from study.search.record.events import EventLog
from tests.study import studies
from trainables.saving.place import Place
from trainables.spec import ReplicateResult
from trainables.trainer import WARM

PACKS = """
study: laned
dataset: {name: gates}
pid: {estimator: broja}
encoder: {kind: mlp, width: 4}
training: {epochs: 1, batch_size: 512}
alignment: {one_sided: never}
strength: {initial: [0, 1, 2], refine: 0}
replicates: {search: 4, confirm: 0}
"""
# Both workers must be at work in both phases, or the trainings wait in vain; one alone is at the third strength.
TOGETHER = """
import os, time
from pathlib import Path

def train(trial):
    seen, until = Path(trial.options["log"]), time.monotonic() + 60
    (seen / f"{trial.phase}-{os.getpid()}").touch()
    while len(list(seen.glob(f"{trial.phase}-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return {"score": 1 - (trial.strength - 1) ** 2 + 0.01 * trial.replicate}
"""
STUDY = """
study: tiny
trainer: {{call: together.py:train, options: {{log: {log}}}}}
pairs: [[image, text]]
strength: {{initial: [0, 1, 2], refine: 2, per_round: 1}}
replicates: {{search: 1, confirm: 2}}
"""


def test_a_lane_is_cold_then_warming_then_free_then_busy() -> None:
    lanes = Lanes(2)
    assert (lanes.has_cold, lanes.has_free, lanes.take("a")) == (True, False, None)
    assert {lanes.warm("a"), lanes.warm("b")} == {0, 1}
    assert (lanes.has_cold, lanes.warming, lanes.warm("c"), lanes.take("c")) == (False, 2, None, None)
    lanes.leave("b")
    assert (lanes.has_free, lanes.warming) == (True, 1)
    assert lanes.take("c") == 1
    assert lanes.take("d") is None
    for trial in ("c", "c", "nobody"):  # Tune may tell of an end twice
        lanes.leave(trial)
    assert lanes.take("d") == 1
    assert lanes.take("e") is None


def test_every_lane_asks_for_a_resource_of_its_own_beside_its_share() -> None:
    asked = [resources_of({"CPU": 2.0, "GPU": 0.25})({KEY: lane}) for lane in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]
    assert asked[0] == PlacementGroupFactory([{"CPU": 2.0, "GPU": 0.25, "lane": 1}])


class Given:
    """A searcher of a coordinator that comes when `come` is called, and what Tune is told of its trials."""

    def __init__(self, folder: Path, *, lanes: int) -> None:
        config = parse_config(PACKS)
        self.cells, _ = build_cells(config)
        self.coming: Future[Coordinator] = Future()
        self.log = folder / "events.jsonl"
        self.ledger = Ledger(open_storage(folder=folder / "optuna"), name="laned", space={"strength": (0.0, 4.0)})
        self.searcher = PackSearcher(
            self.coming, checkpoints=Place(str(folder)), threads=1, gpus=0, resources=config.resources, retries=2,
            has_room=lambda *_: True, events=EventLog(folder, study="laned"), metrics=None, say=print,
            lanes=Lanes(lanes), warm=2,
        )  # fmt: skip

    def come(self) -> None:
        self.coming.set_result(Coordinator(self.cells, self.ledger, pack_size=4))

    def suggest(self, trial: str) -> dict[str, Any] | None:
        suggested = self.searcher.suggest(trial)
        assert suggested is None or isinstance(suggested, dict)
        return suggested

    def end(self, trial: str, config: dict[str, Any]) -> None:
        """What Tune says of a trial that has ended well."""
        if WARM in config:
            self.searcher.on_trial_complete(trial, {"done": True})
            return
        trained = len(json.loads(config["spec"])["replicas"])
        results = trained * [ReplicateResult(status="ok", scores=(0.5, 0.5)).to_json()]
        self.searcher.on_trial_complete(trial, {"done": True, "results": json.dumps(results), "time_total_s": 1.0})

    def done(self) -> int:
        return self.log.read_text().count('"pack_done"') if self.log.exists() else 0


def test_processes_become_warm_before_there_is_a_pack_and_packs_get_warm_ones_alone(tmp_path: Path) -> None:
    given = Given(tmp_path, lanes=3)
    first, second = given.suggest("a"), given.suggest("b")
    assert first is not None
    assert second is not None
    assert first[WARM]
    assert second[WARM]
    assert first[KEY] != second[KEY]
    assert given.suggest("c") is None  # nobody knows yet how many packs there are
    given.come()
    third = given.suggest("d")
    assert third is not None
    assert third[WARM]  # three packs wait
    assert given.suggest("e") is None
    given.end("b", second)
    pack = given.suggest("f")
    assert pack is not None
    assert "spec" in pack
    assert pack[KEY] == second[KEY]
    assert given.suggest("g") is None


def test_a_worker_has_its_next_pack_before_the_last_one_is_recorded(tmp_path: Path) -> None:
    given = Given(tmp_path, lanes=1)
    given.come()
    warm = given.suggest("a")
    assert warm is not None
    given.end("a", warm)
    pack = given.suggest("b")
    assert pack is not None
    given.end("b", pack)
    assert given.done() == 0
    following = given.suggest("c")
    assert following is not None
    assert following["spec"] != pack["spec"]
    assert given.done() == 0
    given.searcher.catch_up()
    assert given.done() == 1


def test_what_hinders_the_coordinator_ends_the_trials(tmp_path: Path) -> None:
    given = Given(tmp_path, lanes=2)
    assert given.suggest("a")
    given.coming.set_exception(ConfigError("no such data"))
    assert given.searcher.suggest("b") == "FINISHED"
    assert isinstance(given.searcher.error, ConfigError)


def test_workers_stay_while_another_one_alone_has_something_to_do(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    study = studies.TinyStudy(tmp_path, "--workers", "2", text=STUDY.format(log=log))
    (tmp_path / "together.py").write_text(TOGETHER)
    study.finish()
    seen = {path.name for path in log.iterdir()}
    processes = {name.partition("-")[2] for name in seen if name.startswith("search-")}
    assert len(processes) == 2
    assert {name.partition("-")[2] for name in seen if name.startswith("confirm-")} == processes


@pytest.mark.parametrize("lanes", [1, 4])
def test_no_more_processes_start_than_there_are_lanes(tmp_path: Path, lanes: int) -> None:
    given = Given(tmp_path, lanes=lanes)
    given.come()
    assert sum(given.suggest(str(trial)) is not None for trial in range(6)) == min(lanes, 3)
