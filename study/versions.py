"""That a study runs on a cluster with the versions it was submitted with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version

from study.config import ConfigError

VARIABLE = "ALIGN_STUDY_VERSIONS"
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "ray", "optuna", "mlflow")


def versions() -> dict[str, str]:
    """What a result may depend on, by name; local labels such as torch's +cu130 left out."""
    found = {name: version(name).partition("+")[0] for name in _PACKAGES}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found}


def check_versions(environment: Mapping[str, str] = os.environ) -> None:
    """Compare with those that `python -m study.submit` wrote into the job's environment, if it did.

    Raises:
        ConfigError: they differ.
    """
    wanted: dict[str, str] = json.loads(environment.get(VARIABLE, "{}"))
    here = versions()
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
