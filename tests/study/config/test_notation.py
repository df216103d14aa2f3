"""Study files are plain YAML 1.2 of a bounded size: whatever else is given ends at once, in one bounded line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from study.config import ConfigError, load_config, parse_config
from study.config.notation import MOST_CHARACTERS, NotationError, read_yaml, write_yaml
from trainables.datasets import DataError, load
from trainables.spec import DatasetSpec

MINIMAL = "study: x\ndataset: {name: digits}\n"
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


def refused(text: str, **given: Any) -> str:
    """The one bounded line with which a text is refused, within seconds."""
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        parse_config(text, **given)
    line = str(caught.value)
    assert time.monotonic() - start < 20
    assert len(line) <= 2010
    assert line.isprintable()
    return line


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("014", 14), ("0o14", 12), ("0x1F", 31), ("-7", -7), ("+7", 7), ("1e3", 1000.0), ("1E-3", 0.001), (".5", 0.5),
        ("5.", 5.0), ("-.inf", float("-inf")), ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("1_000", "1_000"),
        ("0b11", "0b11"), ("-0o14", "-0o14"), ("yes", "yes"), ("on", "on"), ("No", "No"), ("True", True), ("~", None),
        ("", None), ("2024-01-01", "2024-01-01"), ("=", "="), ("'014'", "014"), ("!!str 014", "014"), ("!!int '7'", 7),
    ],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(written: str, meant: Any) -> None:
    (value,) = read_yaml(f"[{written}]") if written else [read_yaml(written)]

    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize("number", ["014", "0o16"])
def test_a_number_of_epochs_is_what_yaml_1_2_reads(number: str) -> None:
    assert parse_config(MINIMAL + f"training: {{epochs: {number}}}").training.epochs == 14
    assert parse_config(MINIMAL, overrides=[f"training.epochs={number}"]).training.epochs == 14


@pytest.mark.parametrize(
    "number", ["1:30", "1e18", "1000000000000000000", "0b11", "9" * 80, "0x" + "f" * 5000, "1e999"]
)
def test_a_number_that_is_none_or_out_of_all_proportion_is_refused(number: str) -> None:
    for line in (
        refused(MINIMAL + f"training: {{epochs: {number}}}"),
        refused(MINIMAL, overrides=[f"training.epochs={number}"]),
    ):
        assert "epochs" in line or "too long" in line


NUMBERS = [
    "seed", "pid.bootstrap", "encoder.layers", "encoder.width", "encoder.heads", "encoder.feedforward", "encoder.patch",
    "encoder.dropout", "encoders.left.width", "alignment.projector_width", "training.epochs", "training.batch_size",
    "training.learning_rate", "training.weight_decay", "training.temperature", "training.clip_norm", "strength.refine",
    "strength.per_round", "replicates.search", "replicates.confirm", "search.trials_per_strength",
    "search.stop_interval", "search.stop_regret", "resources.gpus", "resources.cpus", "resources.pack",
    "resources.workers", "resources.checkpoint_seconds", "dataset.split_seed",
]  # fmt: skip


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_of_a_study_file_is_without_a_limit(key: str) -> None:
    for number in (str(10**19), "1e19", str(-(10**19))):
        override = f"{key}={number}"
        assert key.rpartition(".")[2] in refused(MINIMAL, overrides=[override])


@pytest.mark.parametrize(
    "override",
    [
        "strength.range=[0, 1e19]",
        "strength.initial=[1e19]",
        f"strength.initial=[{'1,' * 2000}]",
        "search.nuisance={learning_rate: {log: [1, 1e19]}}",
        "search.nuisance={learning_rate: {linear: [-1e19, 1]}}",
    ],
)
def test_numbers_in_lists_have_limits_too(override: str) -> None:
    refused(MINIMAL, overrides=[override])


def test_every_number_of_the_schema_has_a_largest_value() -> None:
    from study.config import StudyConfig

    def numbers(schema: Any) -> list[Any]:
        if isinstance(schema, dict):
            own = [schema] if schema.get("type") in ("number", "integer") else []
            return own + [number for item in schema.values() for number in numbers(item)]
        return [number for item in schema for number in numbers(item)] if isinstance(schema, list) else []

    found = numbers(StudyConfig.model_json_schema())
    assert len(found) > 25
    assert not [number for number in found if not {"maximum", "exclusiveMaximum"} & set(number)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases"),
        (MERGE_BOMB, "aliases"),
        ("dataset: &a {name: digits, x: *a}", "stands inside"),
        ("a: &a [*a]", "stands inside"),
        ("pairs: " + "[" * 20_000, "deep"),
        ("pairs: " + "[" * 3_000 + "]" * 3_000, "deep"),
        ("pairs: " + "{a: " * 20_000, "deep"),
        ("- " * 20_000, "deep"),
        ("? " * 20_000, "deep"),
        ("x: " + "y" * MOST_CHARACTERS, "characters"),
        ("a: &" + "b" * 50_000 + " 1\nc: *" + "d" * 50_000, "alias"),
        (MINIMAL + "? " + "k" * 50_000 + "\n: 1", "unknown key"),
        (MINIMAL + '"two\\nlines": 1', "unknown key two lines"),
        (MINIMAL + 'encoder: {kind: "\\e[31mred"}', "does not exist"),
        (MINIMAL + f"pairs: [{'[a, b, c],' * 9_000}]", "pairs"),
        (MINIMAL + "x: !!binary aGk=", "constructor"),
        (MINIMAL + "x: !!set {a, b}", "constructor"),
        (MINIMAL + "x: !!bool maybe", "no boolean"),
        (MINIMAL + "x: !!int ''", "no integer"),
        (MINIMAL + "x: !!map [a]", "mapping"),
        (MINIMAL + 'x: "\\uD800"', "surrogate"),
        (MINIMAL + "<<: 3", "merging"),
        (MINIMAL + "---\nstudy: y", "another document"),
        ("? [a, b]\n: 3", "hashable"),
    ],
)
def test_a_text_that_would_hang_or_break_something_is_one_line(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize(
    "text", ["[" + "a," * 80_000 + "]", "- a\n" * 60_000, "a: &a 1\n" + "".join(f"b{i}: *a\n" for i in range(20_000))]
)
def test_the_largest_texts_are_read_or_refused_within_seconds(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "override", ["a." * 20_000 + "b=1", "training.epochs=" + "[" * 5_000, "k" * 9_000, "x=&a [*a]"]
)
def test_an_override_is_bounded_as_a_file_is(override: str) -> None:
    assert "--set" in refused(MINIMAL, overrides=[override])


def test_aliases_and_merge_keys_of_a_study_file_are_read() -> None:
    config = parse_config(
        MINIMAL + "encoder: &wide {width: 64}\nencoders: {left: {<<: *wide, layers: 3}, right: *wide}\n"
    )

    assert (config.encoders["left"].width, config.encoders["left"].layers, config.encoders["right"].width) == (
        64,
        3,
        64,
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_reads_back_the_same_in_either_version_of_yaml(text: str) -> None:
    written = write_yaml({"a": text, "b": [text]})

    assert read_yaml(written) == {"a": text, "b": [text]}
    assert yaml.safe_load(written) == {"a": text, "b": [text]}


@pytest.mark.parametrize("text", ["0o14", "1e3", "08", "014", "1:30", "yes", "on", "2024-01-01", "<<", "=", ".5", "~"])
def test_a_text_that_looks_like_a_number_stays_one(text: str) -> None:
    assert read_yaml(write_yaml([text])) == [text]


def test_json_with_escapes_is_read() -> None:
    assert read_yaml('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
    with pytest.raises(NotationError, match="surrogate"):
        read_yaml('"\\ude00\\ud83d"')


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _linked(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def _large(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    return path


ODD: dict[str, Callable[[Path], Path]] = {
    "pipe": _pipe, "endless device": lambda _: Path("/dev/zero"), "link to a device": _linked,
    "folder": lambda path: path.parent,
    "huge file": _large, "long name": lambda path: path.with_name("x" * 300),
    "no path at all": lambda path: path.with_name("a\0b"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_regular_file_is_no_study_file(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the study file"):
        load_config(ODD[kind](tmp_path / "odd.yaml"))


@pytest.mark.parametrize("kind", ["pipe", "endless device", "link to a device", "long name", "no path at all"])
@pytest.mark.parametrize("name", ["arrays", "avmnist", "mosi"])
def test_what_is_no_regular_file_is_no_data(kind: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"regular file|cannot be read"):
        load(DatasetSpec(name=name, options={"path": str(ODD[kind](tmp_path / "odd.npz"))}))


def test_a_pipe_in_a_folder_of_arrays_is_not_waited_for(tmp_path: Path) -> None:
    _pipe(tmp_path / "a.npy")

    with pytest.raises(DataError, match="a pipe, not a regular file"):
        load(DatasetSpec(name="arrays", options={"path": str(tmp_path)}))
