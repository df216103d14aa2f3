"""A study file is parsed once; whatever is wrong with it is one line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.config import ConfigError, differences, load_config, parse_config, to_yaml

MINIMAL = "study: x\ndataset: {name: digits}\n"
OWN = "study: x\ndataset: {name: arrays, path: d.npz, modalities: %s}\n"


def test_a_file_of_three_lines_is_a_study() -> None:
    config = parse_config(MINIMAL + "pairs: all\n")

    assert config.strength.design[0] == 0
    assert config.replicates.confirm == 10


def test_the_resolved_file_reads_back_to_the_same_study() -> None:
    config = parse_config(MINIMAL + "search: {nuisance: {learning_rate: {log: [3e-4, 3e-3]}}, trials_per_strength: 4}")

    assert parse_config(to_yaml(config)) == config


def test_zero_is_always_in_the_first_round() -> None:
    assert parse_config(MINIMAL + "strength: {initial: [2, 1, 2]}").strength.design == (0, 1, 2)


def test_scientific_notation_without_a_dot_is_a_number() -> None:
    assert parse_config(MINIMAL + "training: {learning_rate: 1e-3}").training.learning_rate == 1e-3


def test_resources_that_change_no_result_do_not_change_the_identity() -> None:
    one, many = (parse_config(MINIMAL + f"resources: {{workers: {n}, cpus: {n}, share: {n}}}") for n in (1, 7))

    assert one.hash == many.hash


def test_what_changed_is_listed_key_by_key() -> None:
    old, new = (parse_config(MINIMAL + f"training: {{epochs: {n}}}").identity for n in (3, 4))

    assert differences(old, new) == ["training.epochs: 3 -> 4"]


def test_overrides_reach_nested_keys() -> None:
    config = parse_config(MINIMAL, overrides=["training.epochs=7", "pairs=[[left, right]]"])

    assert config.training.epochs == 7
    assert config.pairs == (("left", "right"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing"),
        ("3", "not a mapping"),
        ("a: [", "not valid YAML at line 1"),
        ("study: x", "dataset is missing"),
        ("study: x\nstudy: y\ndataset: {name: digits}", "given twice"),
        ("study: ../x\ndataset: {name: digits}", "letters, digits"),
        ("study: x\ndataset: digits", "section"),
        (MINIMAL + "trainin: {epochs: 3}", "did you mean training?"),
        (MINIMAL + "training: {epocs: 3}", "did you mean epochs?"),
        (MINIMAL + "encoders: {left: {widht: 3}}", "did you mean width?"),
        (MINIMAL + "search: {strength: {refine: 3}}", "unknown key search.strength; write strength in its place"),
        (MINIMAL + "epochs: 3", "unknown key epochs; write training.epochs in its place"),
        (MINIMAL + "search: {refine: 3}", "unknown key search.refine; write strength.refine in its place"),
        (MINIMAL + "training: {epochs: ten}", "training.epochs is 'ten'"),
        (MINIMAL + "training: {epochs: true}", "not true/false"),
        (MINIMAL + "training: {epochs: 0}", "greater than or equal to 1"),
        (MINIMAL + "training: {precision: fp8}", "'float32', 'tf32' or 'bf16'"),
        (MINIMAL + "strength: {initial: [-1]}", "greater than or equal to 0"),
        (MINIMAL + "strength: {initial: [.nan]}", "finite"),
        (MINIMAL + "strength: {initial: [.inf]}", "finite"),
        (MINIMAL + "strength: {initial: [5]}", "outside the range"),
        (MINIMAL + "strength: {initial: [0, 0]}", "no strength but 0"),
        (MINIMAL + "strength: {range: [1, 4], initial: [2]}", "must start at 0"),
        (MINIMAL + "strength: {range: [4, 0]}", "rising"),
        (MINIMAL + "strength: [1, 2]", "section"),
        (MINIMAL + "pairs: []", "not empty"),
        (
            MINIMAL + "pairs: [left, right]",
            "is ['left', 'right'], but must be all or a list of pairs, not empty: [[",
        ),
        (MINIMAL + "pairs: [[left]]", "is [['left']], but must be all or a list of pairs"),
        (MINIMAL + "pairs: {left: right}", "must be all or a list of pairs"),
        (MINIMAL + "strength: {initial: 0.5}", "strength.initial is 0.5, but must be a list"),
        (MINIMAL + "search: {nuisance: {learning_rate: {linear: [-1, 1]}}}", "begins at -1, but must be above 0"),
        (
            MINIMAL + "search: {nuisance: {temperature: {linear: [0, 1]}}}",
            "temperature begins at 0, but must be above 0",
        ),
        (MINIMAL + "search: {nuisance: {weight_decay: {linear: [-1, 1]}}}", "begins at -1, but must be 0 or more"),
        (MINIMAL + "resources: {gpus: 1.0e-9}", "no less than 0.0001 of a GPU"),
        (MINIMAL + "resources: {cpus: 1.0e-9}", "greater than or equal to 0.0001"),
        (MINIMAL + "storage: sqlite:///", "is no file: SQLite keeps it in memory; give sqlite:///FILE"),
        (MINIMAL + "storage: 'sqlite:///:memory:'", "is no file"),
        (MINIMAL + "storage: 'sqlite:///?timeout=3'", "is no file"),
        (MINIMAL + "storage: 'sqlite:///file:x?mode=memory&uri=true'", "is no file"),
        (MINIMAL + "resources: {share: 0}", "greater than or equal to 0.01"),
        (MINIMAL + "resources: {share: -1}", "greater than or equal to 0.01"),
        (MINIMAL + "resources: {share: 1.0e+9}", "less than or equal to 100"),
        (MINIMAL + "resources: {share: .nan}", "number"),
        (MINIMAL + "resources: {share: all}", "number"),
        (MINIMAL + "resources: {checkpoints: s3://}", "give an absolute folder or s3://BUCKET/PREFIX"),
        (MINIMAL + "resources: {checkpoints: s3:///prefix}", "give an absolute folder or s3://BUCKET/PREFIX"),
        (MINIMAL + "pairs: [[left, left]]", "two different modalities"),
        (MINIMAL + "pairs: [[left, right], [right, left]]", "listed twice"),
        (MINIMAL + "replicates: {search: 0}", "greater than or equal to 1"),
        (MINIMAL + "resources: {gpus: 0.3}", "1/n of a GPU"),
        (MINIMAL + "resources: {gpus: many}", "'auto' or"),
        (MINIMAL + "resources: {checkpoints: packs}", "an absolute folder or s3://BUCKET/PREFIX"),
        (MINIMAL + "resources: {checkpoints: gs://bucket/packs}", "an absolute folder or s3://BUCKET/PREFIX"),
        (MINIMAL + "resources: {checkpoints: 's3://key:hunter2@bucket/packs'}", "set AWS_ACCESS_KEY_ID"),
        (MINIMAL + "search: {nuisance: {learning_rate: {log: [1, 2], linear: [1, 2]}}}", "exactly one"),
        (MINIMAL + "search: {nuisance: {width: {log: [1, 2]}}}", "'learning_rate'"),
        (MINIMAL + "search: {sampler: random}", "'posterior'"),
        (MINIMAL + "pid: {estimator: guess}", "does not exist, choose one of"),
        (MINIMAL + "alignment: {objective: hinge}", "choose one of 'info_nce'"),
        (MINIMAL + "alignment: {objective: infonce}", "did you mean info_nce?"),
        (MINIMAL + "encoder: {kind: cnn}", "choose one of"),
        (OWN % "{audio: 'a_*', video: }", "modalities: {'audio': 'a_*', 'video': None} is not allowed"),
        (OWN % "[[audio], [video]]", "modalities: [['audio'], ['video']] is not allowed"),
        (OWN % "[audio, audio]", "give a list of different texts"),
        (OWN % "{audio: {a: b}, video: v}", "a mapping of texts to texts or lists of texts"),
        (OWN % "{audio: [], video: v}", "is not allowed"),
        (OWN % "{'': audio, video: v}", "modalities: {'': 'audio', 'video': 'v'} is not allowed"),
        (OWN % "{' ': audio, video: v}", "is not allowed"),
        (OWN % "{audio: '', video: v}", "is not allowed"),
        (OWN % "['', b]", "modalities: ['', 'b'] is not allowed; give a list of different texts"),
        (OWN % "[a, b], mask: {'': m}", "is not allowed"),
        (OWN % "{audio: [a, 3], video: v}", "is not allowed"),
        (OWN % "{1: a, video: v}", "is not allowed"),
        (OWN % "3", "modalities: 3 is not allowed"),
        (OWN % "[a, b], target: {audio: y, video: [y]}", "target: {'audio': 'y', 'video': ['y']} is not allowed"),
        (OWN % "[a, b], mask: {a: 3}", "mask: {'a': 3} is not allowed; give a mapping of texts to texts"),
        (OWN % "[a, b], standardise: [1]", "standardise: [1] is not allowed"),
        (OWN % "[a, b], task: regress", "one of auto, classes, multi_label, real, regression"),
        (OWN % "[a, b], targets: y", "did you mean 'target'?"),
        (OWN % f"{list('x' * 999)}", "…"),
        (OWN % "[a, b], split: ''", "dataset option split: '' is not allowed; give a text"),
        (OWN % "[a, b], group: ' '", "dataset option group: ' ' is not allowed; give a text"),
        (OWN % "[a, b], target: ''", "dataset option target: '' is not allowed"),
        (OWN % "[a, b], 3: y", "dataset.3: the key 3 is no text; write a name in quotes"),
        (MINIMAL + "3: 4", "3: the key 3 is no text; write a name in quotes"),
        (MINIMAL + "training: {null: 4}", "training.None: the key None is no text"),
        (MINIMAL + "encoders: {3: {width: 3}}", "encoders.3: the key 3 is no text; write a name in quotes"),
        (MINIMAL + "strength: {range: [0]}", "strength.range is [0], but must be a list of 2"),
        (MINIMAL + "strength: {range: []}", "strength.range is [], but must be a list of 2"),
        (
            MINIMAL + "search: {nuisance: {learning_rate: {log: [1]}}}",
            "learning_rate.log is [1], but must be a list of 2",
        ),
        (MINIMAL + "seed: 1e30", "seed is 1e+30, but must be a whole number of fewer digits"),
        ("study: x\ndataset: {name: digitz}", "did you mean 'digits'?"),
        ("study: x\ndataset: {name: arrays}", "option path is missing"),
    ],
)
def test_a_mistake_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


TEXTS = ("1_000", "1_0.0", "'1'", "'0.5'", "1:30", "0b1", "yes", "on", "''", "' 1 '", "'1e2'", "१", "'nan'", "'inf'")
NUMBERS = [
    ("", "seed"), ("strength", "initial"), ("resources", "gpus"), ("resources", "pack"), ("resources", "workers"),
    ("alignment", "projector_width"), *(("encoder", key) for key in ("layers", "width", "heads", "patch", "dropout")),
    *((section, key) for section, values in parse_config(MINIMAL).to_json().items() if isinstance(values, dict)
      for key, value in values.items() if type(value) in (int, float)),
]  # fmt: skip


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_a_text_is_no_number(section: str, key: str) -> None:
    for text in TEXTS:
        line = f"{key}: {f'[{text}]' if key == 'initial' else text}"
        with pytest.raises(ConfigError, match=rf"{key}.* is .*, but must be .*a number") as caught:
            parse_config(MINIMAL + (f"{section}: {{{line}}}" if section else line))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["yes", "on", "NO", "1", "0", "1.0", "'true'", "y", "off", "'1'", "[true]", "null"])
def test_only_true_and_false_are_booleans(value: str) -> None:
    for text, key in (("models: %s", "models"), ("search: {transfer: %s}", "search.transfer")):
        with pytest.raises(ConfigError, match=rf"{key} is .*, but must be true or false"):
            parse_config(MINIMAL + text % value)
    assert parse_config(f"{MINIMAL}models: FALSE").models is False


def test_nothing_less_is_allowed_of_weight_decay() -> None:
    parse_config(MINIMAL + "search: {nuisance: {weight_decay: {linear: [0, 1]}}}")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xff\xfe\x00study")

    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


@pytest.mark.parametrize("override", ["training.epochs", "=3", "study.a=3"])
def test_an_override_that_is_no_assignment_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_config(MINIMAL, overrides=[override])


@given(st.text())
def test_no_text_is_worse_than_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_value_is_worse_than_a_config_error(value: object) -> None:
    import yaml

    with pytest.raises(ConfigError):
        parse_config(MINIMAL + yaml.safe_dump({"training": {"epochs": value}, "strength": value, "pairs": value}))
