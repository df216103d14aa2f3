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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import study
import trainables
from study.cli.options import add_overrides, folder_or_bucket
from study.cli.process import run_as_process
from study.cluster.access import check_token, token_doubt
from study.config import ConfigError, StudyConfig, load_config
from study.config.secrets import shown
from study.search.record.storage import check_cluster
from study.search.record.versions import VARIABLE, job_versions
from study.tracking import check_login, tracking_uri
from trainables.output import OptionParser, complain

if TYPE_CHECKING:
    from study.cluster.jobs import Job, Jobs
    from study.cluster.package import Package

DETACHED = 0
_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/@:?#\[\]]+):(?P<port>[0-9]{1,5})/?")
_STOP_SECONDS = 30.0  # that --stop waits for the job to end


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m study.submit",
        description="Run studies as jobs of a Ray cluster. This packages the working directory (of a FILE elsewhere "
        "that and the code it names), checks versions and follows the log. Ctrl-C stops following and leaves the job "
        "running; the same command follows it again. Several files go all or none, and are not followed.",
        epilog="example: python -m study.submit --space search_spaces/digits.yaml --address http://127.0.0.1:8265 "
        "--out /shared/studies --set storage=postgresql://align@db/align",
    )
    options.add_argument(
        "--space", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="study files (YAML)"
    )
    add_overrides(options)
    options.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, http://head:8265")
    options.add_argument(
        "--out",
        type=folder_or_bucket,
        metavar="DIR",
        help="folder of all studies: an absolute path that all nodes share, or s3://BUCKET/PREFIX",
    )
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow store, as seen from the head")
    options.add_argument(
        "--working-dir", type=Path, default=Path(), metavar="DIR", help="what to package, no secrets (.)"
    )
    what = options.add_mutually_exclusive_group()
    what.add_argument("--detach", action="store_true", help="do not follow the log")
    what.add_argument("--status", nargs="*", metavar="NAME", help="print the state of studies' jobs")
    what.add_argument("--stop", nargs="*", metavar="NAME", help="stop studies' jobs; submit them again to resume them")
    return options


@dataclass(frozen=True, kw_only=True)
class _Submission:
    """A study to be submitted: its file, and what that says."""

    space: Path
    config: StudyConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: that of the study, 0 where it was left running, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    try:
        check_cluster(given.address)
        _check_address(given.address)
        submissions = [_Submission(space=f, config=load_config(f, overrides=given.overrides)) for f in given.space]
        names = [one.config.study for one in submissions]
        named = given.stop if given.stop is not None else given.status
        if named is None and not names:
            raise ConfigError("there is no study to submit; name its file by --space FILE.yaml")
        if named is not None and not (wanted := [*named, *names]):
            raise ConfigError("name the studies, or their files by --space")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"two files are of the study {twice[0]}; give one of them another name (key study)")
        check_token(given.address)
        if doubt := token_doubt():
            print(doubt, file=sys.stderr)
        from study.cluster.jobs import Jobs

        jobs = Jobs(given.address)
        if named is not None:
            return _tend(jobs, wanted, stop=given.stop is not None)
        identifiers = _submit(jobs, given, submissions)
        return 0 if given.detach or len(identifiers) > 1 else _follow(jobs, identifiers[0])
    except ConfigError as error:
        complain(f"error: {error}")
        return 2


def _check_address(address: str) -> None:
    """Refuse what is no dashboard's URL: Ray would take it for the address of something else, and wait for that."""
    match = _URL.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise ConfigError(
            f"--address {shown(address)} is no URL of a cluster's dashboard; "
            "give http://HOST:PORT (or https://), as http://127.0.0.1:8265"
        )


def _tend(jobs: Jobs, names: Sequence[str], *, stop: bool) -> int:
    """Print the state of studies' jobs, which are stopped before if so wanted: all of them, or none."""
    known: list[Job] = []
    for name in names:
        if (job := jobs.of_study(name)) is None:
            raise ConfigError(f"no job of the study {name} on this cluster; submit it first")
        known.append(job)
    asked = [job for job in known if stop and not job.ended]
    for job in asked:
        jobs.stop(job.id)
    until = time.monotonic() + _STOP_SECONDS
    for job in known:
        while job in asked and not (now := jobs.get(job.id)).ended and time.monotonic() < until:
            time.sleep(0.5)  # else submitting would follow this one
        told = now if job in asked else job
        print(f"{told.id}: {told.status.lower()}{f' ({told.message})' if told.message else ''}")
    return 0


def _submit(jobs: Jobs, given: argparse.Namespace, submissions: Sequence[_Submission]) -> list[str]:
    """Submit studies, all or none; those that run already are left to. The ids of all their jobs.

    Raises:
        ConfigError: one cannot be submitted; those that were are stopped.
    """
    from study.cluster.package import packaged

    if given.out is None or (isinstance(given.out, Path) and not given.out.is_absolute()):
        raise ConfigError(
            "--out must be an absolute path on storage that all nodes share, or s3://BUCKET/PREFIX: a job's own folder "
            "is lost"
        )
    from study.session.bucket import check_record  # a second of imports

    for one in submissions:
        check_record(one.config, given.out)
    tracking = tracking_uri(given.tracking_uri) if given.tracking_uri else None
    identifiers: dict[str, str] = {}  # by study
    fresh: list[str] = []
    with ExitStack() as stack:
        packages: dict[str, Package] = {}
        for one in submissions:  # whatever is wrong is said before anything is sent
            name = one.config.study
            packages[name] = stack.enter_context(
                packaged(one.space, one.config, working=given.working_dir, overrides=given.overrides)
            )
            if (running := jobs.of_study(name)) is not None and not running.ended:
                identifiers[name] = running.id
                print(f"{running.id} is running already{'' if submissions[1:] else '; following it'}", file=sys.stderr)
        if tracking and (note := check_login(tracking)):
            print(note, file=sys.stderr)
        try:
            for name in [name for name in packages if name not in identifiers]:
                identifiers[name] = _submit_one(jobs, given, name, packages[name], tracking)
                fresh.append(identifiers[name])
        except (ConfigError, KeyboardInterrupt):
            for identifier in fresh:
                try:
                    jobs.stop(identifier)
                    print(f"stopped {identifier}, as not all could be submitted", file=sys.stderr)
                except ConfigError:  # what went wrong first is said last
                    print(f"{identifier} goes on: it could not be stopped; --stop NAME ends it", file=sys.stderr)
            raise
    return list(identifiers.values())


def _submit_one(jobs: Jobs, given: argparse.Namespace, name: str, package: Package, tracking: str | None) -> str:
    overrides = [part for override in package.overrides for part in ("--set", override)]
    command = shlex.join(
        ["python", "-m", "study.run", "--space", package.space, "--out", str(given.out), "--address", "auto",
         *overrides, *(["--tracking-uri", tracking] if tracking else [])]
    )  # fmt: skip
    identifier = f"{name}-{uuid.uuid4().hex[:8]}"
    jobs.submit(
        command,
        study=name,
        id_=identifier,
        folder=package.folder,
        modules=[Path(module.__path__[0]) for module in (study, trainables)],
        environment={VARIABLE: json.dumps(job_versions())},
    )
    print(f"submitted {identifier}", file=sys.stderr)
    return identifier


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
