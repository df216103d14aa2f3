"""Shares of a cluster: how many packs each of several studies may train at once, and who holds how many.

Packs of two studies need not be of one size, so what is shared is the cluster as a whole: a pack of a study that would
fit `capacity` of them, were it alone, takes 1 / `capacity`. Shares are max-min fair by weight, as in weighted fair
queueing: whoever wants less than his part gets what he wants, and the others share the rest. That leaves fractions of a
pack, which go round: to the study that lacks most of what it was due so far (deficit round robin; Shreedhar and
Varghese 1995). So each of more studies than places gets its turn.

Nothing here knows Ray or a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

_SMALL = 1e-9
_MOST_DUE = 600.0  # seconds of the whole cluster that one may lack, or have had too much, at most
_TURN = 10.0  # likewise: from which on a study has a turn that is larger than its part
SILENT_SECONDS = 30.0  # after which a study that says nothing is taken to want no more than it holds


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a study asks for: places that it holds, packs that it wants to train, and how many the whole cluster fits.

    A place is held by a pack, or by a process that waits for the next one. `weight` is its `resources.share`; `due`
    what it lacks of its part so far, in seconds of the whole cluster, or below zero what it has had beyond it.
    """

    weight: float = 1.0
    capacity: int
    held: int = 0
    wanted: int
    due: float = 0.0

    @property
    def part(self) -> float:
        """Of the cluster, that it wants."""
        return max(self.wanted, 0) / self.capacity


def fair_parts(demands: Mapping[str, Demand], *, of: float = 1.0) -> dict[str, float]:
    """The part of the cluster that each study is due, 0 to 1: in proportion to its weight, but no more than it wants.

    What one does not want the others share. All parts add up to `of`, or to less where all have what they want.
    """
    parts = dict.fromkeys(demands, 0.0)
    left, hungry = of, {name for name, demand in demands.items() if demand.part > 0}
    while hungry and left > _SMALL:
        level = left / sum(demands[name].weight for name in hungry)
        content = {name for name in hungry if demands[name].part <= demands[name].weight * level + _SMALL}
        for name in content or hungry:
            parts[name] = demands[name].part if content else demands[name].weight * level
            left -= parts[name]
        hungry -= content or hungry
    return parts


def fair_counts(demands: Mapping[str, Demand]) -> dict[str, int]:
    """The packs that each study may have in flight, in whole numbers; none of them more than it wants.

    What rounding down leaves of the cluster goes to those that are due most, as many as fit. A study whose part is less
    than a pack of its own, and of what is left over too, has a turn of one as soon as that is due to it; the others
    share the rest. Where nobody would get anything, one does.
    """
    left, turns = 1.0, dict[str, int]()
    parts = fair_parts(demands)
    for name in sorted(demands, key=lambda name: -demands[name].due):  # those equally due in the order they came
        one = demands[name]
        is_small = one.wanted > 0 and parts[name] * one.capacity < 1 - 1e-6
        if is_small and one.due > (0.0 if one.held else _TURN) and left >= 1 / one.capacity - _SMALL:
            turns[name] = 1
            left -= 1 / one.capacity
    others = {name: one for name, one in demands.items() if name not in turns}
    parts = fair_parts(others, of=left)
    counts = {name: math.floor(part * others[name].capacity + 1e-6) for name, part in parts.items()}
    left -= sum(count / others[name].capacity for name, count in counts.items())
    rounded_down = [name for name, part in parts.items() if counts[name] < part * others[name].capacity - 1e-6]
    counts = {name: turns.get(name, counts.get(name, 0)) for name in demands}
    candidates = rounded_down or list(demands)
    while candidates:
        given = []
        for name in sorted(candidates, key=lambda name: -demands[name].due):
            if counts[name] < demands[name].wanted and left >= 1 / demands[name].capacity - _SMALL:
                counts[name] += 1
                left -= 1 / demands[name].capacity
                given.append(name)
        candidates = list(demands) if given or candidates is rounded_down else []
    if not any(counts.values()) and (waiting := [name for name, demand in demands.items() if demand.wanted > 0]):
        counts[max(waiting, key=lambda name: demands[name].due)] = 1
    return counts


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a study stands: places that it holds, wants, may hold and is due (which may be a fraction)."""

    study: str
    weight: float
    held: int
    wanted: int
    allowed: int
    due: float


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """A study that shares: its demand, when it last spoke, what it was told and may hold by now."""

    demand: Demand
    heard: float
    allowed: int = 0
    reserved: int = 0


class Book:
    """Who holds and wants how many packs. Each study is told how many it may have in flight, and is believed.

    A study that has more in flight than it may begins no new one, and ends processes that have none. What it was
    allowed stays its own until it has been told otherwise, which its next word shows; so two studies are never given
    the same place. `now` is any clock that does not go back, in seconds.
    """

    def __init__(self) -> None:
        self._holders: dict[str, _Holder] = {}
        self._counted: float | None = None

    def tell(self, study: str, demand: Demand, *, now: float) -> int:
        """How many places a study may hold, which holds and wants what `demand` says.

        They are its fair share, or less where others still hold some of that. Beyond it, it may keep what nobody wants.
        """
        self._account(now)
        before = self._holders.get(study)
        may_hold = max(demand.held, before.allowed if before else 0)  # by what it knew when it spoke
        known = replace(demand, due=before.demand.due if before else 0.0)
        self._holders[study] = _Holder(demand=known, heard=now, reserved=may_hold)
        counts = fair_counts(self._demands(now))
        others = {name: one for name, one in self._holders.items() if name != study}

        def room(taken: Mapping[str, int]) -> int:
            """Of the study's packs, beside what others have taken."""
            left = 1.0 - sum(count / others[name].demand.capacity for name, count in taken.items())
            return max(0, math.floor(left * demand.capacity + 1e-6))

        taken = {name: self._reserved(one, now) for name, one in others.items()}
        allowed = min(counts[study], max(room(taken), demand.held))
        spare = room({name: max(count, counts[name]) for name, count in taken.items()})
        allowed = max(allowed, min(demand.held, spare))
        self._holders[study] = replace(self._holders[study], allowed=allowed, reserved=max(may_hold, allowed))
        return allowed

    def leave(self, study: str) -> None:
        """Forget a study, which holds nothing any more."""
        self._holders.pop(study, None)

    @property
    def studies(self) -> tuple[str, ...]:
        """Those that share, in the order in which they came."""
        return tuple(self._holders)

    def wanted(self) -> dict[str, int]:
        """How many packs each study wants to train at once, those in flight among them."""
        return {name: one.demand.wanted for name, one in self._holders.items()}

    def standings(self, *, now: float) -> tuple[Standing, ...]:
        """How each study stands, in the order in which they came."""
        demands = self._demands(now)
        parts = fair_parts(demands)
        return tuple(
            Standing(
                study=name,
                weight=one.demand.weight,
                held=one.demand.held,
                wanted=one.demand.wanted,
                allowed=one.allowed,
                due=parts[name] * one.demand.capacity,
            )
            for name, one in self._holders.items()
        )

    def _demands(self, now: float) -> dict[str, Demand]:
        return {
            name: replace(one.demand, wanted=one.demand.held) if self._is_silent(one, now) else one.demand
            for name, one in self._holders.items()
        }

    def _is_silent(self, holder: _Holder, now: float) -> bool:
        return now - holder.heard > SILENT_SECONDS

    def _reserved(self, holder: _Holder, now: float) -> int:
        return holder.demand.held if self._is_silent(holder, now) else holder.reserved

    def _account(self, now: float) -> None:
        """Add to what each study is due, or take from it, by what it held since the last time."""
        passed = 0.0 if self._counted is None else max(0.0, now - self._counted)
        self._counted = now
        parts = fair_parts(self._demands(now))
        for name, one in self._holders.items():
            gained = passed * (parts[name] - one.demand.held / one.demand.capacity)
            due = min(_MOST_DUE, max(-_MOST_DUE, one.demand.due + gained))
            self._holders[name] = replace(one, demand=replace(one.demand, due=due))
