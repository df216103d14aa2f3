"""Ray as a guest in this process: with settings of ours, quiet, and leaving nothing behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def as_guest(variables: Mapping[str, str], *, logger: str, level: int) -> Iterator[None]:
    """Variables of the environment and a logger's least level, for as long as the context lasts.

    A notebook goes on after a study: a Tune run of the user's own would otherwise write no results for each trial.
    """
    told = logging.getLogger(logger).level
    with environment(variables):
        logging.getLogger(logger).setLevel(level)
        try:
            yield
        finally:
            logging.getLogger(logger).setLevel(told)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment, for as long as the context lasts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            put_back(name, value)


def put_back(name: str, value: str | None) -> None:
    """Set a variable of the environment as it was; None: it was not set."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
