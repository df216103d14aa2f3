"""The coordinator: it turns the rounds of all cells into packs, hands them out, and records what comes back.

The one writer of a study. It knows nothing of Ray: `study.cluster` drives it with `next_pack`, `complete` and `fail`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked
from study.scheduling.ahead import Ahead, Left
from study.scheduling.packs import PlannedPack, even_groups, pack_work
from study.scheduling.spending import Demand, Spending
from study.search import Ledger
from study.search.allowance import Allowance, shares
from study.search.answers import recommended_settings
from study.search.extended import Round
from study.search.record.cuts import Limit
from study.search.record.notes import ERRORS, SPENT
from study.search.rounds import encoder_round, rounds
from trainables.spec import ReplicateResult


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the study stands. `latest` is the cell that moved last, `packs_out` are with workers.

    `planned` follows what cells come to: which one-sided searches go on and how many strengths are to be confirmed
    depends on results. It lies in `planned_range`, which closes around it. Work is in units of
    `study.scheduling.packs.pack_work`: a small pack takes longer for each of its trainings.
    """

    done: int
    planned: int
    diverged: int
    in_flight: float  # trainings' worth of epochs done in packs that have not ended
    latest: str
    work_done: float  # in this run, packs that have not ended included
    work_ended: float  # in this run, of packs that have ended
    work_left: float
    packs_out: int = 0
    planned_range: tuple[int, int] | None = None
    work_left_range: tuple[float, float] | None = None


@dataclass
class _Running:
    """A cell at work: its generator, the packs of its current round that are still out."""

    cell: Cell
    ahead: Ahead
    allowance: Allowance
    rounds: Generator[Round, None, None]
    open: set[str] = field(default_factory=set)
    asked: int = 0
    confirmed: bool = False  # all that its answer rests on is there; its encoders may be to come
    ended: bool = False
    error: str | None = None

    def allowed(self, left: Left) -> Left:
        """What is left to be asked for, as far as the budget has room for it."""
        if self.allowance.trainings is None:
            return left
        room = max(0, self.allowance.trainings - self.asked)
        return left.towards(Left(), share=1 - room / left.trainings) if left.trainings > room else left


class Coordinator:
    """A study at work. Packs are composed deterministically: an interrupted study asks for the same ones again.

    The encoders that are kept come last: which strategy a pair should have depends on the gains of all cells, which
    the report corrects together. So every cell has its answer, or is given up, before they are asked for.

    Args:
        cells: of the study.
        ledger: of the study, open for writing.
        pack_size: largest number of replicates in a pack.
        on_progress: called after every change.
        on_cell_end: called when a cell has its answer and when it has its encoders, unless nothing was trained for
            them in this run, or nothing is left to train and the study ends.
        spending: keeps the time that the study's budget limits; None where it limits none.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        ledger: Ledger,
        *,
        pack_size: int,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_cell_end: Callable[[], None] = lambda: None,
        spending: Spending | None = None,
    ) -> None:
        self._ledger, self._spending = ledger, spending
        self._pack_size = pack_size
        self._decided = False
        self._on_progress, self._on_cell_end = on_progress, on_cell_end
        self._queue: deque[PlannedPack] = deque()
        self._packs: dict[str, tuple[PlannedPack, _Running]] = {}
        self._fractions: dict[str, float] = {}
        self._done = self._diverged = 0
        self._latest = cells[0].label
        self._work_done = 0.0
        if ledger.note(ERRORS):  # another run may do better
            ledger.set_note(ERRORS, {})
        allowed = shares(cells[0].config, cells)
        self._running = [self._begin(cell, trainings=allowed[cell.id]) for cell in cells]
        for running in self._running:
            self._advance(running)
        self._decide()

    @property
    def finished(self) -> bool:
        """Whether no pack is waiting or out."""
        return not self._queue and not self._packs

    @property
    def waiting(self) -> int:
        """Packs that nobody has taken yet."""
        return len(self._queue)

    @property
    def has_trained(self) -> bool:
        """Whether anything is on record by now."""
        return self._done > 0

    @property
    def errors(self) -> Mapping[str, str]:
        """Cells that gave up, by id, and why."""
        return {running.cell.id: running.error for running in self._running if running.error}

    @property
    def progress(self) -> Progress:
        """Where the study stands."""
        going = [running for running in self._running if not running.ended]
        begun = self._begun
        out = sum(self._work(pack) for pack, _ in self._packs.values())
        asked, now = sum(running.asked for running in self._running), out - begun
        return Progress(
            done=self._done,
            planned=asked + sum(cell.allowed(cell.ahead.left).trainings for cell in going),
            diverged=self._diverged,
            in_flight=sum(len(self._packs[key][0].members) * share for key, share in self._fractions.items()),
            latest=self._latest,
            work_done=self._work_done + begun,
            work_ended=self._work_done,
            work_left=now + sum(cell.allowed(cell.ahead.left).work for cell in going),
            packs_out=len(self._packs) - len(self._queue),
            planned_range=(
                asked + sum(cell.allowed(cell.ahead.least).trainings for cell in going),
                asked + sum(cell.allowed(cell.ahead.most).trainings for cell in going),
            ),
            work_left_range=(
                now + sum(cell.allowed(cell.ahead.least).work for cell in going),
                now + sum(cell.allowed(cell.ahead.most).work for cell in going),
            ),
        )

    def next_pack(self) -> PlannedPack | None:
        """A pack to train, or None while none is ready (ask again after a `complete`)."""
        if not self._queue:
            return None
        pack = self._queue.popleft()
        if self._spending is not None:
            self._spending.give(pack.id)
        return pack

    def advance(self, pack_id: str, fraction: float) -> None:
        """Note how much of a pack's training is done, for the display."""
        if pack_id in self._packs:
            self._fractions[pack_id] = fraction
            self._latest = self._packs[pack_id][0].cell.label
            self._on_progress(self.progress)

    def complete(self, pack_id: str, results: Sequence[ReplicateResult], *, seconds: float | None = None) -> None:
        """Record a pack's results and, if its round is complete, ask for the cell's next one; `seconds` are those for
        which its worker trained it, if that is known.
        """
        if pack_id not in self._packs:  # its cell was given up meanwhile
            return
        pack, running = self._release(pack_id)
        if pack.cell.code:
            results = [replace(result, code=pack.cell.code) for result in results]
        by_trial: dict[int, dict[int, ReplicateResult]] = {}
        for (asked, index), result in zip(pack.members, results, strict=True):
            by_trial.setdefault(asked.number, {})[index] = result
        trials = {asked.number: asked for asked, _ in pack.members}
        for number, own in by_trial.items():
            self._ledger.record(pack.cell.id, trials[number], own)
        self._count(results)
        self._work_done += self._work(pack)
        if self._spending is not None:
            self._spending.end(pack.id, work=self._work(pack), seconds=seconds)
            self._ledger.set_note(SPENT, self._spending.spent)
        if not running.open and running.error is None:
            self._advance(running)
            self._decide()
            if running.confirmed:
                if not self.finished:
                    self._on_cell_end()
                self._ledger.forget(running.cell.id)
        self._on_progress(self.progress)

    def split(self, pack_id: str) -> bool:
        """Put the two halves of a pack that did not fit into memory back in the queue; False where it holds one."""
        if pack_id not in self._packs:  # its cell was given up meanwhile
            return True
        pack, _ = self._packs[pack_id]
        if len(pack.members) < 2:
            return False
        _, running = self._release(pack_id)
        middle = len(pack.members) // 2
        for half in (pack.members[:middle], pack.members[middle:]):
            self._enqueue(running, half)
        return True

    def put_back(self, pack_id: str) -> None:
        """Queue a pack again whose training was lost; it goes on from its checkpoint."""
        if pack_id in self._packs:  # else its cell was given up meanwhile
            self._fractions.pop(pack_id, None)
            self._queue.append(replace(self._packs[pack_id][0], ready_at=time.monotonic()))

    def fail(self, pack_id: str, reason: str) -> None:
        """Give the pack's cell up: it gets no answer, its other packs are dropped, and the report says why."""
        if pack_id not in self._packs:
            return
        _, running = self._release(pack_id)
        running.error = reason
        running.ended = True
        running.rounds.close()
        self._queue = deque(pack for pack in self._queue if pack.id not in running.open)
        for other in [key for key in running.open if key in self._packs]:
            self._packs.pop(other)
            self._fractions.pop(other, None)
        running.open.clear()
        self._ledger.set_note(ERRORS, dict(self.errors))
        self._decide()
        self._on_progress(self.progress)

    def _begin(self, cell: Cell, *, trainings: int | None) -> _Running:
        allowance = Allowance(cell, self._ledger, trainings=trainings, refusal=self._refusal)
        ahead = Ahead(cell=cell, pack_size=self._pack_size)
        return _Running(
            cell=cell, ahead=ahead, allowance=allowance, rounds=rounds(cell, self._ledger, allowance=allowance)
        )

    def _refusal(self, trainings: int) -> Limit | None:
        """The limit of time that has no room for so many trainings more and the confirmations of all cells."""
        if self._spending is None:
            return None
        begun = self._begun
        going = [running.allowance for running in self._running if not running.ended]
        reserved = [self._work_of(allowance.reserved) for allowance in going]
        more, packs = self._work_of(trainings)
        demand = Demand(
            begun=begun,
            left=sum(self._work(pack) for pack, _ in self._packs.values()) - begun,
            round=more,
            reserved=sum(work for work, _ in reserved),
            opening=sum(self._work_of(allowance.opening)[0] for allowance in going),
            packs=len(self._packs) + packs + sum(count for _, count in reserved),
        )
        return self._spending.refusal(demand)

    @property
    def _begun(self) -> float:
        """The work that is done of packs which have not ended."""
        return sum(share * self._work(self._packs[key][0]) for key, share in self._fractions.items())

    def _work_of(self, trainings: int) -> tuple[float, int]:
        """The work of so many trainings in one round, and its packs."""
        groups = even_groups(range(trainings), self._pack_size) if trainings else []
        return sum(pack_work(len(group), pack_size=self._pack_size) for group in groups), len(groups)

    def _work(self, pack: PlannedPack) -> float:
        return pack_work(len(pack.members), pack_size=self._pack_size)

    def _release(self, pack_id: str) -> tuple[PlannedPack, _Running]:
        pack, running = self._packs.pop(pack_id)
        self._fractions.pop(pack_id, None)
        running.open.discard(pack_id)
        self._latest = pack.cell.label
        return pack, running

    def _advance(self, running: _Running) -> None:
        """Ask for rounds until one has something left to train, or the cell has its answer, or its encoders too."""
        for asked in running.rounds:
            self._plan(running, asked)
            if running.open:
                return
        running.confirmed = True
        running.ended = self._decided or not _keeps_encoders(running)

    def _decide(self) -> None:
        """Once no cell is without its answer that may still get one, ask for the encoders of all of them."""
        if self._decided or not all(running.confirmed or running.ended for running in self._running):
            return
        self._decided = True
        waiting = [running for running in self._running if not running.ended]
        recommended = recommended_settings([running.cell for running in self._running], self._ledger) if waiting else {}
        for running in waiting:
            if running.cell.id in recommended:
                self._plan(running, encoder_round(running.cell, self._ledger, recommended[running.cell.id]))
            running.ended = not running.open
        for running in self._running:
            self._ledger.forget(running.cell.id)

    def _plan(self, running: _Running, asked: Round) -> None:
        by_arm: dict[Arm, list[tuple[Asked, int]]] = {}
        for trial in asked:
            by_arm.setdefault(trial.arm, []).extend((trial, index) for index in trial.replicates)
        running.ahead.correct({arm: len(members) for arm, members in by_arm.items()})
        for members in by_arm.values():
            running.asked += len(members)
            for group in even_groups(members, self._pack_size):
                recorded = [trial.results[index] for trial, index in group if index in trial.results]
                if len(recorded) == len(group):
                    self._count(recorded)
                else:
                    self._enqueue(running, group)

    def _enqueue(self, running: _Running, members: Iterable[tuple[Asked, int]]) -> None:
        members = tuple(members)
        spec = running.cell.job(members[0][0].arm, [(trial.setting, index) for trial, index in members])
        pack = PlannedPack(spec=spec, cell=running.cell, members=members)
        self._packs[pack.id] = (pack, running)
        running.open.add(pack.id)
        self._queue.append(pack)

    def _count(self, results: Iterable[ReplicateResult]) -> None:
        for result in results:
            self._done += 1
            self._diverged += int(result.status == "diverged")


def _keeps_encoders(running: _Running) -> bool:
    return running.cell.config.models and running.ahead.asked["confirm"] > 0
