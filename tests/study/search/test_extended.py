"""Studies that are asked for more: what is on record counts, what is missing is trained, and the report says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import Arm, Asked
from study.config import ConfigError, parse_config
from study.results.build import build_report
from study.results.model import CellResult, Report, from_json, to_json
from study.results.text.doubts import caveats
from study.search import Ledger
from study.search.record.notes import CELLS, CONFIGURATION, EXTENSIONS, RUN, Run
from study.search.rounds import rounds
from study.selection.looks import corrected_p
from study.session.begun import Begun, begun
from study.session.opening import check_in, opened
from tests.study import studies
from trainables.spec import ReplicateResult, derive_seed

STUDY = """
study: grown
dataset: {{name: digits}}
pairs: {pairs}
alignment: {{one_sided: {one_sided}}}
strength: {{range: {range}, initial: {initial}, refine: {refine}, per_round: 2}}
replicates: {{search: {search}, confirm: {confirm}}}
models: false
search: {{sampler: {sampler}}}
"""
ASKED: dict[str, Any] = {
    "pairs": "[[left, right]]", "one_sided": "never", "range": "[0, 4]", "initial": "[0, 0.25, 0.5, 1, 2, 4]",
    "refine": 0, "search": 3, "confirm": 5, "sampler": "qmc",
}  # fmt: skip
Curve = Callable[[int, float, int], float]  # of an encoder, a strength and a replicate of the search
Pair = tuple[float, float]
ARMS: tuple[Arm, ...] = ("shared", "to_1", "to_2", "confirm")


def hump(side: int, strength: float, _: int) -> float:
    """Highest at 1, by 3 points over λ = 0; encoder 2 gains half of that."""
    return 0.03 * 4 * strength / (strength + 1) ** 2 / (1 + side)


def misled(side: int, strength: float, index: int) -> float:
    """The first three seeds of the search are highest at 0.25, the others by far at 2."""
    peak = 0.25 if index < 3 else 2.0
    return (0.02 if index < 3 else 0.2) * 4 * strength * peak / (strength + peak) ** 2 / (1 + side)


class Grown:
    """A study of planted trainings in a folder, run as often as one likes; what was trained in each run, in order."""

    def __init__(self, folder: Path, curve: Curve = hump) -> None:
        self.folder, self._curve = folder, curve
        self.said: list[str] = []
        self.runs: list[list[tuple[str, Arm, Pair, int]]] = []

    def run(self, *, text: str | None = None, stop_after: int | None = None, **asked: Any) -> Report:
        """Go on to the end, or for so many rounds, and the report of what is there."""
        config = parse_config(text or STUDY.format(**{**ASKED, **asked}))
        cells, data = build_cells(config)
        self.said, left = [], stop_after
        self.runs.append([])
        with opened(config, out=self.folder, cells=len(cells), say=self.said.append) as study:
            _, cells, _ = check_in(study, config, cells, data, say=self.said.append)
            for cell in cells:
                for round_ in rounds(cell, study.ledger):
                    if left is not None:
                        if left == 0:
                            break
                        left -= 1
                    self._train(cell, study.ledger, round_)
            if stop_after is None:
                study.ledger.set_note(RUN, Run(complete=True))
            report = build_report(cells, study.ledger, {}, {}, run=Run(complete=stop_after is None))
        return from_json(Report, to_json(report))

    def begun(self, **asked: Any) -> Begun | None:
        """What a dry run would say of the study, asked for this."""
        config = parse_config(STUDY.format(**{**ASKED, **asked}))
        return begun(config, *build_cells(config), out=self.folder, say=self.said.append)

    def trainings(
        self, cell: str = "digits/left+right"
    ) -> dict[tuple[Arm, tuple[float, float], int], tuple[float, ...]]:
        """Scores of everything on record, by arm, strengths and replicate."""
        config = parse_config(STUDY.format(**ASKED))
        with opened(config, out=self.folder, cells=1, say=str) as study:
            return {
                (arm, trial.setting.strengths, index): result.scores
                for arm in ARMS
                for trial in study.ledger.trials(cell, arm)
                for index, result in trial.results.items()
            }

    def _train(self, cell: Cell, ledger: Ledger, asked: tuple[Asked, ...]) -> None:
        for trial in asked:
            ledger.record(cell.id, trial, {index: self._result(cell, trial, index) for index in trial.missing})
            self.runs[-1] += [(cell.id, trial.arm, trial.setting.strengths, index) for index in trial.missing]

    def _result(self, cell: Cell, trial: Asked, index: int) -> ReplicateResult:
        job = cell.job(trial.arm, [(trial.setting, index)])
        seed = job.replicas[0].seed
        scores = []
        for side, strength in enumerate(trial.setting.strengths):
            common = np.random.default_rng(derive_seed(seed, side)).normal(0, 0.02)
            own = np.random.default_rng(derive_seed(seed, side, strength)).normal(0, 0.004)
            gain = self._curve(side, strength, 9 if trial.arm == "confirm" else index)
            scores.append(float(0.7 + gain + common + own))
        return ReplicateResult(
            status="ok", scores=(scores[0], scores[1]), losses=(1.0, 1.0), alignment={"cka": 0.5},
            curve=((1.0, scores[0], scores[1], 1.0, 1.0),),
        )  # fmt: skip


def cell_of(report: Report, index: int = 0) -> CellResult:
    return report.cells[index]


def test_more_seeds_come_to_what_they_would_have_from_the_start(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    first = study.run()
    before = study.trainings()
    extended, at_once = study.run(search=5, confirm=10), whole.run(search=5, confirm=10)

    after, wanted = study.trainings(), whole.trainings()
    assert before.items() <= after.items()
    assert {key: after[key] for key in wanted if key in after and key[0] == "shared"} == {
        key: scores for key, scores in wanted.items() if key[0] == "shared"
    }  # the search, bit for bit
    assert all(after[key] == wanted[key] for key in wanted.keys() & after.keys())
    assert max(Counter(key for run in study.runs for key in run).values()) == 1  # none was trained twice
    assert len(study.runs[1]) == len(after) - len(before)
    for grown, other in zip(cell_of(extended).encoders, cell_of(at_once).encoders, strict=True):
        assert (grown.curve, grown.interval, grown.shape, grown.posterior) == (
            other.curve, other.interval, other.shape, other.posterior,
        )  # fmt: skip
        assert grown.gain_over_zero is not None
        assert (grown.gain_over_zero.seeds, grown.gain_over_zero.looks) == (10, 2)
    assert cell_of(extended).counts.replicates == 5
    assert [line for line in study.said if "is extended" in line] == [
        f"the study grown is extended (replicates.confirm: 5 -> 10; replicates.search: 3 -> 5); all {len(before)} "
        "trainings on record count"
    ]
    assert any("might have placed others" in line for line in study.said)
    assert study.run(search=5, confirm=10) == extended  # run once more
    assert study.runs[-1] == []
    assert first.begun_as is None
    assert extended.begun_as == first.config_hash != extended.config_hash


def test_a_confirmation_that_is_extended_is_that_of_a_larger_one_corrected_for_two_looks(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    study.run()
    extended, at_once = study.run(confirm=12), whole.run(confirm=12)

    assert study.trainings() == whole.trainings()
    assert {arm for _, arm, _, _ in study.runs[1]} == {"confirm"}
    assert {index for _, _, _, index in study.runs[1]} == set(range(5, 12))
    pairs = zip(cell_of(extended).pair_choice.alternatives, cell_of(at_once).pair_choice.alternatives, strict=True)
    for grown, other in pairs:
        one, two = grown.gain_mean, other.gain_mean
        assert one is not None
        assert two is not None
        assert (one.mean, one.seeds, one.looks, two.looks) == (two.mean, 12, 2, None)
        assert one.p_value == pytest.approx(corrected_p(two.p_value or 0.0, (5 / 12,)))
        assert one.interval is not None
        assert two.interval is not None
        assert one.interval[0] < two.interval[0] < two.interval[1] < one.interval[1]
    told = [line for line in caveats(cell_of(extended)) if "could be seen before" in line]
    assert told == [
        "its confirmation could be seen before the study was extended (once, at 5 seeds): where more was confirmed "
        "since, p-values and intervals of gains are corrected for every look."
    ]
    assert not any("could be seen before" in line for line in caveats(cell_of(at_once)))
    thrice = study.run(confirm=20)
    gain = cell_of(thrice).pair_choice.alternatives[0].gain_mean
    assert gain is not None
    assert (gain.seeds, gain.looks) == (20, 3)
    assert any("(2 times, at 5, 12 seeds)" in line for line in caveats(cell_of(thrice)))


def test_strengths_added_to_a_search_are_those_that_it_would_have_added(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    study.run(refine=2, sampler="posterior")
    before = study.trainings()
    study.run(refine=4, sampler="posterior")
    whole.run(refine=4, sampler="posterior")

    searched = [{key: one for key, one in each.trainings().items() if key[0] == "shared"} for each in (study, whole)]
    assert searched[0] == searched[1]
    assert before.items() <= study.trainings().items()


def test_a_search_that_moves_confirms_anew_and_says_what_does_not_count(tmp_path: Path) -> None:
    study = Grown(tmp_path, misled)
    first = cell_of(study.run())
    old = first.encoders[0].lambda_star or 0.0
    extended = cell_of(study.run(search=12))

    new = extended.encoders[0].lambda_star or 0.0
    assert old < 0.6 < 1.2 < new
    confirmed = {strengths for _, arm, strengths, _ in study.runs[1] if arm == "confirm"}
    assert confirmed
    assert all(max(strengths) > 1.2 for strengths in confirmed)  # λ = 0 is on record
    gain = extended.encoders[0].gain_over_zero
    assert gain is not None
    assert (gain.source, gain.seeds, gain.looks) == ("confirm", 5, 2)
    # the same number of seeds at other strengths: those confirmed before are still there to be told
    longer = cell_of(study.run(search=12, confirm=8))
    assert [one.seeds for one in longer.left_behind] == [5] * len(longer.left_behind)
    assert any(f"5 seeds at λ = {old:.2g}" in line for line in caveats(longer) if "left strengths behind" in line)


def test_a_search_that_moves_little_keeps_what_was_confirmed(tmp_path: Path) -> None:
    study = Grown(tmp_path)
    first = cell_of(study.run(confirm=5))
    extended = cell_of(study.run(search=6, confirm=5))
    told = [line for line in caveats(extended) if "stands for λ* still" in line]
    assert len(told) == len([1 for one in extended.encoders if one.searched and one.searched.highest is not None]) > 0
    assert not [line for line in caveats(first) if "stands for λ* still" in line]
    assert not any(arm == "confirm" for _, arm, _, _ in study.runs[1])
    for before, after in zip(first.encoders, extended.encoders, strict=True):
        assert after.lambda_star == before.lambda_star
        assert after.gain_over_zero is not None
        assert before.gain_over_zero is not None
        assert after.gain_over_zero.looks is None  # nothing was confirmed since: there was one look
        assert after.gain_over_zero.p_value == before.gain_over_zero.p_value


def test_a_wider_range_is_tried_at_its_new_end(tmp_path: Path) -> None:
    study = Grown(tmp_path)
    study.run(refine=2)
    before = study.trainings()
    extended = cell_of(study.run(range="[0, 8]", refine=2))
    assert (8.0, 8.0) in {strengths for _, arm, strengths, _ in study.runs[1] if arm == "shared"}
    assert before.items() <= study.trainings().items()
    assert max(extended.encoders[0].tried) == 8
    study.run(range="[0, 8]", initial="[0, 0.25, 0.5, 1, 2, 4, 6]", refine=2)
    assert {strengths for _, arm, strengths, _ in study.runs[2] if arm == "shared"} == {(6.0, 6.0)}


@pytest.mark.parametrize(
    "asked",
    [
        {"search": 5, "confirm": 7},
        {"confirm": 7, "refine": 2},
        {"initial": "[0, 0.25, 0.5, 1, 2, 3, 4]"},
    ],
)
def test_what_is_to_come_is_told_before(asked: dict[str, Any], tmp_path: Path) -> None:
    study = Grown(tmp_path)
    assert study.begun() is None
    study.run()
    first = study.begun()
    assert first == Begun(done=len(study.runs[0]), left=0, changes=())
    told = study.begun(**asked)
    assert told is not None
    assert len(told.changes) == len(asked)
    study.run(**asked)
    assert told.done == len(study.runs[0])
    assert told.left == len(study.runs[1])
    assert study.begun(**asked) == Begun(done=told.done + told.left, left=0, changes=())


@pytest.mark.parametrize(
    ("stop_after", "more"), [(1, {}), (None, {"pairs": "[[left, right], [left, fourier]]"})], ids=["stopped", "pairs"]
)
def test_what_is_to_come_is_told_as_likely_where_it_hangs_on_answers(
    stop_after: int | None, more: dict[str, Any], tmp_path: Path
) -> None:
    study = Grown(tmp_path)
    study.run(stop_after=stop_after)
    told = study.begun(**more)
    study.run(**more)
    assert told is not None
    assert told.done == len(study.runs[0])
    assert abs(told.left - len(study.runs[1])) <= ASKED["confirm"]  # it may be a strength more or less to confirm


def test_an_extension_can_be_killed_anywhere(tmp_path: Path) -> None:
    whole = Grown(tmp_path / "whole")
    whole.run(refine=2)
    expected = whole.run(search=4, confirm=8, refine=4)
    asked = len(whole.runs[1])
    for stop in (1, 3):
        study = Grown(tmp_path / str(stop))
        study.run(refine=2)
        study.run(search=4, confirm=8, refine=4, stop_after=stop)
        assert study.run(search=4, confirm=8, refine=4) == expected
        assert len(study.runs[1]) + len(study.runs[2]) == asked
        assert study.trainings() == whole.trainings()


def test_an_extension_that_was_killed_as_it_was_noted_is_noted_once(tmp_path: Path) -> None:
    study = Grown(tmp_path)
    study.run(pairs="[[left, right]]")
    config = parse_config(STUDY.format(**ASKED))
    study.run(confirm=8, pairs="[[left, right], [left, fourier]]", stop_after=0)
    with opened(config, out=tmp_path, cells=1, say=str) as left:  # as before the last of its notes
        left.ledger.set_note(CELLS, (left.ledger.note(CELLS) or ())[:1])
        left.ledger.set_note(CONFIGURATION, config.identity)
    report = study.run(confirm=8, pairs="[[left, right], [left, fourier]]")
    assert [len(cell.extensions) for cell in report.cells] == [1, 0]
    with opened(config, out=tmp_path, cells=1, say=str) as left:
        left.ledger.set_note(CELLS, (left.ledger.note(CELLS) or ())[:1])
    assert study.run(confirm=8, pairs="[[left, right], [left, fourier]]") == report


def test_a_study_that_is_not_confirmed_yet_is_extended_without_a_look(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    study.run(stop_after=1)  # it has asked for its confirmation, of which nothing was trained
    extended, at_once = study.run(search=5, confirm=8), whole.run(search=5, confirm=8)

    searched = [{key: one for key, one in each.trainings().items() if key[0] == "shared"} for each in (study, whole)]
    assert searched[0] == searched[1]
    gain = cell_of(extended).pair_choice.alternatives[0].gain_mean
    assert gain is not None
    assert (gain.seeds, gain.looks) == (8, None)
    assert cell_of(extended).extensions[0].looked == "not"
    for grown, other in zip(cell_of(extended).encoders, cell_of(at_once).encoders, strict=True):
        assert grown.posterior == other.posterior


def test_a_study_without_a_confirmation_gets_one(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    study.run(confirm=0, one_sided="auto")
    extended, at_once = study.run(one_sided="auto"), whole.run(one_sided="auto")
    assert study.trainings() == whole.trainings()
    assert cell_of(extended).pair_choice == cell_of(at_once).pair_choice


def test_one_sided_strengths_go_on_too(tmp_path: Path) -> None:
    study = Grown(tmp_path)
    study.run(one_sided="always", refine=2)
    before = study.trainings()
    extended = cell_of(study.run(one_sided="always", refine=2, search=5, confirm=8))
    after = study.trainings()
    assert before.items() <= after.items()
    for arm in ("to_1", "to_2"):
        seeds: dict[tuple[float, float], set[int]] = {}
        for key in after:
            if key[0] == arm:
                seeds.setdefault(key[1], set()).add(key[2])
        assert all(own >= set(range(5)) for own in seeds.values())
        assert len(seeds) == len({key[1] for key in before if key[0] == arm})  # no strength more than were asked for
    per_encoder = {one.strategy: one.gain_mean for one in extended.pair_choice.alternatives}["per_encoder"]
    assert per_encoder is not None
    assert (per_encoder.seeds, per_encoder.looks) == (8, 2)


def test_further_pairs_leave_the_others_as_they_are(tmp_path: Path) -> None:
    study, whole = Grown(tmp_path / "grown"), Grown(tmp_path / "whole")
    first = study.run()
    both = study.run(pairs="[[left, fourier], [left, right]]")
    at_once = whole.run(pairs="[[left, fourier], [left, right]]")
    assert {cell for cell, _, _, _ in study.runs[1]} == {"digits/left+fourier"}
    assert both.cells == at_once.cells  # Holm's correction over both pairs included
    assert both.cells[1].encoders[0].curve == first.cells[0].encoders[0].curve
    assert not any("could be seen" in line for cell in both.cells for line in caveats(cell))
    everything = study.run(pairs="all")
    assert len(everything.cells) == 3
    assert {cell for cell, _, _, _ in study.runs[2]} == {"digits/right+fourier"}


def test_further_values_of_a_dataset_option_leave_the_others_as_they_are(tmp_path: Path) -> None:
    text = """
study: grown
dataset: {name: synthetic, redundancy: %s}
alignment: {one_sided: never}
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 2, confirm: 2}
models: false
"""
    study = Grown(tmp_path)
    (first,) = study.run(text=text % "2").cells
    two = study.run(text=text % "[2, 6]").cells
    assert len(two) == 2
    assert {cell for cell, _, _, _ in study.runs[1]} == {two[1].id}
    assert two[0].id == first.id
    assert two[0].encoders[0].curve == first.encoders[0].curve
    assert two[0].variant == {"redundancy": 2}
    assert study.run(text=text % "[2, 6]").cells == two
    with pytest.raises(ConfigError, match=r"has more pairs on record \(dataset.redundancy: \[2, 6\] -> 6\)"):
        study.run(text=text % "6")


OWN = """
study: grown
dataset: {name: arrays, path: PATH, modalities: MODALITIES, imputation: zero}
alignment: {one_sided: never}
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 2, confirm: 2}
models: false
"""


def test_a_modality_that_is_named_besides_brings_its_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=(300, 3)) for name in ("a", "b", "c")}
    data["c"][::7] = np.nan
    np.savez(tmp_path / "data.npz", **data, y=rng.integers(0, 2, 300))
    study = Grown(tmp_path / "studies")
    text = OWN.replace("PATH", str(tmp_path / "data.npz"))
    first = study.run(text=text.replace("MODALITIES", "[a, b]")).cells
    for again in range(2):
        all_pairs = study.run(text=text.replace("MODALITIES", "[a, b, c]")).cells
        assert {cell for cell, _, _, _ in study.runs[1]} == {"arrays/a+c", "arrays/b+c"}
        assert len(study.runs) == 2 + again
    assert not study.runs[2]
    assert all_pairs[0].encoders[0].curve == first[0].encoders[0].curve
    assert all_pairs[0].rows == first[0].rows
    with pytest.raises(ConfigError, match="has more pairs on record"):
        study.run(text=text.replace("MODALITIES", "[a, c]"))
    with pytest.raises(ConfigError, match="another configuration"):  # another modality under the same name
        study.run(text=text.replace("MODALITIES", "{a: a, b: c, c: c, d: b}"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"search": 2}, r"has more on record \(replicates.search: 3 -> 2\).*--set replicates.search=3"),
        ({"search": 8, "confirm": 4}, r"has more on record \(replicates.confirm: 5 -> 4\)"),
        ({"range": "[0, 4]", "initial": "[0, 1, 4]"}, r"--set 'strength.initial=\[0.0, 0.25"),
        ({"search": 8, "sampler": "gp"}, r"another configuration \(search.sampler: qmc -> gp\); give"),
        ({"confirm": 8, "one_sided": "always"}, r"another configuration \(alignment.one_sided: never -> always\)"),
        ({"pairs": "[[left, fourier]]"}, r"another configuration \(pairs: "),
        ({"pairs": "[[right, left], [left, fourier]]", "search": 4}, r"another configuration \(pairs: "),
    ],
)
def test_less_and_anything_else_is_refused_in_a_line(asked: dict[str, Any], told: str, tmp_path: Path) -> None:
    study = Grown(tmp_path)
    before = study.run()
    with pytest.raises(ConfigError, match=told):  # by a dry run, too
        study.begun(**asked)
    with pytest.raises(ConfigError, match=told) as refused:
        study.run(**asked)
    assert "\n" not in str(refused.value)
    assert study.run() == before  # nothing was noted


def test_other_data_are_refused_with_an_extension_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = {"left": rng.normal(size=(300, 4)), "right": rng.normal(size=(300, 3)), "y": rng.integers(0, 2, 300)}
    text = f"""
study: grown
dataset: {{name: arrays, path: {tmp_path}/data.npz}}
alignment: {{one_sided: never}}
strength: {{initial: [0, 1, 4], refine: 0}}
replicates: {{search: 2, confirm: %d}}
models: false
"""
    np.savez(tmp_path / "data.npz", **data)
    study = Grown(tmp_path / "studies")
    study.run(text=text % 2)
    np.savez(tmp_path / "data.npz", **{**data, "left": data["left"] + 1})
    with pytest.raises(ConfigError, match=r"the data of the study grown changed after it began \(data: modality left"):
        study.run(text=text % 4)
    with opened(parse_config(text % 2), out=tmp_path / "studies", cells=1, say=str) as left:
        assert (left.ledger.note(CONFIGURATION) or {})["replicates"]["confirm"] == 2
        assert left.ledger.note(EXTENSIONS) is None
    np.savez(tmp_path / "data.npz", **data)
    study.run(text=text % 4)
    assert {index for _, arm, _, index in study.runs[-1] if arm == "confirm"} == {2, 3}


def test_a_study_of_the_version_before_is_extended_as_it_began(tmp_path: Path) -> None:
    """Its record, which knows of no digests of data, of no splits drawn anew and of no extensions."""
    folder = tmp_path / "before" / "optuna"
    folder.mkdir(parents=True)
    written = Path(__file__).parents[1] / "session" / "version_before" / "journal.log"
    (folder / "journal.log").write_bytes(written.read_bytes())
    text = studies.OF_THE_VERSION_BEFORE.replace("search: 2, confirm: 2", "search: %d, confirm: %d")
    study = Grown(tmp_path)
    report = study.run(text=text % (2, 5))
    assert any("goes on as it began" in line for line in study.said)
    assert any("all 9 trainings on record count" in line for line in study.said)
    assert {(arm, index) for _, arm, _, index in study.runs[0]} == {("confirm", index) for index in (2, 3, 4)}
    assert report.cells[0].extensions[0].looked == "whole"
    study.run(text=text % (3, 5))
    assert {index for _, arm, _, index in study.runs[1] if arm == "shared"} == {2}
