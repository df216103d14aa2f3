"""Arrays without rows, links to nothing, folders for files, names of any kind: one line, or the data."""

import os
import sys

import numpy as np
import pytest

from trainables.datasets import DATASETS, DataError, load
from trainables.spec import DatasetSpec

N = 120
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
SOUND = {"audio": RNG.normal(size=(N, 4)), "video": RNG.normal(size=(N, 3)), "y": Y}
BOTH = {"modalities": ["audio", "video"]}


def _load(path, **options):
    return load(DatasetSpec(name="arrays", options={"path": str(path), **options}))


def _save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    return path


@pytest.mark.parametrize("name", ["d.npz", "folder"])
@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"y": np.array(3)}, {}, r"array y has shape \(\), so it is one value"),
        ({"y": np.zeros(0, int)}, {}, r"array y has shape \(0,\), so it is empty"),
        ({"y": np.zeros((N, 0))}, {}, "so it is empty"),
        ({"audio": np.array(1.0)}, BOTH, r"array audio has shape \(\), so it is one value"),
        ({"audio": np.zeros((0, 4))}, BOTH, "array audio .* so it is empty"),
        ({"audio": np.zeros((N, 0))}, BOTH, "array audio .* so it is empty"),
        ({"audio": np.zeros((N, 0, 3))}, {}, "array audio .* so it is empty"),
        ({"fold": np.array(0)}, {"split": "fold"}, "array fold .* one value"),
        ({"who": np.array("ann")}, {"group": "who"}, "array who .* one value"),
        ({"who": np.zeros((N, 2))}, {"group": "who"}, r"group who has shape \(120, 2\); it must be \(120,\)"),
        ({"real": np.array(1)}, {"mask": {"audio": "real"}}, "array real .* one value"),
        ({"audio": np.full((N, 2), "a")}, {}, "modality audio holds text, not numbers"),
        ({"audio": np.full((N, 2), 1j)}, {}, "complex numbers"),
        ({"audio": np.full((N, 2), "2020", "M8[D]")}, {}, "holds dates"),
        ({}, {"modalities": {"audio": ["audio"], "video": "video"}}, "modality audio is a list, .* columns of a table"),
        (
            {"fold": np.full(N, "2020", "M8[D]")},
            {"split": "fold"},
            "split fold holds datetime64.*; allowed are 0, 1, 2",
        ),
        ({"fold": np.where(Y == 0, np.nan, Y)}, {"split": "fold"}, "split fold has nan; allowed are 0, 1, 2"),
    ],
)
def test_what_has_no_rows_or_no_numbers_is_one_line(tmp_path, name, arrays, options, said):
    path = _save(tmp_path / name, SOUND | arrays)
    with pytest.raises(DataError, match=said) as error:
        _load(path, **options)
    assert "\n" not in str(error.value)


class TestPlaces:
    @pytest.mark.parametrize("name", ["d.npz", "d.csv", "d.parquet", "folder", "d.csv.gz"])
    def test_a_link_to_nothing(self, tmp_path, name):
        (tmp_path / name).symlink_to(tmp_path / "gone")
        with pytest.raises(DataError, match=rf"what the link .*{name} points to, .*gone; give `path`"):
            _load(tmp_path / name)

    @pytest.mark.parametrize("make", [lambda path: path.symlink_to("gone"), lambda path: path.mkdir(), os.mkfifo])
    def test_a_member_of_a_folder_that_is_no_file(self, tmp_path, make):
        path = _save(tmp_path / "folder", SOUND)
        (path / "video.npy").unlink()
        make(path / "video.npy")
        with pytest.raises(DataError, match=r"video\.npy is (a link to gone|a folder|a pipe)") as error:
            _load(path, **BOTH)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("name", ["d.npz", "d.csv", "d.parquet", "d.tsv.gz"])
    def test_a_folder_where_a_file_is_meant(self, tmp_path, name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-0").write_text("")
        with pytest.raises(DataError, match=r"has no \.npy files, it holds part-0"):
            _load(tmp_path / name, modalities={"audio": "a_*", "video": "v_*"})

    @pytest.mark.parametrize("path", ["", "  ", "a\0b", "x" * 300, "x/" * 3000])
    def test_a_path_that_cannot_be(self, path):
        with pytest.raises(DataError, match="give `path`") as error:
            _load(path)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400

    def test_a_path_below_a_file(self, tmp_path):
        _save(tmp_path / "d.npz", SOUND)
        with pytest.raises(DataError, match="cannot be read"):
            _load(tmp_path / "d.npz" / "e.npz")

    @pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if "stand_in" in dataset.options])
    @pytest.mark.parametrize("make", ["folder", "file", "link"])
    def test_a_published_set_in_another_place(self, tmp_path, name, make):
        path = tmp_path / "there"
        if make == "folder":
            path.mkdir()
        elif make == "file":
            path.write_text("something else")
        else:
            path.symlink_to("gone")
        with pytest.raises(DataError) as error:
            load(DatasetSpec(name=name, options={"path": str(path)}))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("path", ["https://ann:Zq7Xw9@host/d.npz", "s3://Zq7Xw9:k@bucket/d.csv", "file:///d.npz"])
    def test_an_address_is_no_path_and_shows_no_password(self, path):
        with pytest.raises(DataError, match=r"the path is an address \((https|s3|file)://…\), not a file") as error:
            _load(path)
        assert "Zq7" not in str(error.value)

    def test_a_home_that_is_not_expanded(self):
        with pytest.raises(DataError, match=r"there is no ~/d\.npz; ~ is not expanded, write the folder in full"):
            _load("~/d.npz")

    @pytest.mark.parametrize("beside", ["README.txt", "__MACOSX/._audio.npy", "._audio.npy", "sub/"])
    def test_what_else_lies_in_an_archive_or_folder_is_passed_over(self, tmp_path, beside):
        import zipfile

        _save(tmp_path / "d.npz", SOUND)
        with zipfile.ZipFile(tmp_path / "d.npz", "a") as archive:
            archive.writestr(beside, b"\0\5\x16\7")
        folder = _save(tmp_path / "folder", SOUND)
        if "/" not in beside:
            (folder / beside).write_bytes(b"\0\5\x16\7")
        for path in (tmp_path / "d.npz", folder):
            assert set(_load(path).modalities) == {"audio", "video"}

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_an_array_that_an_archive_holds_twice(self, tmp_path):
        import zipfile

        _save(tmp_path / "d.npz", SOUND)
        with zipfile.ZipFile(tmp_path / "d.npz", "a") as archive:
            archive.writestr("audio.npy", b"")
        with pytest.raises(DataError, match="holds two arrays 'audio'; save it again"):
            _load(tmp_path / "d.npz")

    def test_an_archive_of_something_else(self, tmp_path):
        import zipfile

        with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
            archive.writestr("xl/workbook.xml", "<a/>")
        with pytest.raises(DataError, match="holds no arrays"):
            _load(tmp_path / "d.npz")


class TestKept:
    """What people's data are like, and must be taken."""

    @pytest.mark.parametrize("name", ["d.npz", "folder"])
    def test_names_of_any_letters(self, tmp_path, name):
        ours = {"ä:ö": SOUND["audio"], "视频 (left)": SOUND["video"], "ÿ": Y}
        data = _load(_save(tmp_path / name, ours), target="ÿ")
        assert set(data.modalities) == {"ä:ö", "视频 (left)"}

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
    def test_a_file_whose_name_is_no_utf_8(self, tmp_path):
        folder = _save(tmp_path / "folder", {**SOUND, "y": Y})
        (folder / "audio.npy").rename(folder / os.fsdecode(b"\xff.npy"))
        with pytest.raises(DataError, match=r"the name of the file '\\udcff.npy' is no UTF-8; rename it"):
            _load(folder)

    def test_names_with_a_slash(self, tmp_path):
        data = _load(_save(tmp_path / "d.npz", {"a/left": SOUND["audio"], "a/right": SOUND["video"], "y": Y}))
        assert set(data.modalities) == {"a/left", "a/right"}
        renamed = _load(tmp_path / "d.npz", modalities={"x/y:z": "a/left", "ü": "a/right"})
        assert np.array_equal(renamed.modalities["x/y:z"].values, SOUND["audio"])

    def test_few_rows_repeated_often(self, tmp_path):
        rows = np.tile(np.arange(12), 20)
        arrays = {name: array[rows] for name, array in SOUND.items()}
        data = _load(_save(tmp_path / "d.npz", arrays))
        assert len(data.split) == 240
        assert data.notes == ()


class TestSplitWithoutValidation:
    TWO = np.where(np.arange(N) % 4 == 3, 2, 0)

    def _split(self, tmp_path, fold=TWO, **options):
        _save(tmp_path / "d.npz", SOUND | {"fold": fold, "who": np.arange(N) // 8})
        return _load(tmp_path / "d.npz", split="fold", **BOTH, **options)

    def test_a_fifth_of_the_training_rows_validate_with_a_line(self, tmp_path):
        data = self._split(tmp_path)
        assert np.array_equal(data.split == 2, self.TWO == 2)
        assert np.bincount(data.split).tolist() == [72, 18, 30]
        assert np.bincount(Y[data.split == 1]).tolist() == [6, 6, 6]
        (note,) = data.notes
        assert "no validation rows: 18 of its 90 training rows validate, drawn by split_seed" in note

    def test_which_depends_on_the_seed_alone(self, tmp_path):
        first, again, other = (self._split(tmp_path, split_seed=seed).split for seed in (3, 3, 4))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_words_and_the_files_own_split_alike(self, tmp_path):
        words = np.array(["train", "test"])[self.TWO // 2]
        assert np.array_equal(self._split(tmp_path, words).split, self._split(tmp_path).split)
        _save(tmp_path / "e.npz", SOUND | {"split": self.TWO})
        assert np.array_equal(_load(tmp_path / "e.npz").split, self._split(tmp_path).split)

    def test_groups_stay_whole(self, tmp_path):
        fold = np.where(np.arange(N) // 8 % 4 == 3, 2, 0)
        split = self._split(tmp_path, fold, group="who").split
        assert np.array_equal(split == 2, fold == 2)
        assert all(len(set(split[i * 8 : i * 8 + 8])) == 1 for i in range(N // 8))
        assert 8 <= (split == 1).sum() <= 32

    def test_one_group_alone_cannot_be_carved(self, tmp_path):
        fold = np.where(np.arange(N) < 8, 0, 2)
        with pytest.raises(DataError, match="give at least 2 groups"):
            self._split(tmp_path, fold, group="who")

    @pytest.mark.parametrize(
        ("fold", "part"), [(np.arange(N) % 2, "test"), (1 + np.arange(N) % 2, "train"), (np.zeros(N, int), "test")]
    )
    def test_without_test_or_training_rows_the_line_says_what_to_do(self, tmp_path, fold, part):
        with pytest.raises(
            DataError, match=rf"the {part} split has no rows: 0 is train, .*mark some rows as {part}, or"
        ):
            self._split(tmp_path, fold)
