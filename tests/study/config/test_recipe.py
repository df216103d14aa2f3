"""The recipe of a training in a study file: what it says of packs, what is refused, and that older studies go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from study.cells.building import build_cells
from study.cells.trials import Setting
from study.config import ConfigError, StudyConfig, parse_config
from study.config.reading import to_yaml

NEW = ("keep", "patience", "schedule", "warmup", "optimiser")
SETTING = Setting(strength_1=1.0, strength_2=1.0, nuisance={})
RECIPE = {"keep": "best", "patience": 5, "schedule": "cosine", "warmup": 0.5, "optimiser": "sgd", "clip_norm": "off"}


def config(**training: Any) -> StudyConfig:
    content = {"study": "toy", "dataset": {"name": "digits"}, "pairs": [["left", "right"]], "training": training}
    return parse_config(json.dumps(content))


def test_a_study_without_a_recipe_is_the_one_of_the_version_before() -> None:
    plain = config()
    assert not set(NEW) & set(plain.identity["training"])
    assert plain.hash == config(keep="last", schedule="constant", warmup=0, optimiser="adamw", clip_norm=8).hash
    assert StudyConfig.of_identity(plain.identity) == plain
    assert plain.as_begun(plain.identity) == plain


@pytest.mark.parametrize(
    "training", [{"keep": "average"}, {"schedule": "cosine"}, {"warmup": 1}, {"optimiser": "sgd"}, {"clip_norm": "off"}]
)
def test_another_recipe_is_another_study(training: dict[str, Any]) -> None:
    assert config(**training).hash != config().hash


def test_the_recipe_reaches_the_pack_and_survives_its_files() -> None:
    asked = config(**RECIPE)
    assert parse_config(to_yaml(asked)) == asked
    assert StudyConfig.of_identity(asked.identity) == asked
    assert parse_config(json.dumps(asked.to_json())).training.clip_norm is None
    (cell,), _ = build_cells(asked)
    training, (replica,) = (pack := cell.pack("shared", [(SETTING, 0)])).training, pack.replicas
    assert {key: getattr(training, key) for key in NEW} == {key: RECIPE[key] for key in NEW}
    assert replica.clip_norm is None


@pytest.mark.parametrize(("keep", "fit"), [("best", ("train",)), ("average", ("train", "valid"))])
def test_encoders_whose_best_epoch_is_chosen_are_kept_from_training_rows_alone(keep: str, fit: tuple[str, ...]) -> None:
    (cell,), _ = build_cells(config(keep=keep))
    assert cell.pack("final", [(SETTING, 0)]).fit == fit


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"patience": 5}, "patience: 5 waits for a better epoch, but keep is last; add keep: best"),
        ({"patience": 5, "keep": "average"}, "but keep is average"),
        ({"patience": 0, "keep": "best"}, "training.patience is 0, but must be"),
        ({"patience": True, "keep": "best"}, "a number is needed, not true/false"),
        ({"warmup": 50}, "warmup: 50 must be fewer than all epochs, which are 50"),
        ({"warmup": -1}, "training.warmup is -1, but must be"),
        ({"keep": "mean"}, "training.keep is 'mean', but must be 'last', 'best' or 'average'"),
        ({"schedule": "linear"}, "training.schedule is 'linear', but must be 'constant' or 'cosine'"),
        ({"optimizer": "sgd"}, "did you mean optimiser"),
        ({"optimiser": "adam"}, "training.optimiser is 'adam', but must be 'adamw' or 'sgd'"),
        ({"clip_norm": "none"}, "training.clip_norm is 'none', but must be a number, or off"),
        ({"clip_norm": 0}, "training.clip_norm is 0, but must be greater than 0"),
    ],
)
def test_what_no_recipe_can_be_is_refused_in_a_line(training: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**training)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_small_stand_in_warms_up_no_longer_than_it_trains() -> None:
    content = {"study": "toy", "dataset": {"name": "mosei"}, "training": {"epochs": 50, "warmup": 10}}
    small = parse_config(json.dumps(content), stand_in="small").training
    assert small.warmup < small.epochs == 8
