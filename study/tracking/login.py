"""Whether an MLflow server takes this login: asked before a study begins, not when it has ended."""

from __future__ import annotations

import base64
import os
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from study.config import ConfigError
from study.config.secrets import redacted

_QUESTION = "/api/2.0/mlflow/experiments/search?max_results=1"
_PATIENCE_SECONDS = 5.0
_OTHER_WAYS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_VARIABLES = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"


def check_login(uri: str) -> str | None:
    """Ask a server whether it takes the login of this machine's environment; a line where that cannot be known here.

    None where it does, or `uri` names no server. A login that is not here may be where the job runs.

    Raises:
        ConfigError: it refuses the login that is here.
    """
    if not uri.startswith(("http://", "https://")) or "${" in uri:
        return None
    shown = redacted(uri)
    if any(os.environ.get(name) for name in _OTHER_WAYS) or Path("~/.mlflow/credentials").expanduser().exists():
        return f"note: the login of MLflow at {shown} was not tried: it is not that of {_VARIABLES}"
    request = Request(f"{uri.rstrip('/')}{_QUESTION}", headers=_credentials())
    try:
        with build_opener(_Stay()).open(request, timeout=_PATIENCE_SECONDS):
            return None
    except HTTPError as error:
        if error.code not in (401, 403):
            return f"note: MLflow at {shown} answers with an error from here ({error.code}); the job will ask it again"
        if not request.headers:
            return (
                f"note: MLflow at {shown} asks for a login, and there is none in the environment here; see that "
                f"{_VARIABLES} are set where the cluster's head starts, whose environment a job has"
            )
        raise ConfigError(
            f"MLflow at {shown} refuses the login that is in the environment here; set {_VARIABLES} to one that it "
            "takes, here and where the cluster's head starts, whose environment a job has"
        ) from None
    except (URLError, OSError, ValueError, HTTPException):
        return f"note: MLflow at {shown} cannot be reached from here, so that its login was not tried"


class _Stay(HTTPRedirectHandler):
    """Follows nobody elsewhere, who would be sent the login."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _credentials() -> dict[str, str]:
    """The header that MLflow's own client sends of these variables."""
    name, password = (os.environ.get(f"MLFLOW_TRACKING_{key}") for key in ("USERNAME", "PASSWORD"))
    if name and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode('ascii')}"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    return {}
