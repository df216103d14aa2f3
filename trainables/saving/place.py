"""Where packs keep what must outlive their workers: a folder that all nodes share, or a bucket that all can reach."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from trainables.saving.scratch import scratch

T = TypeVar("T")
BUCKET = "s3://"


@dataclass(frozen=True)
class Place:
    """Files by name, in a folder or below `s3://BUCKET/PREFIX` of any S3-compatible store.

    A bucket's keys, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL …) or from the machine's role, on every node. Whatever goes wrong in a place is an
    OSError.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def is_bucket(self) -> bool:
        """Whether it is one, and not a folder."""
        return self.address.startswith(BUCKET)

    def below(self, name: str) -> Place:
        """The place of this name in this one, made if it is a folder."""
        if not self.is_bucket:
            (Path(self.address) / name).mkdir(parents=True, exist_ok=True)
        return Place(f"{self.address.rstrip('/')}/{name}")

    def write(self, name: str, save: Callable[[Path], object]) -> None:
        """Keep what `save` writes to the path that it is given; `save` itself must leave a whole file or none."""
        if not self.is_bucket:
            save(Path(self.address) / name)
            return
        with scratch() as folder:
            save(folder / name)
            self._copy(folder / name, name, upload=True)

    def read(self, name: str, load: Callable[[Path], T]) -> T:
        """What `load` makes of a file.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        if not self.is_bucket:
            return load(Path(self.address) / name)
        with scratch() as folder:
            self._copy(folder / name, name, upload=False)
            return load(folder / name)

    def upload(self, local: Path, name: str) -> None:
        """Keep a copy of a file of this machine; `name` may have folders in it."""
        if self.is_bucket:
            self._copy(local, name, upload=True)
        else:
            (Path(self.address) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(local, Path(self.address) / name)

    def download(self, name: str, local: Path) -> None:
        """Copy a file to this machine, whose folder is made.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        local.parent.mkdir(parents=True, exist_ok=True)
        if self.is_bucket:
            self._copy(local, name, upload=False)
        else:
            shutil.copyfile(Path(self.address) / name, local)

    def tree(self) -> dict[str, tuple[int, float]]:
        """All files, those of folders below included: (bytes, time at which it was last written) of each by name."""
        if not self.is_bucket:
            files = ((path, path.stat()) for path in Path(self.address).rglob("*") if path.is_file())
            return {str(path.relative_to(self.address)): (stat.st_size, stat.st_mtime) for path, stat in files}
        from pyarrow.fs import FileSelector

        files, prefix = _opened(self.address)
        entries = files.get_file_info(FileSelector(prefix, allow_not_found=True, recursive=True))
        return {
            info.path.removeprefix(f"{prefix}/"): (info.size, info.mtime.timestamp())
            for info in entries
            if info.is_file
        }

    def take(self, name: str, target: Path) -> None:
        """Move a file out of the place.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        self.read(name, lambda path: shutil.copyfile(path, target) if self.is_bucket else shutil.move(path, target))
        self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if not self.is_bucket:
            (Path(self.address) / name).unlink(missing_ok=True)
            return
        files, prefix = _opened(self.address)
        with contextlib.suppress(FileNotFoundError):
            files.delete_file(f"{prefix}/{name}")

    def remove_folder(self, name: str) -> None:
        """Remove a place below this one with all files in it, if it is there."""
        if self.is_bucket:
            below = self.below(name)
            for file, _ in below._files():
                below.remove(file)
        else:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(Path(self.address) / name)

    def clear(self, pattern: str, *, untouched: float = 0.0) -> None:
        """Remove the files whose names match, as `*.pt` does, and that nobody wrote to for as many seconds.

        What cannot be removed stays.
        """
        latest = time.time() - untouched
        with contextlib.suppress(OSError):
            for name, written in self._files():
                if fnmatch.fnmatchcase(name, pattern) and written <= latest:
                    with contextlib.suppress(OSError):
                        self.remove(name)

    def clear_folders(self, pattern: str, *, untouched: float = 0.0) -> None:
        """Remove the places below this one whose names match, and in which nobody wrote for as many seconds.

        What cannot be removed stays.
        """
        latest = time.time() - untouched
        with contextlib.suppress(OSError):
            for name, written in self._folders().items():
                if fnmatch.fnmatchcase(name, pattern) and written <= latest:
                    with contextlib.suppress(OSError):
                        self.remove_folder(name)

    def _folders(self) -> dict[str, float]:
        """Names of all places below this one, with the time at which something in them was last written."""
        if not self.is_bucket:
            folders = [path for path in Path(self.address).iterdir() if path.is_dir()]
            return {
                folder.name: max(path.stat().st_mtime for path in (folder, *folder.rglob("*"))) for folder in folders
            }
        from pyarrow.fs import FileSelector

        files, prefix = _opened(self.address)
        written: dict[str, float] = {}
        for info in files.get_file_info(FileSelector(prefix, allow_not_found=True, recursive=True)):
            name, slash, _ = info.path.removeprefix(f"{prefix}/").partition("/")
            if info.is_file and slash:
                written[name] = max(written.get(name, 0.0), info.mtime.timestamp())
        return written

    def _files(self) -> list[tuple[str, float]]:
        """Names of all files, with the time at which they were last written."""
        if not self.is_bucket:
            return [(path.name, path.stat().st_mtime) for path in Path(self.address).iterdir() if path.is_file()]
        from pyarrow.fs import FileSelector

        files, prefix = _opened(self.address)
        entries = files.get_file_info(FileSelector(prefix, allow_not_found=True))
        return [(info.base_name, info.mtime.timestamp()) for info in entries if info.is_file]

    def _copy(self, local: Path, name: str, *, upload: bool) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        files, prefix = _opened(self.address)
        here, there = (LocalFileSystem(), os.fspath(local)), (files, f"{prefix}/{name}")
        (source_files, source), (target_files, target) = (here, there) if upload else (there, here)
        copy_files(source, target, source_filesystem=source_files, destination_filesystem=target_files)


@lru_cache(maxsize=4)
def _opened(address: str) -> tuple[Any, str]:
    """The file system and the path in it; once a process, for it keeps its connections."""
    from pyarrow.fs import FileSystem

    files, path = FileSystem.from_uri(address)
    return files, str(path)
