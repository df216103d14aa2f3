"""Lanes: a worker process for each place of this machine, warm before its first pack and kept until the last.

Tune keeps one process that has no trial, and a trial that waits for a process of its own takes that one and ends its
own, however far that was with importing torch. So at the end of a round one worker of two would do everything. Here
every lane asks for a resource of its own, by which Tune tells its process from the others', and gets packs only once it
is warm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback, PlacementGroupFactory
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from study.cluster.starting import LANE

KEY = "lane"  # of a trial's configuration


class Lanes:
    """Which of `count` lanes are cold (without a process), warming, free or busy; a trial is in one at a time.

    A process that was lost is started again by the next trial of its lane.
    """

    def __init__(self, count: int) -> None:
        self._cold, self._free = list(range(count)), list[int]()
        self._warming, self._busy = dict[str, int](), dict[str, int]()

    @property
    def warming(self) -> int:
        """Lanes whose processes start."""
        return len(self._warming)

    def warm(self, trial: str) -> int | None:
        """Let a trial make a cold lane warm; None where there is none."""
        if not self._cold:
            return None
        self._warming[trial] = self._cold.pop(0)
        return self._warming[trial]

    def take(self, trial: str) -> int | None:
        """Give a trial the lane that became free last; None where there is none."""
        if not self._free:
            return None
        self._busy[trial] = self._free.pop()
        return self._busy[trial]

    def leave(self, trial: str) -> None:
        """Free the lane of a trial that has ended, if it has one."""
        for trials in (self._warming, self._busy):
            if (lane := trials.pop(trial, None)) is not None:
                self._free.append(lane)

    @property
    def has_free(self) -> bool:
        """Whether a pack can begin at once."""
        return bool(self._free)

    @property
    def has_cold(self) -> bool:
        """Whether another process can be started."""
        return bool(self._cold)


class KeptProcesses(FIFOScheduler):  # type: ignore[misc]
    """Tune's usual order of trials, without the end of a process that has none for a while.

    Tune counts how many processes trials wait for, and keeps as many. It has no setting to keep more, so the count of
    each lane is raised by one for good.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Keep the process of a lane that had no trial before."""
        super().on_trial_add(tune_controller, trial)
        if (lane := trial.config[KEY]) not in self._known:
            self._known.add(lane)
            tune_controller._actor_cache.increase_max(trial.placement_group_factory)


class LentProcesses(FIFOScheduler):  # type: ignore[misc]
    """Tune's usual order of trials, and what it has of a cluster that others use too.

    Tune keeps one process that has no trial, with its place. Where that place is another study's by now, `end_idle`
    gives it back.
    """

    def __init__(self) -> None:
        super().__init__()
        self._controller: Any = None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Learn who runs the trials."""
        super().on_trial_add(tune_controller, trial)
        self._controller = tune_controller

    @property
    def count(self) -> int:
        """Processes that have a place or wait for one, those that are ending among them."""
        return 0 if self._controller is None else int(self._controller._actor_manager.num_total_actors)

    def end_idle(self) -> None:
        """End processes that have no trial, unless one waits that can have them."""
        if self._controller is not None and not self._controller._staged_trials:
            self._controller._cleanup_cached_actors(force_all=True)

    def give_up(self) -> None:
        """The same while Tune waits in its searcher, as it does for minutes where nothing runs: no step ends there."""
        if self._controller is not None:
            self.end_idle()
            self._controller._actor_manager.next(timeout=0.1)  # else their places stay taken

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its scheduler to restore it some day, which this project never does."""
        return {}


class AfterStep(Callback):  # type: ignore[misc]
    """A callback that does `work` after every step of Tune's loop: when free workers have been given what waits."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Do the work."""
        del iteration, trials, info
        self._work()


def resources_of(share: Mapping[str, float]) -> Callable[[Mapping[str, Any]], PlacementGroupFactory]:
    """What a trial asks of Ray, by its configuration: the share of a pack, and the resource of its lane alone."""
    return lambda config: PlacementGroupFactory([{**share, LANE: config[KEY] + 1}])
