"""The versions that a result may depend on, and that a study has on a cluster those it was submitted with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from study.config import ConfigError

VARIABLE = "ALIGN_STUDY_VERSIONS"
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "ray", "optuna", "mlflow")


def job_versions() -> dict[str, str]:
    """What a job must find on its cluster, by name; local labels such as torch's +cu130 left out."""
    packages = {name: version(name).partition("+")[0] for name in _PACKAGES}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **packages}


def check_versions(environment: Mapping[str, str] = os.environ) -> None:
    """Compare the versions here with those that `python -m study.submit` wrote into the job's environment, if it did.

    Raises:
        ConfigError: they differ.
    """
    wanted: dict[str, str] = json.loads(environment.get(VARIABLE, "{}"))
    here = job_versions()
    apart = [
        f"{name} {here.get(name, 'none')} instead of {given}"
        for name, given in wanted.items()
        if here.get(name) != given
    ]
    if apart:
        raise ConfigError(
            f"this cluster has {', '.join(apart)}: install infra/constraints.txt in its image, "
            "or submit from an environment like it"
        )


def library_versions() -> dict[str, str]:
    """The versions of all that a result may depend on, in this process."""
    versions = {"python": platform.python_version()}
    for name in ("align-study", *_PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was not installed
            versions[name] = "unknown"
    return versions
