"""How a cluster is shared out: planted cases, and studies that come, go, fall silent and outnumber its places."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from study.cluster.shares import SILENT_SECONDS, Book, Demand, fair_counts, fair_parts


def demands(*given: tuple[float, int, int]) -> dict[str, Demand]:
    """Studies a, b, …, each by its weight, capacity and wish."""
    return {
        name: Demand(weight=weight, capacity=capacity, wanted=wanted)
        for name, (weight, capacity, wanted) in zip("abcdefgh", given, strict=False)
    }


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([(1, 8, 100)], [1]),
        ([(1, 8, 2)], [1 / 4]),
        ([(1, 8, 100), (1, 8, 100)], [1 / 2, 1 / 2]),
        ([(3, 8, 100), (1, 8, 100)], [3 / 4, 1 / 4]),
        ([(1, 8, 1), (1, 8, 100), (2, 8, 100)], [1 / 8, 7 / 24, 7 / 12]),  # what one leaves goes by weight as well
        ([(1, 8, 0), (1, 8, 100)], [0, 1]),
        ([(100, 8, 1), (0.01, 8, 100)], [1 / 8, 7 / 8]),
        ([(1, 4, 100), (1, 8, 100)], [1 / 2, 1 / 2]),  # packs of one are twice as large
        ([(1, 8, 2), (1, 8, 2)], [1 / 4, 1 / 4]),
        ([], []),
    ],
)
def test_parts_are_those_of_planted_cases(given: list[tuple[float, int, int]], parts: list[float]) -> None:
    assert list(fair_parts(demands(*given)).values()) == pytest.approx(parts)


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ([(1, 8, 100)], [8]),
        ([(1, 8, 100), (1, 8, 100)], [4, 4]),
        ([(1, 4, 100), (1, 4, 100), (1, 4, 100)], [2, 1, 1]),
        ([(1, 2, 100)] * 5, [1, 1, 0, 0, 0]),
        ([(1, 4, 100), (1, 8, 100)], [2, 4]),
        ([(1, 1, 100), (1, 4, 100)], [0, 4]),  # half a cluster is no pack of the first: its turn comes, see below
        ([(1, 1, 100)], [1]),
        ([(1, 1, 0), (1, 1, 0)], [0, 0]),
    ],
)
def test_whole_packs_are_those_of_planted_cases(given: list[tuple[float, int, int]], counts: list[int]) -> None:
    assert list(fair_counts(demands(*given)).values()) == counts


def test_what_is_left_over_goes_to_whom_it_is_due() -> None:
    three = demands(*[(1, 4, 100)] * 3)
    for lucky in three:
        due = {name: Demand(capacity=4, wanted=100, due=float(name == lucky)) for name in three}
        assert fair_counts(due)[lucky] == 2


def test_counts_never_exceed_the_cluster_nor_a_wish_and_leave_no_place_that_somebody_wants() -> None:
    chance = random.Random(0)
    for _ in range(300):
        capacity = chance.randint(1, 40)
        asked = demands(
            *((chance.choice([0.01, 1, 2, 100]), capacity, chance.randint(0, 60)) for _ in range(chance.randint(1, 8)))
        )
        counts = fair_counts(asked)
        assert all(0 <= counts[name] <= one.wanted for name, one in asked.items())
        assert sum(counts.values()) == min(capacity, sum(one.wanted for one in asked.values()))


class Cluster:
    """A cluster whose studies always want more; their packs take `seconds` each, and they speak every half second."""

    def __init__(self, places: int, **seconds: float) -> None:
        self.places, self.seconds, self.now = places, seconds, 0.0
        self.book, self.weights = Book(), dict.fromkeys(seconds, 1.0)
        self.ends: dict[str, list[float]] = {name: [] for name in seconds}
        self.held: Counter[str] = Counter()  # places × seconds
        self.begun: Counter[str] = Counter()

    def run(self, seconds: float, *studies: str) -> None:
        for _ in range(round(seconds / 0.5)):
            self.now += 0.5
            for name in studies:
                self.ends[name] = [end for end in self.ends[name] if end > self.now]
                running = self.ends[name]
                demand = Demand(weight=self.weights[name], capacity=self.places, held=len(running), wanted=1000)
                for _ in range(self.book.tell(name, demand, now=self.now) - len(running)):
                    running.append(self.now + self.seconds[name])
                    self.begun[name] += 1
            assert sum(map(len, self.ends.values())) <= self.places
            for name, running in self.ends.items():
                self.held[name] += 0.5 * len(running)


def test_a_newcomer_has_its_part_within_the_length_of_a_pack_and_one_that_goes_leaves_it() -> None:
    cluster = Cluster(8, old=60, new=60)
    cluster.run(90, "old")
    assert len(cluster.ends["old"]) == 8

    cluster.run(61, "old", "new")
    assert {name: len(running) for name, running in cluster.ends.items()} == {"old": 4, "new": 4}

    cluster.run(61, "old", "new")
    cluster.ends["new"] = []
    cluster.book.leave("new")
    cluster.run(2, "old")
    assert len(cluster.ends["old"]) == 8


@pytest.mark.parametrize("places", [1, 2, 4, 7])
def test_each_of_more_studies_than_places_gets_an_equal_turn(places: int) -> None:
    cluster = Cluster(places, a=10, b=10, c=10, d=10, e=10)
    cluster.run(1000, *"abcde")

    total = sum(cluster.held.values())
    assert total >= 0.9 * 1000 * places  # a place is passed on when the next one speaks
    assert all(held == pytest.approx(total / 5, rel=0.1) for held in cluster.held.values())


def test_packs_of_other_lengths_and_weights_get_their_part_of_time() -> None:
    cluster = Cluster(5, short=3, long=40, heavy=10)
    cluster.weights["heavy"] = 2.0
    cluster.run(2000, "short", "long", "heavy")

    total = sum(cluster.held.values())
    assert {name: held / total for name, held in cluster.held.items()} == pytest.approx(
        {"short": 0.25, "long": 0.25, "heavy": 0.5}, rel=0.15
    )


def test_a_pack_that_needs_the_whole_cluster_gets_its_turn() -> None:
    book = Book()
    whole = small = 0
    running = {"whole": 0.0, "small": 0.0}
    for step in range(2000):
        now = step / 2
        for name, capacity in (("whole", 1), ("small", 4)):
            if now >= running[name]:
                allowed = book.tell(name, Demand(capacity=capacity, wanted=9), now=now)
                if allowed:
                    running[name] = now + 10
                    whole += name == "whole"
                    small += name == "small"
            else:
                held = 1 if name == "whole" else 4
                book.tell(name, Demand(capacity=capacity, held=held, wanted=9), now=now)
    assert whole > 25
    assert small > 25


def test_a_place_is_not_given_before_its_holder_has_been_told() -> None:
    book = Book()
    assert book.tell("old", Demand(capacity=4, wanted=9), now=0) == 4
    assert book.tell("new", Demand(capacity=4, wanted=9), now=1) == 0  # the old one may have begun all four by now
    assert book.tell("old", Demand(capacity=4, held=3, wanted=9), now=2) == 2  # told now, for its next word to show
    assert book.tell("new", Demand(capacity=4, wanted=9), now=3) == 0
    assert book.tell("old", Demand(capacity=4, held=3, wanted=9), now=4) == 2
    assert book.tell("new", Demand(capacity=4, wanted=9), now=5) == 1


def test_who_falls_silent_keeps_what_it_holds_and_no_more() -> None:
    book = Book()
    book.tell("silent", Demand(capacity=4, wanted=9), now=0)
    book.tell("silent", Demand(capacity=4, held=1, wanted=9), now=1)
    assert book.tell("other", Demand(capacity=4, wanted=9), now=SILENT_SECONDS) == 0
    assert book.tell("other", Demand(capacity=4, wanted=9), now=SILENT_SECONDS + 2) == 3
    assert book.tell("silent", Demand(capacity=4, held=1, wanted=9), now=SILENT_SECONDS + 3) == 1


def test_a_process_without_a_pack_may_stay_while_nobody_wants_its_place() -> None:
    book = Book()
    assert book.tell("idle", Demand(capacity=2, held=1, wanted=0), now=0) == 1
    assert book.tell("busy", Demand(capacity=2, wanted=1), now=1) == 1
    assert book.tell("idle", Demand(capacity=2, held=1, wanted=0), now=2) == 1
    assert book.tell("busy", Demand(capacity=2, held=1, wanted=9), now=3) == 1
    assert book.tell("idle", Demand(capacity=2, held=1, wanted=0), now=4) == 0
    book.tell("idle", Demand(capacity=2, held=0, wanted=0), now=5)
    assert book.tell("busy", Demand(capacity=2, held=1, wanted=9), now=6) == 2


def test_standings_say_who_holds_wants_and_is_due_what() -> None:
    book = Book()
    book.tell("one", Demand(capacity=4, held=1, wanted=9), now=0)
    book.tell("two", Demand(weight=3, capacity=4, held=2, wanted=9), now=0)

    one, two = book.standings(now=1)
    assert (one.study, one.held, one.wanted, one.due) == ("one", 1, 9, pytest.approx(1.0))
    assert (two.study, two.weight, two.held, two.due) == ("two", 3, 2, pytest.approx(3.0))
    assert book.wanted() == {"one": 9, "two": 9}
