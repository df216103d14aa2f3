"""Labels as people write them: what is taken for what, and what is said of it."""

import numpy as np
import pytest

from trainables.datasets import DataError, cells, load
from trainables.datasets.labels import read_labels
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, TrainingSpec, content_hash

N = 240
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
HOT = np.eye(3)[Y]
FINE = np.linspace(-3, 3, N)


@pytest.fixture
def load_target(tmp_path):
    """Loads a dataset of two modalities with the given array as its target."""

    def load_it(y, **options):
        np.savez(tmp_path / "d.npz", audio=RNG.normal(size=(N, 4)), video=RNG.normal(size=(N, 3)), y=y)
        return load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz"), **options}))

    return load_it


class TestClasses:
    @pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32, np.bool_, np.float64])
    @pytest.mark.parametrize("task", ["auto", "classes"])
    def test_one_hot_rows_are_classes_by_column(self, load_target, kind, task):
        data = load_target(HOT.astype(kind), task=task)
        target = data.targets["audio"]
        assert (target.kind, target.n_classes, target.metric) == ("classes", 3, "accuracy")
        assert np.array_equal(target.values, Y)
        assert data.notes == (
            "d: target y has one-hot rows: taken as 3 classes, by column; set task: real if it is a number",
        )

    def test_one_hot_rows_of_minus_one_and_one(self, load_target):
        assert np.array_equal(load_target(2 * HOT - 1).targets["audio"].values, Y)

    def test_a_column_that_no_row_has_makes_no_class(self, load_target):
        assert load_target(np.eye(5)[Y]).targets["audio"].n_classes == 3

    @pytest.mark.parametrize("start", [0, 1, -1, 1985])
    def test_a_few_whole_numbers_are_classes_with_a_line(self, load_target, start):
        data = load_target(Y.astype(float) + start)
        assert np.array_equal(data.targets["audio"].values, Y)
        (note,) = data.notes
        assert "taken as 3 classes; set task: real" in note

    def test_text_is_classes_in_silence(self, load_target):
        data = load_target(np.array(["a", "b", "c"])[Y])
        assert (data.targets["audio"].n_classes, data.notes) == (3, ())

    def test_integers_are_classes_in_silence(self, load_target):
        assert load_target(Y).notes == ()

    def test_many_different_integers_are_classes_with_a_line(self, load_target):
        (note,) = load_target(np.arange(N) % 60).notes
        assert "60 different integers in 240 rows: taken as classes; set task: real" in note

    @pytest.mark.parametrize("word", ["None", "NA", "nan", "n/a", "NULL", "?", "-", "unknown"])
    def test_words_for_nothing_are_labels_with_a_line(self, load_target, word):
        data = load_target(np.array([word, "yes", "no"])[Y])
        assert data.targets["audio"].n_classes == 3
        assert data.notes == (
            f"d: target y is {word!r} in 80 of 240 rows: a class like others; if it is missing, remove them",
        )

    def test_a_class_of_one_in_a_hundred_is_kept(self, tmp_path):
        y = np.arange(900) % 100 == 0
        rows = np.random.default_rng(0).normal(size=(900, 3))
        np.savez(tmp_path / "d.npz", audio=rows, video=rows[:, :2], y=y)
        data = load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz")}))
        assert np.bincount(data.split[y], minlength=3).tolist() == pytest.approx([5.4, 1.35, 2.25], abs=1)


class TestNumbers:
    def test_task_real_leaves_whole_numbers_and_one_hot_rows_as_they_are(self, load_target):
        for values in (Y.astype(float), HOT):
            data = load_target(values, task="real")
            assert (data.targets["audio"].kind, data.notes) == ("real", ())

    def test_many_whole_numbers_are_real_with_a_line(self, load_target):
        data = load_target(np.arange(N) // 2 + 20.0)
        assert data.targets["audio"].kind == "real"
        assert "taken as real numbers; set task: classes" in data.notes[0]

    def test_several_labels_a_row_are_labels_with_a_line_unless_told(self, load_target):
        both = HOT.astype(int)
        both[::2, 0] = 1
        data = load_target(both)
        target = data.targets["audio"]
        assert (target.kind, target.n_outputs, target.metric) == ("multi_label", 3, "accuracy")
        assert "3 columns of 0 and 1: taken as labels of which a row may have several; set task: real" in data.notes[0]
        assert load_target(both, task="regression").targets["audio"].kind == "real"

    def test_one_hot_rows_may_be_labels_if_told(self, load_target):
        data = load_target(HOT, task="multi_label")
        assert (data.targets["audio"].kind, data.notes) == ("multi_label", ())

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (HOT * 2, r"shape \(.*, 3\), 0 to 2; task: multi_label is for rows of 0s and 1s"),
            (Y, "task: multi_label is for rows of 0s and 1s, .* one column a label"),
            (np.concatenate([HOT[:, :2], np.zeros((N, 1))], axis=1), "label 3 of 3 is 0 in all rows of the training"),
        ],
    )
    def test_what_are_no_labels_is_refused(self, load_target, y, message):
        with pytest.raises(DataError, match=message):
            load_target(y, task="multi_label")

    @pytest.mark.parametrize(
        ("y", "what"),
        [
            (np.c_[Y, np.arange(N) % 2], "2 columns of whole numbers"),
            (np.c_[Y, np.arange(N) % 50].astype(float), "2 columns of whole numbers"),
            (RNG.dirichlet([0.5] * 3, N), "3 columns of shares that sum to 1"),
            (RNG.dirichlet([0.5] * 3, N).astype(np.float16), "3 columns of shares that sum to 1"),
        ],
    )
    def test_columns_that_may_be_classes_are_numbers_with_a_line(self, load_target, y, what):
        data = load_target(y)
        assert (data.targets["audio"].kind, data.targets["audio"].metric) == ("real", "r2")
        assert data.notes == (f"d: target y has {what}: taken as real numbers; give one column for classes",)
        assert load_target(y, task="real").notes == ()

    @pytest.mark.parametrize("task", ["auto", "real"])
    @pytest.mark.parametrize("far", [-999.0, 1e20, 9999.0])
    def test_a_number_far_from_all_others_that_recurs_is_said(self, load_target, far, task):
        (note,) = load_target(np.where(np.arange(N) % 10 == 0, far, FINE), task=task).notes
        assert note.startswith(
            f"d: target y is {far:g} in 24 of 240 rows, far from all others, which are -2.9749 to 3; if "
        )
        (note,) = load_target(np.c_[FINE, np.where(np.arange(N) < 2, far, FINE)], task=task).notes
        assert f"is {far:g} in 2 of 240 rows" in note

    @pytest.mark.parametrize(
        "y",
        [
            np.where(np.arange(N) % 10 == 0, 0.0, 7 + FINE),  # no further than others lie apart
            np.where(np.arange(N) == 7, -999, FINE),  # measured once
            np.where(np.arange(N) % 2 == 0, 1000.5, np.arange(N) % 9 + 0.25),  # few others
            np.r_[FINE[:200], 9 + RNG.random(40)],
        ],
    )
    def test_nothing_is_said_of_other_numbers(self, load_target, y):
        assert load_target(y, task="real").notes == ()

    def test_fractions_are_numbers_in_silence(self, load_target):
        assert load_target(FINE).notes == ()

    def test_texts_that_spell_numbers_are_numbers_if_asked(self, load_target):
        spelt = np.array([f"{value:.3f}" for value in FINE])
        data = load_target(spelt, task="real")
        assert data.targets["audio"].kind == "real"

    @pytest.mark.parametrize(
        ("y", "options", "message"),
        [
            (np.array([["a", "b"], ["b", "a"]] * (N // 2)), {}, r"text of shape \(240, 2\); give one label a row"),
            (np.stack([Y, Y], axis=1), {"task": "classes"}, "one label a row"),
            (np.array(["x", "2.5"])[Y % 2], {"task": "real"}, r"is text \('x'\)"),
            (np.array([f"id {i}" for i in range(N)]), {}, "240 classes in 240 rows; give labels that recur"),
            (np.array(["cat", "cat ", "dog"])[Y], {}, "the labels 'cat' and 'cat '"),
            (np.array(["\u00e9", "e\u0301", "dog"])[Y], {}, r"the labels 'e\\u0301' and '\\xe9'; make them one"),
            (np.array(["a", "  ", "b"])[Y], {}, "empty labels"),
            (np.array("2020-01-01", "M8[D]") + Y, {}, "datetime64"),
            (Y + 1j, {}, "complex128"),
        ],
    )
    def test_what_cannot_be_a_target_is_one_line(self, load_target, y, options, message):
        with pytest.raises(DataError, match=message) as error:
            load_target(y, **options)
        assert "\n" not in str(error.value)


SIGNED = {"metric": "sign_accuracy", "task": "real"}


class TestSigns:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            (np.arange(N) % 7, "runs from 0 to 6, 85% of it above 0"),
            (np.arange(N) % 5 + 1.0, "runs from 1 to 5, 100% of it above 0"),
            (FINE - 3, "runs from -6 to 0, 0% of it above 0"),
            (np.arange(N) % 2 + 1, "runs from 1 to 2, 100%"),
            (np.stack([FINE, FINE + 9], axis=1), "runs from 6 to 12, 100%"),
        ],
    )
    def test_numbers_of_one_sign_have_no_sign_accuracy(self, load_target, values, said):
        with pytest.raises(DataError, match=f"{said}.*set metric: r2 or task: classes"):
            load_target(values, **SIGNED)

    def test_numbers_of_both_signs_have(self, load_target):
        data = load_target(FINE, **SIGNED)
        assert data.notes == ()
        assert np.array_equal(data.targets["audio"].values, FINE)

    def test_zero_and_one_become_minus_one_and_one_with_a_line(self, load_target):
        data = load_target(Y % 2, **SIGNED)
        assert np.array_equal(data.targets["audio"].values, np.where(Y % 2, 1, -1))
        assert "taken as -1 and 1" in data.notes[0]

    def test_whole_sentiments_stay_numbers_where_their_sign_is_the_score(self, load_target):
        data = load_target(np.arange(N) % 7 - 3.0, metric="sign_accuracy")
        assert (data.targets["audio"].kind, data.notes) == ("real", ())

    def test_a_sign_that_training_rows_do_not_show_cannot_be_learned(self, tmp_path):
        split = np.arange(N) % 3
        y = np.where((split == 2) & (np.arange(N) % 2 == 0), -1.5, np.abs(FINE) + 0.1)
        np.savez(tmp_path / "d.npz", a=RNG.normal(size=(N, 4)), v=RNG.normal(size=(N, 3)), y=y, split=split)
        with pytest.raises(DataError, match="is of one sign over the training split"):
            load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz"), "metric": "sign_accuracy"}))


class TestMetrics:
    """A metric that was given is used, or it is said that it is not."""

    @pytest.mark.parametrize("kind", [np.int64, np.int8, np.float64])
    def test_the_sign_of_whole_sentiments_is_the_score_in_every_type(self, load_target, kind):
        data = load_target((np.arange(N) % 7 - 3).astype(kind), metric="sign_accuracy")
        target = data.targets["audio"]
        assert (target.kind, target.metric, data.notes) == ("real", "sign_accuracy", ())
        assert np.array_equal(target.values, np.arange(N) % 7 - 3)

    @pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float64])
    def test_ratings_of_one_sign_are_refused_in_every_type(self, load_target, kind):
        with pytest.raises(DataError, match=r"runs from 1 to 7, 100% of it above 0.*set metric: r2 or task: classes"):
            load_target((np.arange(N) % 7 + 1).astype(kind), metric="sign_accuracy")

    @pytest.mark.parametrize(
        ("y", "options"),
        [
            (Y % 2 == 0, {"metric": "sign_accuracy"}),
            (Y % 2, {"metric": "sign_accuracy"}),
            (2 * (Y % 2) - 1.0, {"metric": "sign_accuracy"}),
            (np.array(["a", "b", "c"])[Y], {"metric": "sign_accuracy"}),
            (HOT, {"metric": "sign_accuracy"}),
            (Y, {"metric": "r2"}),
            (Y.astype(float), {"metric": "r2"}),
            (Y, {"metric": "r2", "task": "classes"}),
        ],
    )
    def test_classes_say_that_a_given_metric_is_not_used(self, load_target, y, options):
        data = load_target(y, **options)
        assert data.targets["audio"].metric == "accuracy"
        used = f"scored by accuracy: metric: {options['metric']}, which is of real targets, is not used"
        assert [used in note for note in data.notes].count(True) == 1

    @pytest.mark.parametrize("y", [Y, FINE, Y % 2 == 0, np.array(["a", "b", "c"])[Y]])
    def test_classes_have_no_sign(self, load_target, y):
        with pytest.raises(DataError, match="d: target y: metric: sign_accuracy is of real numbers, not of task: cl"):
            load_target(y, task="classes", metric="sign_accuracy")

    def test_real_targets_without_a_metric_are_scored_by_r2(self, load_target):
        for options in ({}, {"metric": "r2"}):
            assert load_target(FINE, **options).targets["audio"].metric == "r2"

    def test_a_metric_written_out_is_the_same_computation(self):
        hashes = set()
        for options in ({}, {"metric": "r2"}):
            (spec,) = cells(DatasetSpec(name="arrays", options={"path": "d.npz", **options}))
            pack = PackSpec(
                dataset=spec, pair=("a", "b"), encoders=(EncoderSpec(), EncoderSpec()), alignment=AlignmentSpec(),
                training=TrainingSpec(), replicas=(),
            )  # fmt: skip
            hashes.add((content_hash(spec.identity), pack.hash))
        assert hashes == {("0bafcb8406fb59d3", "ddf087531d5f064f")}  # as records have them


class TestDoubts:
    def test_numbers_as_text_are_classes_with_a_line(self, load_target):
        texts = np.array(["2.7", "1.2", "10"])[Y]
        assert load_target(texts).notes == (
            "d: target y has 3 different numbers as text ('1.2', '2.7', '10'): taken as classes; "
            "set task: real if it is a number",
        )
        assert load_target(texts, task="classes").notes == ()
        (first, second) = load_target(np.array(["1.2", "2.7", "NA"])[Y]).notes
        assert "2 different numbers as text" in first
        assert "'NA' in 80 of 240 rows" in second

    @pytest.mark.parametrize("texts", [["1,250", "2,500", "999"], ["12%", "3%", "4%"], ["0,5", "1,5", "2"], ["$5"] * 3])
    def test_numbers_with_marks_are_classes_with_a_line(self, load_target, texts):
        y = np.array([*texts, "1.5"])[np.arange(N) % 4]
        (note,) = load_target(y).notes
        assert "different numbers as text" in note
        assert "taken as classes; if it is a number, write it with a decimal point and without other marks" in note
        with pytest.raises(DataError, match="cannot be real numbers; write it with a decimal point"):
            load_target(y, task="real")

    @pytest.mark.parametrize(("first", "second"), [("Cat", "cat"), ("True", "true"), ("01", "1"), ("1", "1.0")])
    def test_labels_that_may_be_one_are_two_with_a_line(self, load_target, first, second):
        data = load_target(np.array([first, second, "dog"])[Y])
        assert data.targets["audio"].n_classes == 3
        assert data.notes == (
            f"d: target y has the labels {first!r} and {second!r}: two classes; if they are one, write them alike",
        )

    @pytest.mark.parametrize("kind", [np.int64, np.float32])
    @pytest.mark.parametrize(("code", "classes"), [(-1, 3), (-100, 2), (-999, 3)])
    def test_a_number_that_may_stand_for_no_label_is_a_class_with_a_line(self, load_target, kind, code, classes):
        data = load_target(np.where(np.arange(N) % 10 == 0, code, np.arange(N) % classes).astype(kind))
        assert data.targets["audio"].n_classes == classes + 1
        assert data.notes[-1] == (
            f"d: target y is {code} in 24 of 240 rows: a class like others; if it stands for no label, remove them"
        )

    @pytest.mark.parametrize("y", [Y - 1, Y % 2 * 2 - 1, 10 * Y - 5, np.arange(N) % 7 - 3])
    def test_codes_around_zero_are_labels_like_others(self, load_target, y):
        assert load_target(y).notes == ()

    @pytest.mark.parametrize("y", [1_700_000_000 * 10**9 + 10 * np.arange(N), 1e-310 * FINE, 2.0**63 + 2048 * (Y > 1)])
    def test_what_varies_less_than_its_precision_is_not_called_constant(self, load_target, y):
        with pytest.raises(
            DataError, match=r"runs from .* no more than its precision tells apart; subtract a constant"
        ):
            load_target(y, task="real")
        with pytest.raises(DataError, match="is constant over the training split"):
            load_target(np.full(N, 7.5), task="real")

    def test_a_real_target_that_is_constant_where_it_is_scored_is_said(self, tmp_path):
        split = np.arange(N) % 3
        both = np.stack([FINE, np.where(split == 2, 1.5, FINE)], axis=1)
        for y, which in ((both, " in column 2"), (both[:, 1], "")):
            np.savez(tmp_path / "d.npz", a=RNG.normal(size=(N, 4)), v=RNG.normal(size=(N, 3)), y=y, split=split)
            (note,) = load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz")})).notes
            told = f"d: target y is constant over the test split{which}: its R² tells nothing; choose another split"
            assert note == told

    def test_long_numbers_are_not_alike(self, load_target):
        assert load_target(np.array([f"{10**29}{i}" for i in range(3)])[Y]).notes == ()

    @pytest.mark.parametrize("texts", [["1", "2", "3"], ["1.0", "2.0", "3.0"], ["1.5", "2", "x"], ["NA", "nan", "b"]])
    def test_other_texts_are_not_called_numbers(self, load_target, texts):
        assert not any("as text" in note for note in load_target(np.array(texts)[Y]).notes)

    def test_numbers_as_text_that_never_recur_are_sent_to_task_real(self, load_target):
        with pytest.raises(DataError, match="240 classes in 240 rows; if it is a number, set task: real"):
            load_target(np.array([f"{value:.4f}" for value in FINE]))

    def test_a_few_recurring_fractions_are_real_with_a_line(self, load_target):
        data = load_target(Y / 2)
        assert data.targets["audio"].kind == "real"
        assert data.notes == (
            "d: target y has 3 different numbers (0, 0.5, 1): taken as real numbers; if these are labels, "
            "write them as whole numbers or text",
        )
        assert load_target(Y / 2, task="real").notes == load_target(Y / 2, metric="r2").notes == ()

    @pytest.mark.parametrize("unit", [1e30, 1e16])
    def test_large_numbers_that_never_recur_are_no_labels(self, load_target, unit):
        assert load_target(FINE * unit).notes == ()


def test_labels_keep_the_type_that_they_have():
    assert read_labels("y", Y.astype(np.uint8), task="auto", metric="r2").values.dtype == np.uint8
