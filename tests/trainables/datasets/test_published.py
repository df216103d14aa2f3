"""The published sets: their layouts as files, their stand-ins, and the real files where they are."""

import itertools
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import matlab

from trainables.datasets import DATASETS, DataError, load
from trainables.datasets.generated.gaussian import gaussian_information
from trainables.datasets.generated.stand_in import Generated, StandInPlan
from trainables.datasets.published.affect import stand_in_corpus
from trainables.spec import DatasetSpec

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
PUBLISHED = [name for name, dataset in DATASETS.items() if "stand_in" in dataset.options]
CORPORA = ["mosei", "mosi", "mustard", "ur_funny"]

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside this checkout")


def _load(name, **options):
    return load(DatasetSpec(name=name, options={k: str(v) if isinstance(v, Path) else v for k, v in options.items()}))


def _corpus(rows=(6, 4, 5), steps=7, widths=(3, 2, 4), seed=0):
    """What a MultiBench pickle holds: padded with zeros before the text starts."""
    rng = np.random.default_rng(seed)
    raw = {}
    for key, n in zip(("train", "valid", "test"), rows, strict=True):
        raw[key] = {m: rng.normal(size=(n, steps, d)) for m, d in zip(("vision", "audio", "text"), widths, strict=True)}
        raw[key] |= {"labels": rng.normal(size=(n, 1, 1)), "id": np.array([f"clip{i}" for i in range(n)])}
        for row in range(n):
            raw[key]["text"][row, : row % 3] = 0
    return raw


@pytest.fixture
def corpus(tmp_path):
    """Writes a corpus and returns a loader of it as `name`."""

    def write(raw, name="mosei"):
        path = tmp_path / "corpus.pkl"
        path.write_bytes(pickle.dumps(raw))
        return lambda **options: _load(name, path=path, **options)

    return write


class TestCorpora:
    def test_sequences_start_at_the_first_step_with_text(self, corpus):
        raw = _corpus()
        data = corpus(raw)()
        assert [int((data.split == code).sum()) for code in range(3)] == [6, 4, 5]
        for modality in ("vision", "audio", "text"):
            values, mask = data.modalities[modality].values, data.modalities[modality].mask
            assert mask.sum(axis=1).tolist() == [7 - row % 3 for n in (6, 4, 5) for row in range(n)]
            source = raw["train"][modality][5]  # its text starts at step 2
            assert values[5, :5] == pytest.approx(source[2:], abs=1e-6)
            assert not values[5, 5:].any()

    def test_alignment_can_be_left_out_and_sequences_cut(self, corpus):
        raw = _corpus()
        data = corpus(raw)(align=False, steps=4)
        assert data.modalities["vision"].values[5] == pytest.approx(raw["train"]["vision"][5, :4], abs=1e-6)
        assert data.modalities["vision"].mask.all()

    def test_rows_without_text_are_dropped(self, corpus):
        raw = _corpus()
        raw["train"]["text"][[0, 3]] = 0
        data = corpus(raw)()
        assert int((data.split == 0).sum()) == 4
        kept = raw["train"]["labels"].ravel()[[1, 2, 4, 5]]
        assert data.targets["text"].values[:4] == pytest.approx(kept, abs=1e-6)

    def test_minus_infinite_audio_becomes_zero(self, corpus):
        raw = _corpus()
        raw["valid"]["audio"][0, 3, 1] = -np.inf
        assert corpus(raw)().modalities["audio"].values[6, 3, 1] == 0

    def test_text_is_not_to_be_standardised(self, corpus):
        modalities = corpus(_corpus())().modalities
        assert {name: m.standardise for name, m in modalities.items()} == {"vision": True, "audio": True, "text": False}

    @pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1)])
    def test_sentiment_is_a_real_target_scored_by_its_sign(self, corpus, shape):
        raw = _corpus()
        for part in raw.values():
            part["labels"] = part["labels"].reshape(shape)
        target = corpus(raw)().targets["vision"]
        assert (target.kind, target.metric) == ("real", "sign_accuracy")
        assert target.values[:6] == pytest.approx(raw["train"]["labels"].ravel(), abs=1e-6)

    def test_the_first_label_column_is_sentiment(self, corpus):
        raw = _corpus()
        for part in raw.values():
            part["labels"] = np.concatenate([part["labels"], np.full_like(part["labels"], 99)], axis=2)
        assert corpus(raw)().targets["vision"].values.max() < 99

    @pytest.mark.parametrize("name", ["mustard", "ur_funny"])
    @pytest.mark.parametrize("labels", [(0, 1), (-1, 1)])
    def test_binary_labels_in_both_codings(self, corpus, name, labels):
        raw = _corpus()
        for part in raw.values():
            part["labels"] = np.array(labels)[np.arange(len(part["labels"])) % 2].reshape(-1, 1)
        load_it = corpus(raw, name)
        assert load_it().targets["text"].values.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
        assert load_it(task="regression").targets["text"].values[:2].tolist() == [-1, 1]

    def test_sentiment_as_classes_is_positive_or_not(self, corpus):
        raw = _corpus()
        raw["train"]["labels"][0] = 0
        target = corpus(raw)(task="classes").targets["text"]
        assert (target.n_classes, target.values[0]) == (2, 0)

    def test_missing_values_are_an_error_unless_zero_is_asked_for(self, corpus):
        raw = _corpus()
        raw["test"]["vision"][0, 4, 0] = np.nan
        load_it = corpus(raw)
        with pytest.raises(DataError, match="modality vision has NaN"):
            load_it()
        assert load_it(imputation="zero").modalities["vision"].values[10, 4, 0] == 0

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda raw: raw.pop("valid"), "must hold train, valid and test"),
            (lambda raw: raw["train"].pop("audio"), "train has no 'audio'"),
            (lambda raw: raw["train"].update(audio=[[1.0], [1.0, 2.0]]), "train/audio is list"),
            (lambda raw: raw["train"].update(audio=_ragged(6)), "train/audio is object"),
            (lambda raw: raw["train"].update(audio=np.ones((6, 7))), r"must be \(N, T, d\)"),
            (lambda raw: raw["train"].update(audio=np.ones((5, 7, 2))), r"must be \(N, T, d\)"),
            (lambda raw: raw["train"].update(audio=np.ones((6, 9, 2))), r"must be \(N, T, d\)"),
            (lambda raw: raw["test"].update(audio=np.ones((5, 7, 3))), "unlike the training part"),
            (lambda raw: raw["test"].update(labels=np.ones((4, 1))), "for 5 rows of text"),
            (lambda raw: raw["test"].update(labels=np.array(["a"] * 5)), "test/labels is <U1"),
            (lambda raw: raw["test"].update(labels=np.full(5, np.nan)), "labels must be finite"),
            (lambda raw: raw["test"].update(text=np.zeros((5, 7, 4))), "the test split has no rows"),
        ],
    )
    def test_another_layout_is_refused(self, corpus, change, message):
        raw = _corpus()
        change(raw)
        with pytest.raises(DataError, match=message) as error:
            corpus(raw)()
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("content", [[1, 2], "text", None, {"train": 1, "valid": 2, "test": 3}])
    def test_something_else_altogether(self, corpus, content):
        with pytest.raises(DataError):
            corpus(content)()

    @pytest.mark.parametrize("name", CORPORA)
    def test_a_stand_in_written_as_a_file_loads_the_same(self, corpus, name):
        """The stand-in has the layout of the file."""
        shapes = {modality: (8, *shape[1:]) for modality, shape in DATASETS[name].shapes.items()}
        binary = DATASETS[name].options["task"].default == "classes"
        plan = StandInPlan(
            rows=(60, 20, 20), shapes=shapes, classes=2, relevance=dict.fromkeys(shapes, 0.5), sequences=True
        )
        data = corpus(stand_in_corpus(plan, binary=binary), name)()
        assert {m: v.values.shape[1:] for m, v in data.modalities.items()} == shapes
        assert not data.stand_in
        assert not data.exact_profiles

    @needs_shared
    def test_the_real_mosi_utterances(self):
        data = _load("mosi", path=SHARED / "mosi752/mosi752_multibench.pkl", task="classes")
        assert [int((data.split == code).sum()) for code in range(3)] == [439, 148, 165]
        with np.load(SHARED / "mosi752/mosi752.npz") as real:
            assert np.array_equal(data.modalities["text"].values[:439, 0], real["text"][real["split"] == 0])
            assert np.array_equal(data.targets["text"].values[:439], real["y"][real["split"] == 0])


def _ragged(n):
    rows = np.empty(n, dtype=object)
    rows[:] = [np.ones((1 + i, 2)) for i in range(n)]
    return rows


class TestAvMnist:
    ROWS = 60, 20

    @pytest.fixture(params=["uint8", "float"])
    def folder(self, request, tmp_path):
        rng = np.random.default_rng(0)
        for part, n in zip(("train", "test"), self.ROWS, strict=True):
            for name, shape in (("image", (784,)), ("audio", (112, 112))):
                (tmp_path / name).mkdir(exist_ok=True)
                values = rng.integers(0, 256, size=(n, *shape))
                np.save(tmp_path / name / f"{part}_data.npy", values.astype(request.param))
            np.save(tmp_path / f"{part}_labels.npy", np.arange(n) % 10)
        return tmp_path

    def test_images_and_sounds_are_scaled_and_split_as_published(self, folder):
        data = _load("avmnist", path=folder)
        assert {m: v.values.shape for m, v in data.modalities.items()} == {
            "image": (80, 28, 28),
            "audio": (80, 112, 112),
        }
        assert data.split.tolist() == [0] * 55 + [1] * 5 + [2] * 20
        assert all(0 <= v.values.min() < 0.01 and 0.99 < v.values.max() <= 1 for v in data.modalities.values())
        raw = np.load(folder / "image/test_data.npy")[3]
        assert data.modalities["image"].values[63].ravel() == pytest.approx(raw / 255, abs=1e-6)

    def test_cepstral_coefficients_keep_their_shape_and_scale(self, folder):
        for part, n in zip(("train", "test"), self.ROWS, strict=True):
            np.save(folder / f"audio/{part}_data.npy", np.random.default_rng(1).normal(0, 50, size=(n, 20, 36)))
        values = _load("avmnist", path=folder).modalities["audio"].values
        assert values.shape == (80, 20, 36)
        assert np.abs(values).max() > 100

    @pytest.mark.parametrize(
        ("file", "array", "message"),
        [
            ("train_labels.npy", np.arange(60), "digits 0 to 9"),
            ("train_labels.npy", np.arange(50) % 10, "for .*labels"),
            ("image/test_data.npy", np.ones((20, 100)), "has shapes"),
            ("audio/test_data.npy", np.full((20, 112, 112), "a"), "not an array of numbers"),
            ("audio/test_data.npy", np.full((20, 112, 112), np.nan), "NaN"),
            ("audio/test_data.npy", None, "has no audio/test_data.npy"),
        ],
    )
    def test_another_layout_is_refused(self, folder, file, array, message):
        (folder / file).unlink()
        if array is not None:
            np.save(folder / file, array)
        with pytest.raises(DataError, match=message):
            _load("avmnist", path=folder)


class TestMfeat:
    WIDTHS = DATASETS["mfeat"].shapes

    @pytest.fixture
    def folder(self, tmp_path):
        rng = np.random.default_rng(0)
        for view, (width,) in self.WIDTHS.items():
            np.savetxt(tmp_path / f"mfeat-{view}", rng.normal(size=(2000, width)), fmt="%.3f")
        return tmp_path

    def test_six_views_from_the_text_files(self, folder):
        data = _load("mfeat", path=folder)
        assert {m: v.values.shape for m, v in data.modalities.items()} == {
            view: (2000, *shape) for view, shape in self.WIDTHS.items()
        }
        assert np.array_equal(data.targets["fou"].values, np.repeat(np.arange(10), 200))
        assert np.bincount(data.split).tolist() == [1200, 300, 500]

    @pytest.mark.parametrize(
        ("content", "message"), [(None, "has no mfeat-kar"), ("1 2\n", "must have"), ("a", "numbers")]
    )
    def test_a_missing_or_other_file_is_refused(self, folder, content, message):
        (folder / "mfeat-kar").unlink()
        if content is not None:
            (folder / "mfeat-kar").write_text(content)
        with pytest.raises(DataError, match=message):
            _load("mfeat", path=folder)

    @needs_shared
    def test_the_real_digits(self):
        data = _load("mfeat", path=SHARED / "mfeat/mfeat.npz")
        assert np.bincount(data.split).tolist() == [1200, 300, 500]
        assert len(data.modalities) == 6


class TestHouston:
    HSI, LIDAR = (np.random.default_rng(seed).normal(size=(150, d)) for seed, d in ((0, 6), (1, 3)))
    LABELS = np.repeat(np.arange(1, 4), 50)

    def _write(self, folder, part, rows=slice(None), labels=None, transposed=False):
        values = {"HSI": self.HSI[rows], "LiDAR": self.LIDAR[rows]}
        for name, array in values.items():
            matlab.savemat(folder / f"{name}_{part}Set.mat", {f"{name}_{part}Set": array.T if transposed else array})
        labels = self.LABELS[rows][None] if labels is None else labels
        matlab.savemat(folder / f"{part}Label.mat", {f"{part}Label": labels})

    @pytest.mark.parametrize("transposed", [False, True])
    def test_training_files_alone_are_split_in_blocks(self, tmp_path, transposed):
        self._write(tmp_path, "Tr", transposed=transposed)
        data = _load("houston", path=tmp_path)
        assert data.modalities["hsi"].values == pytest.approx(self.HSI, abs=1e-6)
        assert data.targets["hsi"].values.tolist() == (self.LABELS - 1).tolist()
        assert data.split[:50].tolist() == sorted(data.split[:50])
        assert np.bincount(data.split).tolist() == [90, 24, 36]

    def test_test_files_are_the_test_split(self, tmp_path):
        self._write(tmp_path, "Tr", rows=slice(0, None, 2))
        self._write(tmp_path, "Te", rows=slice(1, None, 2))
        assert np.bincount(_load("houston", path=tmp_path).split).tolist() == [60, 15, 75]

    @pytest.mark.parametrize("classes_first", [False, True])
    def test_one_hot_labels(self, tmp_path, classes_first):
        onehot = np.eye(3)[self.LABELS - 1]
        self._write(tmp_path, "Tr", labels=onehot.T if classes_first else onehot)
        assert _load("houston", path=tmp_path).targets["lidar"].values.tolist() == (self.LABELS - 1).tolist()

    def test_missing_and_unequal_files_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"has no TrLabel\.mat"):
            _load("houston", path=tmp_path)
        self._write(tmp_path, "Tr", labels=np.ones((1, 149)))
        with pytest.raises(DataError, match="for 149 labels"):
            _load("houston", path=tmp_path)

    @needs_shared
    def test_the_real_pixels(self):
        data = _load("houston", path=SHARED / "houston2013/houston2013.npz")
        assert {m: v.values.shape for m, v in data.modalities.items()} == {"hsi": (2832, 144), "lidar": (2832, 21)}
        assert (np.bincount(data.split).tolist(), data.targets["hsi"].n_classes) == ([1701, 425, 706], 15)


@needs_shared
class TestRealArrays:
    def test_leaves(self):
        data = _load("arrays", path=SHARED / "leaves100/leaves100.npz")
        assert list(data.modalities) == ["view0", "view1_shape", "view2"]
        assert (data.targets["view0"].n_classes, np.bincount(data.split).tolist()) == (100, [1000, 200, 400])

    def test_digits_with_speech_by_speaker(self):
        path = SHARED / "avdigits/avdigits.npz"
        data = _load("arrays", path=path, modalities=["image", "audio"], group="speaker")
        with np.load(path) as real:
            for speaker in np.unique(real["speaker"]):
                assert len(set(data.split[real["speaker"] == speaker])) == 1


@pytest.mark.parametrize("name", PUBLISHED)
class TestEverySet:
    def test_a_missing_file_says_where_it_goes_and_how_to_do_without(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataError, match="--stand-in") as error:
            _load(name)
        assert DATASETS[name].options["path"].default in str(error.value)
        assert DATASETS[name].origin in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_small_stand_in_has_the_layout_and_is_marked(self, name):
        data = _load(name, stand_in="small")
        assert data.name == f"{name} (stand-in)"
        assert data.stand_in
        assert data.pair(*list(data.modalities)[:2]).stand_in
        for modality, values in data.modalities.items():
            shape = DATASETS[name].shapes[modality]
            assert values.values.shape[1:] in (shape, (8, *shape[1:]))
        assert len(data.split) <= 896

    def test_every_pair_has_a_planted_profile(self, name):
        data = _load(name, stand_in="small")
        for pair in itertools.combinations(data.modalities, 2):
            profile = data.pair(*pair).exact_profile
            assert min(profile.values()) >= 0
            assert sum(profile.values()) > 0

    def test_linear_readouts_find_what_was_planted(self, name):
        """Each modality's direction tells the score as well as its plan says."""
        data = _load(name, stand_in="small")
        target = next(iter(data.targets.values()))
        for first, second in itertools.pairwise(data.modalities):
            profile = data.pair(first, second).exact_profile
            for modality, bits in (
                (first, profile["redundancy"] + profile["unique_1"]),
                (second, profile["redundancy"] + profile["unique_2"]),
            ):
                values, mask = data.modalities[modality].values, data.modalities[modality].mask
                flat = (
                    values.reshape(len(values), -1)
                    if mask is None
                    else values.sum(axis=1) / mask.sum(1)[:, None] ** 0.5
                )
                labels = target.values if target.kind == "classes" else (target.values > 0).astype(np.int64)
                assert _readout_information(flat, labels, data.split) > 0.5 * bits - 0.03


def _readout_information(x, labels, split):
    """Bits that the strongest direction of x tells of the labels, from its correlation with them, as if normal."""
    x = (x - x[split == 0].mean(axis=0)) / x[split == 0].std(axis=0)
    direction = np.linalg.svd(x, full_matrices=False)[2][0]
    correlation = abs(np.corrcoef(x @ direction, labels)[0, 1])
    classes = labels.max() + 1
    widest = np.sqrt(2 / np.pi) if classes == 2 else 1 - 1 / classes**2  # correlation of a score with its classes
    return gaussian_information(min(0.999, correlation / widest), int(classes))


class TestStandIn:
    PLAN = StandInPlan(
        rows=(3000, 1000, 1000),
        shapes={"a": (4, 6), "b": (4, 9)},
        classes=2,
        relevance={"a": 0.8, "b": 0.5},
        given_score={("a", "b"): 0.4},
        sequences=True,
    )

    def test_directions_correlate_as_planned(self):
        drawn = Generated(self.PLAN)
        directions = []
        for name in ("a", "b"):
            values = drawn.modality(name)
            summed = values.sum(axis=1) / np.sqrt(drawn.lengths)[:, None]
            axis = np.linalg.svd(summed, full_matrices=False)[2][0]
            directions.append(summed @ axis / np.sqrt(drawn.lengths))
        a, b = (np.corrcoef(d, drawn.score)[0, 1] for d in directions)
        between = np.corrcoef(*directions)[0, 1] * np.sign(a * b)
        assert (abs(a), abs(b)) == pytest.approx((0.8, 0.5), abs=0.03)
        assert between == pytest.approx(0.4 + 0.4 * 0.6 * np.sqrt(0.75), abs=0.03)

    def test_nothing_but_the_direction_tells_the_score(self):
        """A readout of all features, fitted on half of the rows, is no better than the direction that was planted."""
        drawn = Generated(replace(self.PLAN, rows=(30_000, 1, 1)))
        long = drawn.lengths == 4
        x, score = drawn.modality("b")[long].reshape(-1, 36), drawn.score[long]
        readout = np.linalg.lstsq(x[::2], score[::2], rcond=None)[0]
        assert np.corrcoef(x[1::2] @ readout, score[1::2])[0, 1] == pytest.approx(0.5, abs=0.04)

    def test_sequences_end_at_the_last_step(self):
        drawn = Generated(self.PLAN)
        empty = ~drawn.modality("a").any(axis=2)
        assert np.array_equal(empty.sum(axis=1), 4 - drawn.lengths)
        assert not empty[:, -1].any()

    def test_splits_lie_one_after_the_other(self):
        assert np.array_equal(Generated(self.PLAN).split, np.repeat([0, 1, 2], [3000, 1000, 1000]))
