"""What a report's files were made of, and what was in them: those that are as they were need not be made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import trainables

_DRAWN_WITH = ("align-study", "numpy", "scipy", "matplotlib", "pandas", "pyarrow")


@dataclass(frozen=True, kw_only=True)
class Written:
    """Digests of a report's files, by their path from the study's folder, and one of all that they were made from."""

    made_from: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, paths: Iterable[Path], *, folder: Path, made_from: str) -> Written:
        """What is in these files of the study's `folder` by now.

        Raises:
            OSError: one of them cannot be read.
        """
        return cls(made_from=made_from, files={str(path.relative_to(folder)): _digest(path) for path in sorted(paths)})

    def stands(self, folder: Path, *, made_from: str) -> bool:
        """Whether the files of `folder` would be made from the same again, and are all as they were written."""
        try:
            return self.made_from == made_from and all(
                _digest(folder / name) == content for name, content in self.files.items()
            )
        except OSError:
            return False

    def save(self, path: Path) -> None:
        """Write it into a file.

        Raises:
            OSError: that cannot be written.
        """
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_written(path: Path) -> Written | None:
    """What `Written.save` has put into a file; None where there is none, or another's."""
    try:
        known = json.loads(path.read_bytes())
        return Written(
            made_from=str(known["made_from"]), files={str(name): str(one) for name, one in known["files"].items()}
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def made_from(content: str, *, beside: Sequence[str]) -> str:
    """The digest of all that decides what is in a report's files.

    Args:
        content: of report.json.
        beside: names of other files of the folder, which the page links.
    """
    return hashlib.sha256(json.dumps([content, list(beside), _versions(), _code()]).encode()).hexdigest()


def _versions() -> dict[str, str]:
    versions = {}
    for name in _DRAWN_WITH:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was not installed
            versions[name] = "unknown"
    return versions


@cache
def _code() -> str:
    """The digest of the code of both packages: a source tree changes without a new version."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parents[1], Path(trainables.__file__).parent):
        for path in sorted((*folder.rglob("*.py"), *folder.rglob("*.css"))):
            digest.update(f"{path.relative_to(folder)}\0{_digest(path)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
