"""Ray's Jobs API: a command that runs on the head of a cluster, with the code and files of this machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobSubmissionClient

from study.cluster.access import MODE, refused_token, token_source
from study.cluster.package import LEFT_BEHIND
from study.config import ConfigError
from study.config.secrets import redacted


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a study: `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; `code` that of its command."""

    id: str
    study: str
    status: str
    message: str
    code: int | None

    @property
    def ended(self) -> bool:
        """Whether the job runs no more."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class Jobs:
    """The jobs of the cluster whose dashboard is at `address` (http://head:8265).

    Raises:
        ConfigError: it cannot be reached, or asks for a token that is missing or wrong.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = self._asked(lambda: JobSubmissionClient(address))

    def submit(
        self,
        command: str,
        *,
        study: str,
        id_: str,
        folder: Path,
        modules: Sequence[Path],
        environment: Mapping[str, str],
    ) -> None:
        """Start `command` in a copy of `folder` with `modules`, packages; all on the cluster can read them."""
        runtime = {
            "working_dir": str(folder),
            "excludes": list(LEFT_BEHIND),
            "py_modules": [str(module) for module in modules],
            "env_vars": dict(environment),
        }
        self._asked(
            lambda: self._client.submit_job(
                entrypoint=command, submission_id=id_, runtime_env=runtime, metadata={"study": study}
            )
        )

    def of_study(self, study: str) -> Job | None:
        """The newest job of a study."""
        jobs = [job for job in self._asked(self._client.list_jobs) if (job.metadata or {}).get("study") == study]
        return _job(max(jobs, key=lambda job: job.start_time or 0)) if jobs else None

    def get(self, id_: str) -> Job:
        """A job as it is now."""
        return _job(self._asked(lambda: self._client.get_job_info(id_)))

    def stop(self, id_: str) -> None:
        """End a job as by Ctrl-C; its study can be resumed."""
        self._asked(lambda: self._client.stop_job(id_))

    def follow(self, id_: str, say: Callable[[str], object]) -> None:
        """Pass on what the job prints, from its start to its end."""
        unsaid: list[OSError] = []  # nobody listens any more, which is not the cluster's doing

        async def read() -> None:
            async for text in self._client.tail_job_logs(id_):
                try:
                    say(text)
                except OSError as error:
                    unsaid.append(error)
                    return

        self._asked(lambda: asyncio.run(read()))
        if unsaid:
            raise unsaid[0]

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (RuntimeError, ConnectionError, ValueError, OSError, RayError) as error:
            raise ConfigError(
                f"the Ray cluster at {redacted(self._address)} {_problem(error, self._address)}"
            ) from None


def _problem(error: Exception, address: str) -> str:
    text = str(error)
    reason = redacted(next((line for line in text.splitlines() if line.strip()), type(error).__name__))[:300]
    if "@" in address:  # user and password, of which the reason may tell a piece
        reason = type(error).__name__
    if isinstance(error, AuthenticationError) or re.search(r"status code 40[13]\b", text):
        source = token_source() if os.environ.get(MODE, "").lower() == "token" else None
        return refused_token(source)
    if "No available agent" in text:
        return (
            "has nobody who starts jobs, the agent of its dashboard; wait for it, or see dashboard_agent.log on the "
            "head: another Ray on that machine may have its port (--dashboard-agent-listen-port)"
        )
    if "exceeds the maximum size" in text:
        return (
            "takes no package of this size: what lies in the working directory goes to the cluster; name a smaller one "
            "by --working-dir, and put data on storage that all nodes share"
        )
    if isinstance(error, ConnectionError):
        return f"does not answer ({reason}); check --address, and that its dashboard runs (ray[default])"
    return f"refuses ({reason}); check --address, the token and that its dashboard runs (ray[default])"


def _job(details: Any) -> Job:
    return Job(
        id=details.submission_id,
        study=(details.metadata or {}).get("study", ""),
        status=str(getattr(details.status, "value", details.status)),
        message=(details.message or "").strip().splitlines()[0] if details.message else "",
        code=details.driver_exit_code,
    )
