"""What tests of files of a user's share: loading one by its options, and the line in which it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.datasets import DataError, MultimodalData, load
from trainables.spec import DatasetSpec


def load_file(path: Path, **options: object) -> MultimodalData:
    return load(DatasetSpec(name="arrays", options={"path": str(path), **options}))


def refused(path: Path, said: str, **options: object) -> None:
    with pytest.raises(DataError, match=said) as error:
        load_file(path, **options)
    assert "\n" not in str(error.value)
