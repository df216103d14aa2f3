"""The user's own arrays: every layout that is offered, every mistake that is likely."""

import numpy as np
import pytest

from trainables.datasets import DataError, load
from trainables.spec import DatasetSpec

N = 120
RNG = np.random.default_rng(0)
VISION = RNG.normal(size=(N, 4)).astype(np.float32)
TEXT = RNG.normal(size=(N, 6, 3))
IMAGE = RNG.integers(0, 256, size=(N, 8, 8, 3), dtype=np.uint8)
Y = np.arange(N) % 3
OWN = np.arange(N) // 5 % 3  # a split


@pytest.fixture
def save(tmp_path):
    """Writes arrays as .npz (or as a folder of .npy) and returns a loader of them."""

    def write(*, folder=False, **arrays):
        path = tmp_path / ("mine" if folder else "mine.npz")
        if folder:
            path.mkdir()
            for name, array in arrays.items():
                np.save(path / f"{name}.npy", array)
        else:
            np.savez(path, **arrays)
        return lambda **options: load(DatasetSpec(name="arrays", options={"path": str(path), **options}))

    return write


class TestLayouts:
    @pytest.mark.parametrize("folder", [False, True])
    def test_all_shapes_of_modalities(self, save, folder):
        data = save(vision=VISION, text=TEXT, image=IMAGE, y=Y, folder=folder)()
        assert data.name == "mine"
        assert {name: m.values.shape for name, m in data.modalities.items()} == {
            "vision": (N, 4),
            "text": (N, 6, 3),
            "image": (N, 8, 8, 3),
        }
        kept = {name: m.values.dtype for name, m in data.modalities.items()}
        assert kept == {"vision": np.float32, "text": np.float64, "image": np.float32}  # no less than the file has
        assert np.array_equal(data.modalities["image"].values, IMAGE)
        assert data.targets["vision"] is data.targets["text"]

    def test_float32_files_stay_memory_mapped(self, save):
        values = save(vision=VISION, text=TEXT, y=Y, folder=True)().modalities["vision"].values
        assert isinstance(values.base, np.memmap)

    def test_modalities_can_be_named_and_renamed(self, save):
        data = save(vision=VISION, text=TEXT, other=np.ones((5, 2)), y=Y)(modalities={"seen": "vision", "read": "text"})
        assert list(data.modalities) == ["seen", "read"]

    def test_a_csv_with_column_groups(self, tmp_path):
        import pandas as pd

        frame = pd.DataFrame({f"v_{i}": VISION[:, i] for i in range(4)} | {"a": TEXT[:, 0, 0], "b": TEXT[:, 0, 1]})
        frame["label"] = np.array(["cat", "dog", "emu"])[Y]
        frame.to_csv(tmp_path / "mine.csv", index=False)
        data = load(
            DatasetSpec(
                name="arrays",
                options={
                    "path": str(tmp_path / "mine.csv"),
                    "modalities": {"vision": "v_*", "text": ["a", "b"]},
                    "target": "label",
                },
            )
        )
        assert data.modalities["vision"].values == pytest.approx(VISION, abs=1e-6)
        assert data.targets["text"].values.tolist() == Y.tolist()

    def test_masks_from_booleans_or_lengths(self, save):
        lengths = 1 + np.arange(N) % 6
        mask = np.arange(6) < lengths[:, None]
        load_it = save(vision=VISION, text=TEXT, y=Y, real=mask, steps=lengths)
        by_mask, by_length = (load_it(mask={"text": name}).modalities["text"].mask for name in ("real", "steps"))
        assert np.array_equal(by_mask, mask)
        assert np.array_equal(by_length, mask)

    @pytest.mark.parametrize(
        ("given", "expected"), [(True, (True, True)), (False, (False, False)), (["text"], (False, True))]
    )
    def test_standardisation_can_be_left_out(self, save, given, expected):
        modalities = save(vision=VISION, text=TEXT, y=Y)(standardise=given).modalities
        assert tuple(modalities[name].standardise for name in ("vision", "text")) == expected


class TestTargets:
    @pytest.mark.parametrize(
        ("values", "classes", "coded"),
        [
            (Y, 3, Y),
            (Y * 10 - 5, 3, Y),
            (Y.astype(np.uint8).reshape(N, 1), 3, Y),
            (np.array(["a", "b", "c"])[Y], 3, Y),
            (Y == 0, 2, (Y == 0).astype(int)),
            (np.where(Y == 0, -1.0, 1.0), 2, (Y != 0).astype(int)),
        ],
    )
    def test_classes(self, save, values, classes, coded):
        target = save(vision=VISION, text=TEXT, y=values)().targets["vision"]
        assert (target.kind, target.n_classes, target.metric) == ("classes", classes, "accuracy")
        assert target.values.tolist() == coded.tolist()

    @pytest.mark.parametrize("values", [VISION[:, 0], VISION[:, :2]])
    def test_real_numbers(self, save, values):
        target = save(vision=VISION, text=TEXT, y=values)(metric="r2").targets["vision"]
        assert (target.kind, target.metric) == ("real", "r2")
        assert np.array_equal(target.values, values)

    def test_the_task_can_be_said(self, save):
        load_it = save(vision=VISION, text=TEXT, y=Y)
        signed = save(vision=VISION, text=TEXT, y=Y - 1)
        assert signed(task="real", metric="sign_accuracy").targets["text"].metric == "sign_accuracy"
        assert [load_it(task=task).targets["text"].kind for task in ("real", "regression")] == ["real", "real"]
        assert save(vision=VISION, text=TEXT, y=Y.astype(float))(task="classes").targets["text"].n_classes == 3

    def test_a_target_for_each_modality(self, save):
        data = save(vision=VISION, text=TEXT, seen=Y, said=Y == 1)(target={"vision": "seen", "text": "said"})
        assert [data.targets[name].n_classes for name in ("vision", "text")] == [3, 2]


class TestSplits:
    def test_stratified_60_15_25_without_any(self, save):
        split = save(vision=VISION, text=TEXT, y=Y)().split
        assert np.bincount(split).tolist() == [72, 18, 30]
        assert np.bincount(Y[split == 1]).tolist() == [6, 6, 6]

    def test_the_files_own_split_is_used(self, save):
        assert np.array_equal(save(vision=VISION, text=TEXT, y=Y, split=OWN)().split, OWN)

    def test_a_named_split_in_words(self, save):
        words = np.array(["train", "val", "Test"])[OWN]
        assert np.array_equal(save(vision=VISION, text=TEXT, y=Y, fold=words)(split="fold").split, OWN)

    def test_groups_stay_together(self, save):
        who = np.array([f"speaker {i // 8}" for i in range(N)])
        split = save(vision=VISION, text=TEXT, y=Y, who=who)(group="who").split
        assert all(len(set(split[who == name])) == 1 for name in set(who))

    @pytest.mark.parametrize("unknown", [-1, 0, 999, "?", "unknown"])
    def test_a_group_that_may_stand_for_unknown_is_said(self, save, unknown):
        who = np.arange(N) // 4
        who = np.where(np.arange(N) % 10 < 3, unknown, who.astype(str) if isinstance(unknown, str) else who + 7)
        (note,) = save(vision=VISION, text=TEXT, y=Y, who=who)(group="who").notes
        largest = f"mine: group who: group {unknown} is 36 of 120 rows, the next largest "
        assert note.startswith(largest)
        assert "if it stands for unknown, give each of these rows a group of its own" in note
        fold = np.unique(who, return_inverse=True)[1] % 2 * 2
        (note, _) = save(vision=VISION, text=TEXT, y=Y, who=who, fold=fold)(group="who", split="fold").notes
        assert "is 36 of 120 rows" in note

    @pytest.mark.parametrize("unknown", [-1, -99, "?", "-", "Unknown"])
    def test_a_small_group_whose_name_stands_for_unknown_is_said(self, save, unknown):
        who = np.arange(N) // 4
        who = np.where(np.arange(N) % 12 == 0, unknown, who.astype(str) if isinstance(unknown, str) else who)
        (note,) = save(vision=VISION, text=TEXT, y=Y, who=who)(group="who").notes
        assert note.startswith(f"mine: group who: group {unknown} is 10 of 120 rows; if it stands for unknown, give")

    @pytest.mark.parametrize(("first", "second"), [("p{}", "p{} "), ("\u00e9{}", "e\u0301{}"), ("p{}", "p\u200b{}")])
    def test_groups_that_look_alike_are_not_put_on_two_sides(self, save, first, second):
        who = np.array([(second if i % 2 else first).format(i // 8) for i in range(N)])
        with pytest.raises(DataError, match=r"group who has .* which would be two groups on two sides of a split"):
            save(vision=VISION, text=TEXT, y=Y, who=who)(group="who")

    @pytest.mark.parametrize(("first", "second"), [("P1", "p1"), ("7", "07")])
    def test_groups_that_may_be_one_are_said(self, save, first, second):
        who = np.array([f"{i // 8 + 20}" for i in range(N)])
        who[:4], who[4:8] = first, second
        (note,) = save(vision=VISION, text=TEXT, y=Y, who=who)(group="who").notes
        assert "two groups; if they are one, write them alike" in note
        assert repr(first) in note

    @pytest.mark.parametrize(
        "who", [np.arange(N) // 8, np.minimum(np.arange(N) // 30, 2), np.arange(N), np.arange(N) // 8 - 7]
    )
    def test_nothing_is_said_of_groups_like_any(self, save, who):
        assert save(vision=VISION, text=TEXT, y=Y, who=who)(group="who").notes == ()

    def test_real_targets_split_along_their_range(self, save):
        split = save(vision=VISION, text=TEXT, y=np.arange(N) * 0.1)().split
        assert np.bincount(split[:12], minlength=3).min() > 0


class TestMissingValues:
    HOLES = VISION.copy()
    HOLES[::7, 1] = np.nan

    def test_are_an_error(self, save):
        with pytest.raises(DataError, match="modality vision has NaN"):
            save(vision=self.HOLES, text=TEXT, y=Y)()

    @pytest.mark.parametrize("how", ["zero", "mean", "median"])
    def test_unless_imputation_is_named(self, save, how):
        data = save(vision=self.HOLES, text=TEXT, y=Y)(imputation=how)
        values, train = data.modalities["vision"].values, data.split == 0
        seen = self.HOLES[train, 1]
        expected = {"zero": 0, "mean": np.nanmean(seen), "median": np.nanmedian(seen)}[how]
        assert values[::7, 1] == pytest.approx(expected, abs=1e-6)
        kept = ~np.isnan(self.HOLES)
        assert np.array_equal(values[kept], self.HOLES[kept])

    def test_the_mean_of_many_large_numbers_is_theirs(self, save):
        many = (1e5 + np.random.default_rng(0).normal(size=(30_000, 2))).astype(np.float32)
        many[0, 0] = np.nan
        data = save(vision=many, text=many + 1, y=np.arange(30_000) % 3)(imputation="mean")
        seen = many[data.split == 0, 0].astype(float)
        assert data.modalities["vision"].values[0, 0] == pytest.approx(np.nanmean(seen), abs=0.01)

    @pytest.mark.parametrize("how", ["mean", "median"])
    def test_padded_steps_are_no_data(self, save, how):
        real = np.arange(6) < 1 + np.arange(N)[:, None] % 6
        holes = np.where(RNG.random(TEXT.shape) < 0.1, np.nan, TEXT + 6)
        holes[0] = np.nan  # a real step without any value
        filled = []
        for padding in (0.0, -50.0, np.nan):
            text = np.where(real[:, :, None], holes, padding)
            data = save(vision=VISION, text=text, y=Y, real=real)(imputation=how, mask={"text": "real"})
            seen = holes[(data.split == 0)[:, None] & real]
            expected = np.nanmean(seen, axis=0) if how == "mean" else np.nanmedian(seen, axis=0)
            values = data.modalities["text"].values
            assert values[0, 0] == pytest.approx(expected, abs=1e-12)
            filled.append(values[real])
        assert np.array_equal(filled[0], filled[1])
        assert np.array_equal(filled[0], filled[2])

    def test_a_feature_that_padding_alone_has_cannot_be_imputed(self, save):
        real = np.arange(6) < 1 + np.arange(N)[:, None] % 5
        text = np.where(real[:, :, None] & (np.arange(3) == 1), np.nan, TEXT)
        load_it = save(vision=VISION, text=text, y=Y, real=real)
        with pytest.raises(DataError, match="without a value in the real steps of the training split"):
            load_it(imputation="mean", mask={"text": "real"})

    def test_infinite_values_are_never_imputed(self, save):
        with pytest.raises(DataError, match=r"has infinite values.* 18 of them; no imputation replaces these"):
            save(vision=np.where(np.isnan(self.HOLES), np.inf, self.HOLES), text=TEXT, y=Y)(imputation="mean")

    @pytest.mark.parametrize("y", [Y, Y / 7.0])
    def test_a_feature_that_is_infinite_in_every_row_is_one_line(self, save, y):
        vision = VISION.copy()
        vision[..., 0] = np.inf
        with pytest.raises(DataError, match="has infinite values"):
            save(vision=vision, text=TEXT, y=y)(imputation="zero")

    def test_values_too_large_for_float32_are_taken_where_they_are_scaled(self, save):
        load_it = save(vision=VISION.astype(float) * 1e300, text=TEXT, y=Y)
        assert np.array_equal(load_it().modalities["vision"].values, VISION.astype(float) * 1e300)
        with pytest.raises(DataError, match="beyond what float32 holds"):
            load_it(standardise=False)


RAGGED = np.empty(N, dtype=object)
RAGGED[:] = [[0.0] * (1 + i % 3) for i in range(N)]
WHO = np.arange(N) // 8

MISTAKES = {
    "another number of rows": ({"text": TEXT[:100]}, {"modalities": ["vision", "text"]}, "modality text has 100 rows"),
    "unclear modalities": ({"text": TEXT[:100]}, {}, r"different lengths.*modalities: \[a, b\]"),
    "ragged rows": ({"text": RAGGED}, {"modalities": ["vision", "text"]}, "Python objects"),
    "texts as objects": (
        {"y": np.array(["a", "b", "c"], object)[Y]},
        {},
        r"texts with \.astype\(str\)",
    ),
    "text for a modality": ({"text": np.full((N, 2), "a")}, {}, "not numbers"),
    "one axis": ({"text": VISION[:, 0]}, {"modalities": ["vision", "text"]}, "reshape it"),
    "five axes": ({"text": np.ones((N, 1, 2, 2, 1, 1))}, {}, r"allowed are \(N, d\)"),
    "a modality that is not there": ({}, {"modalities": ["vision", "texts"]}, "did you mean 'text'"),
    "one modality": ({}, {"modalities": ["vision"]}, "at least two"),
    "a target that is not there": ({}, {"target": "label"}, "unknown array 'label'"),
    "targets for some modalities": ({}, {"target": {"vision": "y"}}, "one for each of vision, text"),
    "NaN targets": ({"y": np.where(Y == 0, np.nan, 1.5 * Y)}, {}, "never imputed"),
    "missing labels": ({"y": np.array(["a", "", "b"])[Y]}, {}, "empty labels"),
    "one class": ({"y": np.zeros(N, int)}, {}, "one class only"),
    "a constant real target": ({"y": np.ones(N)}, {}, "constant"),
    "classes that are numbers": ({"y": np.arange(N)}, {}, "task: real"),
    "fractions as classes": ({"y": VISION[:, 0]}, {"task": "classes"}, "fractions"),
    "texts as numbers": ({"y": np.array(["a", "b", "c"])[Y]}, {"task": "real"}, "task: classes"),
    "targets of another length": ({"y": Y[:100]}, {"modalities": ["vision", "text"]}, "100"),
    "a split of another length": ({"fold": Y[:100]}, {"split": "fold"}, r"it must be \(120,\)"),
    "a split with other codes": ({"fold": Y + 1}, {"split": "fold"}, "has 3; allowed are 0, 1, 2"),
    "a split with other words": ({"fold": np.array(["train", "test", "tset"])[Y]}, {"split": "fold"}, "has 'tset'"),
    "an empty split": ({"fold": (Y > 0).astype(int)}, {"split": "fold"}, "the test split has no rows"),
    "straddling groups": ({"fold": Y, "who": WHO}, {"split": "fold", "group": "who"}, "straddle"),
    "too few groups": ({"who": Y > 0}, {"group": "who"}, "mine: group who: 2 groups cannot.* at least 3 groups"),
    "one group": ({"who": 0 * Y}, {"group": "who"}, "mine: group who: 1 group cannot be split in three"),
    "one group to train": (
        {"who": Y > 0, "fold": 2 * (Y > 0)},
        {"group": "who", "split": "fold"},
        "split fold has no validation rows, and of its training rows by group who: 1 group cannot be split in two",
    ),
    "infinite groups": ({"who": np.where(Y > 0, np.inf, Y)}, {"group": "who"}, "who is infinite in 80 of 120 rows"),
    "a mask of another shape": ({"real": np.ones((N, 5), bool)}, {"mask": {"text": "real"}}, "lengths"),
    "a mask without real steps": ({"real": np.zeros((N, 6), bool)}, {"mask": {"text": "real"}}, "real step"),
    "a mask of no modality": ({"real": np.ones((N, 6), bool)}, {"mask": {"txt": "real"}}, "did you mean 'text'"),
    "standardising no modality": ({}, {"standardise": ["txt"]}, "did you mean 'text'"),
    "an unknown imputation": ({}, {"imputation": "knn"}, "one of none, zero, mean, median"),
    "an unknown key": ({}, {"targets": "y"}, "did you mean 'target'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_clear_line(save, case):
    arrays, options, message = MISTAKES[case]
    with pytest.raises(DataError, match=message) as error:
        save(**({"vision": VISION, "text": TEXT, "y": Y} | arrays))(**options)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*none\.npz"):
        load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "none.npz")}))


def test_a_table_needs_its_column_groups(tmp_path):
    (tmp_path / "a.csv").write_text("v_1,y\n1,0\n")
    with pytest.raises(DataError, match="which columns make a modality"):
        load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "a.csv")}))


def test_the_path_must_be_given():
    with pytest.raises(DataError, match="option path is missing"):
        load(DatasetSpec(name="arrays"))


class TestMasks:
    REAL = np.arange(6) < 1 + np.arange(N)[:, None] % 6
    SHORT = np.arange(6) < 1 + np.arange(N)[:, None] % 5  # no row is full, so that the other way round has real steps

    @pytest.mark.parametrize(
        ("real", "said"),
        [
            (np.where(SHORT, 0, -10_000), "has -10000; real steps are 1"),
            (~SHORT, "calls steps real that are all the same, and padding those that differ; real steps are 1"),
            (REAL.astype(np.float32), r"has shape \(120, 6\) and holds float32; it must be \(N, T\) of booleans"),
            (np.arange(N) % 6 - 1, "has the length -1; each row has a real step"),
        ],
    )
    def test_of_another_convention_are_refused(self, save, real, said):
        text = np.where(self.SHORT[:, :, None], TEXT, 0)
        with pytest.raises(DataError, match=f"the mask of text {said}"):
            save(vision=VISION, text=text, y=Y, real=real)(mask={"text": "real"})

    def test_of_small_numbers_are_taken(self, save):
        mask = save(vision=VISION, text=TEXT, y=Y, real=self.REAL * 255)(mask={"text": "real"}).modalities["text"].mask
        assert np.array_equal(mask, self.REAL)

    def test_lengths_beyond_the_steps_are_said(self, save):
        data = save(vision=VISION, text=TEXT, y=Y, steps=1 + np.arange(N) % 8)(mask={"text": "steps"})
        assert data.notes == ("mine: the mask of text has lengths up to 8, 30 of them beyond its 6 steps: taken as 6",)

    def test_at_the_other_end_than_the_padding_are_said(self, save):
        text = np.where(self.SHORT[:, :, None], TEXT, 0)
        (note,) = save(vision=VISION, text=text, y=Y, real=self.SHORT[:, ::-1])(mask={"text": "real"}).notes
        assert note.startswith("mine: the mask of text calls empty steps real, and steps with numbers padding, in ")
        empty = np.where(np.arange(N)[:, None, None] % 5 == 0, 0, text)
        for values in (text, text + 1, empty, np.where(self.SHORT[:, :, None], TEXT, np.nan)):
            assert save(vision=VISION, text=values, y=Y, real=self.SHORT)(mask={"text": "real"}).notes == ()

    def test_a_sequence_without_one_that_seems_to_be_padded_is_said(self, save):
        for end, real in (("end", self.SHORT), ("start", self.SHORT[:, ::-1])):
            load_it = save(vision=VISION, text=np.where(real[:, :, None], TEXT, 0), y=Y, real=real)
            (note,) = load_it(modalities=["vision", "text"]).notes
            assert note == (
                f"mine: text has zeros at the {end} of its sequences, to other lengths in other rows: taken as data; "
                "if they are padding, give `mask`"
            )
            assert load_it(modalities=["vision", "text"], mask={"text": "real"}).notes == ()

    def test_nothing_is_said_of_sequences_and_pictures_with_zeros(self, save):
        pictures = RNG.random((N, 9, 6))
        for row in range(N):  # drawn higher and lower, with a margin
            pictures[row, : 1 + row % 3], pictures[row, 7 + row % 2 :] = 0, 0
        sparse = np.where(RNG.random((N, 6, 1)) < 0.5, TEXT, 0)
        same = np.where(np.arange(6)[:, None] < 4, TEXT, 0)
        for text in (pictures, sparse, same, TEXT):
            assert save(vision=VISION, text=text, y=Y)().notes == ()


class TestBytes:
    WHO = np.array([f"é{i // 8}".encode() for i in range(N)])

    @pytest.mark.parametrize("code", ["utf-8", "latin-1"])
    def test_labels_of_any_letters(self, save, code):
        data = save(vision=VISION, text=TEXT, y=np.array([text.encode(code) for text in ("é", "b", "ö")])[Y])()
        assert data.targets["text"].values.tolist() == np.array([1, 0, 2])[Y].tolist()

    def test_groups_and_splits(self, save):
        who = save(vision=VISION, text=TEXT, y=Y, who=self.WHO)(group="who").split
        assert all(len(set(who[i * 8 : i * 8 + 8])) == 1 for i in range(N // 8))
        load_it = save(vision=VISION, text=TEXT, y=Y, fold=np.array([b"train", b"valid", "é".encode()])[OWN])
        with pytest.raises(DataError, match="split fold has 'é'; allowed are"):
            load_it(split="fold")


@pytest.mark.parametrize("texts", [["0", "1", "2"], ["train ", " Valid", "test"], ["0", "1", "test"]])
def test_splits_as_text_are_read(save, texts):
    assert np.array_equal(save(vision=VISION, text=TEXT, y=Y, fold=np.array(texts)[OWN])(split="fold").split, OWN)


@pytest.mark.parametrize("key", ["group", "split"])
def test_the_target_is_neither_group_nor_split(save, key):
    with pytest.raises(DataError, match=f"{key} y is the target"):
        save(vision=VISION, text=TEXT, y=np.arange(N) % 6 % 3)(**{key: "y"})


def test_classes_without_a_training_row_are_said(save):
    y = np.where((OWN == 2) & (Y == 1), 7, Y)
    (note,) = save(vision=VISION, text=TEXT, y=y, fold=OWN)(split="fold").notes
    assert "target y: 1 of its 4 classes (16 rows) are in no training row" in note
