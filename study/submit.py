"""`python -m study.submit --space FILE.yaml --address http://head:8265`: run a study as a job of a Ray cluster."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import study
import trainables
from study.cli.options import add_study_file
from study.cli.process import run_as_process
from study.cluster.access import check_token, token_doubt
from study.config import ConfigError, StudyConfig, load_config
from study.config.secrets import shown
from study.search.record.storage import check_cluster
from study.search.record.versions import VARIABLE, job_versions
from study.tracking import tracking_uri

if TYPE_CHECKING:
    from study.cluster.jobs import Job, Jobs

DETACHED = 0
_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/@:?#\[\]]+):(?P<port>[0-9]{1,5})/?")
_STOP_SECONDS = 30.0  # that --stop waits for the job to end


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.submit",
        description="Run a study as a job of a Ray cluster. This packages the working directory, checks versions and "
        "follows the log. Ctrl-C stops following and leaves the job running; the same command follows it again.",
        epilog="example: python -m study.submit --space search_spaces/digits.yaml --address http://127.0.0.1:8265 "
        "--out /shared/studies --set storage=postgresql://align@db/align",
    )
    add_study_file(options)
    options.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, http://head:8265")
    options.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of all studies: an absolute path that all nodes share"
    )
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store, as seen from the head")
    options.add_argument(
        "--working-dir", type=Path, default=Path(), metavar="DIR", help="what to package, with FILE, no secrets (.)"
    )
    what = options.add_mutually_exclusive_group()
    what.add_argument("--detach", action="store_true", help="do not follow the log")
    what.add_argument("--status", action="store_true", help="print the state of the study's job")
    what.add_argument("--stop", action="store_true", help="stop the study's job; submit it again to resume it")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: that of the study, 0 where it was left running, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    try:
        check_cluster(given.address)
        _check_address(given.address)
        config = load_config(given.space, overrides=given.overrides)
        check_token(given.address)
        if doubt := token_doubt():
            print(doubt, file=sys.stderr)
        from study.cluster.jobs import Jobs

        jobs = Jobs(given.address)
        job = jobs.of_study(config.study)
        if given.status or given.stop:
            return _tend(jobs, job, config.study, stop=given.stop)
        if job is None or job.ended:
            identifier = _submit(jobs, given, config)
        else:
            identifier = job.id
            print(f"{identifier} is running already; following it", file=sys.stderr)
        return 0 if given.detach else _follow(jobs, identifier)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _check_address(address: str) -> None:
    """Refuse what is no dashboard's URL: Ray would take it for the address of something else, and wait for that."""
    match = _URL.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise ConfigError(
            f"--address {shown(address)} is no URL of a cluster's dashboard; "
            "give http://HOST:PORT (or https://), as http://127.0.0.1:8265"
        )


def _tend(jobs: Jobs, job: Job | None, name: str, *, stop: bool) -> int:
    if job is None:
        raise ConfigError(f"no job of the study {name} on this cluster; submit it first")
    if stop and not job.ended:
        jobs.stop(job.id)
        until = time.monotonic() + _STOP_SECONDS
        while not (job := jobs.get(job.id)).ended and time.monotonic() < until:  # else submitting would follow this one
            time.sleep(0.5)
    print(f"{job.id}: {job.status.lower()}{f' ({job.message})' if job.message else ''}")
    return 0


def _submit(jobs: Jobs, given: argparse.Namespace, config: StudyConfig) -> str:
    folder, space, name = given.working_dir.resolve(), given.space.resolve(), config.study
    if given.out is None or not given.out.is_absolute():
        raise ConfigError("--out must be an absolute path on storage that all nodes share: a job's own folder is lost")
    if not space.is_relative_to(folder):
        raise ConfigError(f"{given.space} lies outside {folder}, which is what the cluster gets; see --working-dir")
    _check_function(config, folder)
    tracking = ["--tracking-uri", tracking_uri(given.tracking_uri)] if given.tracking_uri else []
    overrides = [part for override in given.overrides for part in ("--set", override)]
    command = shlex.join(
        ["python", "-m", "study.run", "--space", str(space.relative_to(folder)), "--out", str(given.out),
         "--address", "auto", *overrides, *tracking]
    )  # fmt: skip
    identifier = f"{name}-{uuid.uuid4().hex[:8]}"
    jobs.submit(
        command,
        study=name,
        id_=identifier,
        folder=folder,
        modules=[Path(package.__path__[0]) for package in (study, trainables)],
        environment={VARIABLE: json.dumps(job_versions())},
    )
    print(f"submitted {identifier}", file=sys.stderr)
    return identifier


def _check_function(config: StudyConfig, folder: Path) -> None:
    """Refuse a trainer whose code would not go to the cluster, where alone it can be imported and tried.

    Raises:
        ConfigError: there is no such file, or it lies outside the working directory.
    """
    if config.trainer is None:
        return
    if config.trainer.file is None:
        raise ConfigError(f"trainer.call is {config.trainer.call}, a function given from Python; name FILE.py:NAME")
    code = (
        [config.trainer.file] if config.trainer.folder is None else [config.trainer.file, Path(config.trainer.folder)]
    )
    for path in code:
        if not path.exists():
            raise ConfigError(f"trainer names {path}, which does not exist; see to its path")
        if not path.resolve().is_relative_to(folder):
            raise ConfigError(f"{path} lies outside {folder}, which is what the cluster gets; see --working-dir")


def _follow(jobs: Jobs, identifier: str) -> int:
    try:
        jobs.follow(identifier, lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        print(f"\ndetached; {identifier} goes on. The same command follows it again, --stop ends it", file=sys.stderr)
        return DETACHED
    job = jobs.get(identifier)
    if job.status == "SUCCEEDED":
        return 0
    print(f"{identifier}: {job.status.lower()} {job.message}", file=sys.stderr)
    return 130 if job.status == "STOPPED" else job.code or 1


if __name__ == "__main__":
    run_as_process(main)
