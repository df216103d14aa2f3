"""Whether a study file asks for the study that is on record, however either of the two spells it.

A default that is written out, or a path that is written in another way, asks for nothing else. Such a study goes on
under the record's own spelling: data and trainings are known by it, and so is the study in MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from study.cells.building import encoder_of, pairs_of, rows_of
from study.cells.cell import Cell
from study.config import ConfigError, StudyConfig, differences
from study.search.record.notes import Identity, RecordedCell
from trainables import datasets
from trainables.datasets import DataError, MultimodalData
from trainables.datasets.files.tables import is_table
from trainables.sources import Source
from trainables.spec import DatasetSpec

Names = Sequence[str]
Resolve = Callable[[StudyConfig, MultimodalData, Names], object]


def in_words_of(
    known: Identity,
    recorded: Sequence[RecordedCell],
    config: StudyConfig,
    cells: Sequence[Cell],
    loaded: Mapping[str, MultimodalData],
) -> tuple[StudyConfig, tuple[Cell, ...], dict[str, MultimodalData]]:
    """A configuration, its cells and their data as a record spells them, whose configuration and cells are given."""
    config = as_recorded(config, known, loaded, cells=recorded)
    other_data = any(line.startswith("dataset.") for line in differences(known, config.identity))
    return (config, *cells_as_recorded(cells, loaded, recorded, config, other_data=other_data))


def as_recorded(
    config: StudyConfig,
    known: Identity,
    loaded: Mapping[str, MultimodalData],
    *,
    cells: Sequence[RecordedCell],
) -> StudyConfig:
    """The configuration with the words of the recorded one (as `identity` gave it) wherever they mean the same.

    What the study file leaves out means what it meant when the study began.

    Args:
        config: of the study file.
        known: the recorded configuration, perhaps of the version before.
        loaded: the data of `config`.
        cells: recorded.
    """
    config = config.as_begun(known)
    given = config.to_json()
    try:
        before = StudyConfig.of_identity({**given, **known, "resources": given["resources"]})
    except ValueError:  # an option that this version does not have
        return config
    if before.dataset is None or config.dataset is None or before.dataset.name != config.dataset.name:
        return config
    data = next(iter(loaded.values()))
    names = list(data.modalities)
    paired = list(dict.fromkeys(name for cell in cells for name in cell.pair))
    recorded = paired if before.pairs == "all" else names  # in the order that they had then
    for keys, resolve in _RESOLVED.items():
        try:
            alike = resolve(before, data, recorded) == resolve(config, data, names)
        except (DataError, ValueError):
            alike = False
        encoders = (given.get("encoder", {}), *given.get("encoders", {}).values())  # none beside a function
        has_code = any(encoder.get("factory") for encoder in encoders)
        if alike and not (has_code and "encoder" in keys):  # which keeps the path of its own file
            given |= {key: known[key] for key in keys if key in known}
    return StudyConfig.model_validate(given)


def cells_as_recorded(
    cells: Sequence[Cell],
    loaded: Mapping[str, MultimodalData],
    known: Sequence[RecordedCell],
    config: StudyConfig,
    *,
    other_data: bool = False,
) -> tuple[tuple[Cell, ...], dict[str, MultimodalData]]:
    """The cells and their data under the recorded ids, options and keys; a cell that is not on record stays as it is.

    A dataset of which more modalities are named now is read as it was named for the recorded cells besides: rows that
    lack only what has come to it are still theirs.

    Args:
        cells: of the study file.
        loaded: their data, by `Cell.data_key`.
        known: recorded cells.
        config: as `as_recorded` gave it.
        other_data: whether the study file has other options of the dataset than are on record, by which a cell may have
            another id now: it is known by its own options then.
    """
    named: list[Cell] = []
    data: dict[str, MultimodalData] = {}
    for cell in cells:
        now = loaded[cell.data_key] if cell.dataset is not None else None
        own = next((one for one in known if _is_same(cell, one, loaded, by_options=other_data)), None)
        if own is None:
            named.append(replace(cell, config=config))
        else:
            named.append(replace(cell, config=config, id=own.id, dataset=own.dataset, data_key=own.data_key))
            if now is not None and own.dataset is not None and _has_grown(cell, own, now):
                now = data[own.data_key] if own.data_key in data else _read(own.dataset)
                named[-1] = replace(named[-1], rows=rows_of(now.pair(*cell.pair)))
        if now is not None:
            data[named[-1].data_key] = now
    return tuple(named), data


def _is_same(cell: Cell, known: RecordedCell, loaded: Mapping[str, MultimodalData], *, by_options: bool) -> bool:
    """Whether a cell is a recorded one: by its id, or, as an option with more values than once gives it another, by its
    data and pair.
    """
    recorded = known.dataset
    if not by_options and cell.id == known.id:
        return True
    if cell.dataset is None or recorded is None:
        return cell.id == known.id
    if cell.pair != known.pair or cell.dataset.name != recorded.name:
        return False
    now, then = _options_of(cell, known, loaded[cell.data_key])
    if now == then:
        return True
    now_named, then_named = (_defined(options.pop("modalities", None)) for options in (now, then))
    return now == then and all(now_named.get(name) == then_named.get(name, ()) for name in cell.pair)


def _has_grown(cell: Cell, known: RecordedCell, data: MultimodalData) -> bool:
    """Whether the dataset of a recorded cell has other modalities now than are on record."""
    now, then = _options_of(cell, known, data)
    return now.get("modalities") != then.get("modalities")


def _options_of(cell: Cell, known: RecordedCell, data: MultimodalData) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a cell's dataset in full, and those that are recorded."""
    assert cell.dataset is not None
    assert known.dataset is not None
    names = list(data.modalities)
    return _in_full(dict(cell.dataset.options), names), _in_full(dict(known.dataset.options), names)


def _defined(modalities: object) -> dict[str, object]:
    """What each modality of the option, as `_in_full` gives it, is made of: None where its name says so."""
    named = modalities if isinstance(modalities, list) else []
    return dict((one, None) if isinstance(one, str) else one for one in named)


def _read(spec: DatasetSpec) -> MultimodalData:
    """A dataset as it is on record.

    Raises:
        ConfigError: it cannot be read that way any more.
    """
    try:
        return datasets.load(spec)
    except DataError as error:
        raise ConfigError(f"dataset {spec.name}, as the study began with it: {error}") from None


def changed_code(cells: Sequence[Cell], known: Sequence[RecordedCell]) -> tuple[str, ...]:
    """Names of the user's factories of encoders and scores whose code is another one than when the study began."""
    before, now = _hashes(cell.json for cell in known), _hashes(cell.to_json() for cell in cells)
    return tuple(sorted(name for name, code in now.items() if before.get(name, code) != code))


def _hashes(cells: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The hash of the code of each factory and score of the user's, by name; cells as `Cell.to_json` has them."""
    return {
        name: Source(name, part["code"]).hash
        for cell in cells
        for key, called in (("encoders", "factory"), ("scores", "name"))
        for part in cell.get(key) or ()
        if part.get("code") and (name := part[called])
    }


def _options(config: StudyConfig, _: MultimodalData, names: Names) -> list[dict[str, Any]]:
    """The options of each cell: defaults filled in, the path in full, modalities by name."""
    specs = datasets.cells(DatasetSpec(name=config.data.name, options=config.data.options))
    return [_in_full(dict(spec.options), names) for spec in specs]


def _in_full(options: dict[str, Any], names: Names) -> dict[str, Any]:
    path, modalities = options.get("path"), options.get("modalities")
    if isinstance(path, str):
        options["path"] = str(Path(path).resolve())
    if "modalities" in options and modalities is None:
        options["modalities"] = list(names)
    in_table = isinstance(path, str) and is_table(Path(path)) and not Path(path).is_dir()
    if isinstance(modalities, dict):
        columns = "{}_*" if in_table else "{}"  # what a name alone stands for
        if all(value == columns.format(name) for name, value in modalities.items()):
            options["modalities"] = list(modalities)
        else:  # in their order, which is that of the pairs
            options["modalities"] = list(modalities.items())
    return options


def _pairs(config: StudyConfig, data: MultimodalData, _: Names) -> list[tuple[str, str]]:
    return pairs_of(config, data)


def _encoders(config: StudyConfig, data: MultimodalData, names: Names) -> list[dict[str, Any]]:
    return [asdict(encoder_of(config, data, name)) for name in sorted(names)]


_RESOLVED: Mapping[tuple[str, ...], Resolve] = {
    ("dataset",): _options,
    ("pairs",): _pairs,
    ("encoder", "encoders"): _encoders,
}
