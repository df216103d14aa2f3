"""Tables as programs write them: every cell under its header, every mistake one line that names it."""

import gzip
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pytest

from trainables.datasets import DataError, load
from trainables.datasets.files import tables
from trainables.datasets.files.delimited import read_delimited
from trainables.datasets.files.tables import read_table
from trainables.spec import DatasetSpec

N = 120
Y = np.arange(N) % 3
A, V = np.random.default_rng(0).normal(size=(2, N, 2)).round(3)
GROUPS = {"audio": "a_*", "video": "v_*"}


def _csv(path, rows=N, sep=",", comma=".", **columns):
    """A table of two modalities and y with more columns, or other ones."""
    whole = {"a_1": A[:, 0], "a_2": A[:, 1], "v_1": V[:, 0], "v_2": V[:, 1], "y": Y} | columns
    lines = [sep.join(whole)]
    lines += [sep.join(str(column[i]).replace(".", comma) for column in whole.values()) for i in range(rows)]
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def _load(path, modalities=GROUPS, **options):
    return load(DatasetSpec(name="arrays", options={"path": str(path), "modalities": modalities, **options}))


class TestKinds:
    @pytest.mark.parametrize("name", ["d.csv", "D.CSV", "d.tsv", "d.csv.gz", "d.Csv.GZ", "d.TSV.gz"])
    @pytest.mark.parametrize(("sep", "comma"), [(",", "."), (";", "."), (";", ","), ("\t", ","), ("\t", ".")])
    def test_separators_and_decimal_marks_are_read(self, tmp_path, name, sep, comma):
        data = _load(_csv(tmp_path / name, sep=sep, comma=comma))
        assert data.name.lower() == "d"
        assert data.modalities["audio"].values == pytest.approx(A, abs=1e-6)
        assert data.modalities["video"].values == pytest.approx(V, abs=1e-6)
        assert np.array_equal(data.targets["audio"].values, Y)

    def test_a_byte_order_mark_and_other_line_ends(self, tmp_path):
        path = _csv(tmp_path / "d.csv")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        assert _load(path).modalities["audio"].values == pytest.approx(A, abs=1e-6)

    def test_names_are_found_whatever_they_hold(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text('\n"a,1","b\n2", c \n1,2,3\n4,5,6\n')
        columns = read_delimited(path)
        assert {name: column.tolist() for name, column in columns.items()} == {
            "a,1": [1, 4],
            "b\n2": [2, 5],
            "c": [3, 6],
        }

    @pytest.mark.parametrize("sep", [",", ";", "\t"])
    def test_a_header_may_be_as_long_as_it_is(self, tmp_path, sep):
        names = [f"gene_{place}" for place in range(20_000)]
        (tmp_path / "d.csv").write_text(f"{sep.join(names)}\n{sep.join(['1'] * len(names))}\n")
        assert list(read_delimited(tmp_path / "d.csv")) == names

    def test_a_column_without_a_name_is_left_out(self, tmp_path):
        """The row's number, which data frames are written with, is no feature."""
        path = tmp_path / "d.csv"
        path.write_text(",a_1,a_2\n0,1,2\n1,3,4\n")
        assert read_table(path, {"audio": "*"})["audio"].tolist() == [[1, 2], [3, 4]]


def test_columns_of_a_table_keep_their_names(tmp_path):
    path = _csv(tmp_path / "d.csv")
    for modalities, audio in ((GROUPS, ("a_1", "a_2")), ({**GROUPS, "audio": ["v_2", "a_1"]}, ("v_2", "a_1"))):
        assert _load(path, modalities).modalities["audio"].columns == audio
    import pandas as pd

    pd.DataFrame({"a_1": list(A), "v_1": V[:, 0], "y": Y}).to_parquet(tmp_path / "d.parquet")
    columns = {name: one.columns for name, one in _load(tmp_path / "d.parquet").modalities.items()}
    assert columns == {"audio": (), "video": ("v_1",)}  # of a vector none has a name


class TestMissing:
    def test_words_for_nothing_are_missing_among_numbers_and_labels_among_texts(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("a,b,y,z\n1,NA,None,x\nnan,2,yes,\n3,,NA,NA\n")
        columns = read_table(path, {"audio": ["a", "b"]})
        assert np.array_equal(columns["audio"], [[1, np.nan], [np.nan, 2], [3, np.nan]], equal_nan=True)
        assert columns["y"].tolist() == ["None", "yes", "NA"]
        assert columns["z"].tolist() == ["x", "", "NA"]

    def test_two_words_for_nothing_are_two_labels(self, tmp_path):
        data = _load(_csv(tmp_path / "d.csv", y=np.array(["None", "NA"])[Y % 2]))
        assert data.targets["audio"].n_classes == 2
        assert "is 'NA' and 'None' in 120 of 120 rows" in data.notes[0]

    def test_a_row_that_says_what_separates_is_no_header(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("sep=;\na;b,c\n1,5;0\n2;1\n")
        columns = read_table(path, {})
        assert {name: columns[name].tolist() for name in columns} == {"a": [1.5, 2], "b,c": [0, 1]}

    @pytest.mark.parametrize("sep", ["\t", ";"])
    def test_commas_that_may_mark_thousands_are_decimal_where_another_shows_it(self, tmp_path, sep):
        path = tmp_path / "d.csv"
        path.write_text(f"a{sep}b{sep}y\n1,250{sep}0,5{sep}0\n999{sep}2{sep}1\n")
        assert read_table(path, {})["a"].tolist() == [1.25, 999]
        path.write_text(f"a{sep}b{sep}y\n1,250{sep}0.5{sep}0\n999{sep}2{sep}1\n")
        with pytest.raises(DataError, match=r"column 'a' of modality audio holds '1,250': write numbers"):
            read_table(path, {"audio": "a"})

    @pytest.mark.parametrize("sep", ["\t", ";"])
    def test_points_that_may_mark_thousands_are_no_decimal_points_beside_decimal_commas(self, tmp_path, sep):
        path = tmp_path / "d.csv"
        path.write_text(f"a{sep}b{sep}y\n1.250{sep}0,5{sep}0\n999{sep}2{sep}1\n")
        with pytest.raises(
            DataError, match=r"column 'a' of modality audio holds '1.250', whose point may mark thousands"
        ):
            read_table(path, {"audio": "a"})
        for a, b in (("1.250", "0.5"), ("1.25", "0,5")):
            path.write_text(f"a{sep}b{sep}y\n{a}{sep}{b}{sep}0\n999{sep}2{sep}1\n")
            assert read_table(path, {})["a"].tolist() == [1.25, 999]

    def test_a_missing_number_among_decimal_commas(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("a;y\n1,5;0\nNA;1\n2;0\n")
        assert np.array_equal(read_table(path, {})["a"], [1.5, np.nan, 2], equal_nan=True)

    def test_empty_labels_are_missing(self, tmp_path):
        with pytest.raises(DataError, match="y has empty labels"):
            _load(_csv(tmp_path / "d.csv", y=np.array(["a", "", "b"])[Y]))


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a_1,v_1,a_1,y\n1,2,3,0\n", r"two columns named 'a_1' \(columns 1 and 3\)"),
            ("a_1,v_1, a_1 ,y\n1,2,3,0\n", "two columns named 'a_1'"),
            ("a_1,v_1,y\n", "has a header and no rows"),
            ("\n\n", "is empty"),
            ("a_1,v_1,y\n1,2,0,7\n3,4,1,8\n", "more cells than its header, 3"),
            ("a_1,v_1,y\n1,2,0\n3,4,1,8\n", "Expected 3 fields in line 3"),
            ('a_1,v_1,y\n"1,234.50",2,0\n3,4,1\n', r"column 'a_1' of modality audio holds '1,234.50': write numbers"),
            ("a_1;v_1;y\n1.234,50;2;0\n3;4;1\n", "holds '1.234,50': write numbers with a decimal point"),
            ('a_1,v_1,y\n"0,5",2,0\n3,4,1\n', "holds '0,5': write numbers with a decimal point"),
            ("a_1,v_1,y\n1_000,2,0\n3,4,1\n", r"holds '1_000': write numbers with a decimal point and without marks"),
            ("a_1,v_1,y\n1_0.5e3,2,0\n3,4,1\n", r"holds '1_0.5e3': write numbers"),
            ("a_1,v_1,y\na_b,2,0\n3,4,1\n", r"holds text \('a_b'\)"),
            ("a_1,v_1,y\nloud,2,0\n3,4,1\n", r"holds text \('loud'\)"),
            ("a_1|v_1|y\n1|2|0\n", r"has one column, 'a_1\|v_1\|y'; cells are separated by commas, semicolons"),
            ("a_1 v_1 y\n1 2 0\n", "has one column, 'a_1 v_1 y'"),
            ("a_1,v_1,y\n\u0661,2,0\n", r"holds text \('\u0661'\)"),
            ("a_1,v_1,y\nNA,2,0\n3 dB,4,1\n", r"holds text \('3 dB'\)"),
        ],
    )
    def test_are_one_line_each(self, tmp_path, text, said):
        (tmp_path / "d.csv").write_text(text)
        with pytest.raises(DataError, match=said) as error:
            _load(tmp_path / "d.csv")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("d.csv", "a_1,v_1,y\ncafé,2,0\n".encode("latin-1"), "CSV in UTF-8"),
            ("d.csv", b"x" * 200_000, "field larger than field limit"),
            ("d.csv.gz", b"a_1,v_1,y\n", "it is damaged or no gzip file"),
            ("d.csv.gz", gzip.compress(b"a_1,v_1,y\n" * 99, mtime=0)[:-9], "cannot be unpacked"),
            ("d.csv.gz", gzip.compress(bytes(2**29), mtime=0), "more than is plausible"),
            ("d.xlsx", b"PK\x03\x04", r"of no kind that is read; .* or give a folder of \.npy files, \.parquet, \.csv"),
            *(
                (name, b"a_1,v_1,y\n1,2,0\n", rf"{name} is of no kind that is read; .*\.csv or \.tsv \(also \.csv\.gz")
                for name in ("d.csv.bz2", "d.tab", "d.txt", "d.csv.xz", "d.dat", "d", "d.parquet.gz")
            ),
            ("d.npz", b"a_1,v_1,y\n1,2,0\n", r"no readable \.npz file \(File is not a zip file\)"),
            ("d.npy", b"\x93NUMPY", "is one array; give the folder that holds it"),
        ],
    )
    def test_files_of_another_kind(self, tmp_path, name, content, said):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=said) as error:
            _load(tmp_path / name)
        assert "\n" not in str(error.value)


class TestParquet:
    @pytest.fixture
    def save(self, tmp_path):
        import pandas as pd

        def write(**columns):
            pd.DataFrame({"y": Y} | columns).to_parquet(tmp_path / "d.parquet")
            return tmp_path / "d.parquet"

        return write

    def test_columns_of_vectors_are_modalities(self, save):
        path = save(audio=list(A), video=[row.tolist() for row in V], loud=V[:, 0])
        data = _load(path, {"audio": "audio", "video": ["video", "loud"]})
        assert data.modalities["audio"].values == pytest.approx(A, abs=1e-6)
        assert data.modalities["video"].values == pytest.approx(np.c_[V, V[:, 0]], abs=1e-6)

    def test_a_column_of_matrices_is_a_sequence(self, save):
        steps = np.arange(N * 6.0).reshape(N, 3, 2)
        data = _load(save(audio=[row.tolist() for row in steps], v_1=V[:, 0]), {"audio": "audio", "video": "v_*"})
        assert np.array_equal(data.modalities["audio"].values, steps)

    @pytest.mark.parametrize("kind", ["list", "large list", "fixed size"])
    @pytest.mark.parametrize("rows_at_once", [N, 50])
    def test_every_kind_of_vectors(self, tmp_path, kind, rows_at_once):
        import pyarrow as pa
        from pyarrow import parquet

        number = pa.float32()
        kinds = {"list": pa.list_(number), "large list": pa.large_list(number), "fixed size": pa.list_(number, 2)}
        vectors = pa.array([[1.0 * i, None if i == 3 else 2.0] for i in range(N)], kinds[kind])
        table = pa.table({"a.b": vectors, "a": pa.array(V[:, 0]), "y": Y})
        parquet.write_table(table, tmp_path / "d.parquet", row_group_size=rows_at_once)
        data = _load(tmp_path / "d.parquet", {"audio": "a.b", "video": "a"}, imputation="zero")
        expected = np.c_[np.arange(N), np.full(N, 2.0)]
        expected[3, 1] = 0
        assert np.array_equal(data.modalities["audio"].values, expected)
        assert np.array_equal(data.modalities["video"].values[:, 0], V[:, 0])

    def test_large_vectors_stay_in_their_precision(self, save, monkeypatch):
        path = save(audio=list(A.astype(np.float32)), v_1=V[:, 0])
        how = {"audio": "audio", "video": "v_*"}
        assert _load(path, how).modalities["audio"].values.dtype == np.float64
        monkeypatch.setattr(tables, "LARGE_BYTES", 1000)
        assert _load(path, how).modalities["audio"].values.dtype == np.float32

    def test_a_column_of_vectors_that_is_damaged(self, save):
        path = save(audio=list(A), v_1=V[:, 0])
        content = path.read_bytes()
        start = content.index(A[0].tobytes())
        path.write_bytes(content[: start - 60] + bytes(80) + content[start + 20 :])
        with pytest.raises(DataError, match=r"column 'audio' cannot be read|no readable table") as error:
            _load(path, {"audio": "audio", "video": "v_*"})
        assert "\n" not in str(error.value)

    def test_decimals_and_categories_of_numbers_are_numbers(self, save):
        import pandas as pd

        path = save(a_1=[Decimal(str(value)) for value in A[:, 0]], a_2=pd.Categorical(Y * 2), v_1=V[:, 0])
        values = _load(path).modalities["audio"].values
        assert values == pytest.approx(np.c_[A[:, 0], Y * 2], abs=1e-6)

    def test_words_for_nothing_are_labels_and_nulls_are_missing(self, save):
        data = _load(save(a_1=A[:, 0], v_1=V[:, 0], y=np.array(["None", "yes"])[Y % 2]))
        assert data.targets["audio"].n_classes == 2
        with pytest.raises(DataError, match="empty labels"):
            _load(save(a_1=A[:, 0], v_1=V[:, 0], y=np.array([None, "yes"], dtype=object)[Y % 2]))

    def test_days_may_be_groups(self, save):
        day = [date(2020, 1, 1 + i // 8) for i in range(N)]
        split = _load(save(a_1=A[:, 0], v_1=V[:, 0], day=day), group="day").split
        assert all(len(set(split[i * 8 : i * 8 + 8])) == 1 for i in range(N // 8))

    @pytest.mark.parametrize(
        ("column", "said"),
        [
            (
                [[1.0] * (1 + i % 2) for i in range(N)],
                "vectors of different lengths: 1 in row 1, 2 in row 2; make them",
            ),
            ([None if i == 7 else [1.0] for i in range(N)], "has no vector in row 8; remove such rows"),
            ([["loud"]] * N, "vectors of .*string, which are no numbers"),
            ([None] * N, "modality audio has NaN"),
            ([date(2020, 1, 1)] * N, "holds dates; turn them into numbers"),
            ([datetime(2020, 1, 1, 12)] * N, "holds dates; turn them into numbers"),
            (["loud"] * N, r"holds text \('loud'\)"),
            (["True", "", "False"] * (N // 3), "holds true and false, and empty cells among them; write 1 and 0"),
            (["1.5"] * N, r"holds numbers as text \('1.5'\); save them as numbers"),
        ],
    )
    def test_what_is_no_number_is_named(self, save, column, said):
        with pytest.raises(DataError, match=said):
            _load(save(a_1=column, v_1=V[:, 0]))

    @pytest.mark.parametrize(
        "unused", [[[1.0] * (1 + i % 2) for i in range(N)], [["a", "b"]] * N, [b"\xff\x00"] * N, [{"a": 1}] * N]
    )
    def test_a_column_that_nobody_uses_may_hold_anything(self, save, unused):
        data = _load(save(a_1=A[:, 0], v_1=V[:, 0], other=unused))
        assert [modality.values.shape for modality in data.modalities.values()] == [(N, 1), (N, 1)]

    def test_labels_may_be_bytes_of_any_letters(self, save):
        path = save(a_1=A[:, 0], v_1=V[:, 0], y=np.array(["é".encode(), b"b", b"\xff"], dtype=object)[Y])
        assert _load(path).targets["audio"].n_classes == 3

    def test_a_table_without_rows(self, tmp_path):
        import pandas as pd

        pd.DataFrame({"a_1": [], "v_1": [], "y": []}).to_parquet(tmp_path / "d.parquet")
        with pytest.raises(DataError, match="has no rows"):
            _load(tmp_path / "d.parquet")


class TestColumnsInUse:
    """The target, the split, the groups and the masks are no features."""

    def test_a_pattern_never_takes_them(self, tmp_path):
        who = np.arange(N) // 8
        path = _csv(tmp_path / "d.csv", a_label=Y, a_who=who, a_mask=Y, split=np.arange(N) % 3, sep=",")
        arrays = {"audio": "a_*", "video": "*"}
        data = _load(path, arrays, target="a_label", group="a_who", mask=None)
        assert data.modalities["audio"].values.shape == (N, 3)  # a_1, a_2, a_mask
        assert data.modalities["video"].values.shape == (N, 6)  # those, v_1, v_2, y

    def test_nor_the_target_of_another_modality(self, tmp_path):
        path = _csv(tmp_path / "d.csv", a_y=Y, v_y=Y)
        data = _load(path, target={"audio": "v_y", "video": "a_y"})
        assert [modality.values.shape[1] for modality in data.modalities.values()] == [2, 2]

    @pytest.mark.parametrize(
        ("modalities", "options", "said"),
        [
            ({"audio": ["a_1", "y"], "video": "v_*"}, {}, "modality audio: column 'y' is the target, not a feature"),
            ({"audio": "y", "video": "v_*"}, {}, "column 'y' is the target"),
            ({"y": "a_*", "video": "v_*"}, {}, "modality y has the name of the target; give it another name"),
            ({"audio": ["a_1", "who"], "video": "v_*"}, {"group": "who"}, "column 'who' is the group"),
            ({"who": "a_*", "video": "v_*"}, {"group": "who"}, "modality who has the name of the group"),
            ({"split": "a_*", "video": "v_*"}, {}, "modality split has the name of the split"),
            ({"audio": ["split"], "video": "v_*"}, {}, "column 'split' is the split"),
            ({"audio": ["fold"], "video": "v_*"}, {"split": "fold"}, "column 'fold' is the split"),
            ({"audio": ["a_1"], "video": "v_*"}, {"mask": {"audio": "a_1"}}, "is the mask of audio"),
            ({"audio": "z*", "video": "v_*"}, {"target": "z"}, "no column matches 'z"),
        ],
    )
    def test_naming_one_or_shadowing_it_is_refused(self, tmp_path, modalities, options, said):
        path = _csv(tmp_path / "d.csv", who=np.arange(N) // 8, split=np.arange(N) % 3, fold=np.arange(N) % 3, z=Y)
        with pytest.raises(DataError, match=said) as error:
            _load(path, modalities, **options)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"modalities": ["audio", "y"]}, "modality y is y, which is the target"),
            ({"modalities": {"audio": "audio", "seen": "y"}}, "modality seen is y, which is the target"),
            ({"modalities": ["audio", "who"], "group": "who"}, "which is the group"),
            ({"modalities": ["audio", "split"]}, "which is the split"),
            ({"modalities": ["audio", "real"], "mask": {"audio": "real"}}, "which is the mask of audio"),
        ],
    )
    def test_nor_are_they_arrays_of_a_modality(self, tmp_path, options, said):
        np.savez(
            tmp_path / "d.npz",
            audio=A[:, None],
            video=V,
            y=Y[:, None],
            who=Y,
            split=Y[:, None],
            real=np.ones((N, 1), int),
        )
        with pytest.raises(DataError, match=said):
            load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz"), **options}))


@pytest.mark.parametrize("absent", [np.nan, None, "", "  ", "NA", "nan"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_without_a_group_are_not_one_group(tmp_path, absent, kind):
    import pandas as pd

    who = np.array([f"p{i // 8}" for i in range(N)], dtype=object)
    who[::3] = absent
    frame = pd.DataFrame({"a_1": A[:, 0], "v_1": V[:, 0], "y": Y, "who": who})
    path = tmp_path / f"d.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    with pytest.raises(
        DataError, match=r"group who has no value.* in 40 of 120 rows, which would be taken as one"
    ) as error:
        _load(path, group="who")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("who", [np.where(Y == 0, np.nan, np.arange(N) // 8), np.array(["", "a", "b"])[Y]])
@pytest.mark.parametrize("fold", [{}, {"split": "fold"}])
def test_nor_in_arrays_nor_with_a_given_split(tmp_path, who, fold):
    np.savez(tmp_path / "d.npz", audio=A, video=V, y=Y, who=who, fold=np.arange(N) % 3)
    with pytest.raises(DataError, match="in 40 of 120 rows"):
        load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz"), "group": "who", **fold}))
