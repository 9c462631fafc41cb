"""Files of this machine: a folder, a glob, one file or several."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOENT
from operator import attrgetter
from typing import Any, BinaryIO, cast

from auditkit.exportlog.logfile import LOG_NAME
from auditkit.naming import MANIFEST_SUFFIX
from auditkit.sources.files import FileSource
from auditkit.sources.index import LEAST_FILES, Stamp, stamp_of
from auditkit.sources.logged import guarded


def may_hold_runs(name: str) -> bool:
    """Whether a file of a folder may: no log of exports does, and a manifest is a source of its own."""
    return name != LOG_NAME and not name.endswith(MANIFEST_SUFFIX)


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """A folder, what a glob matches, or files that were named."""

    location: str
    folder: str | None = None
    pattern: str | None = None
    files: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether each was named, or matched."""
        return self.folder is None

    def paths(self) -> list[str]:
        """The files, sorted unless they were named."""
        if self.folder is not None:
            with os.scandir(self.folder) as entries:
                names = [e.path for e in entries if not e.name.startswith(".") and e.is_file()]
            return sorted(name for name in names if may_hold_runs(os.path.basename(name)))
        if self.pattern is not None:
            return sorted(path for path in glob.glob(self.pattern, recursive=True) if os.path.isfile(path))
        return list(self.files)

    def stamps(self) -> dict[str, Stamp | None] | None:
        """The files in the same order, with what tells a changed one; None if they are few, or were named."""
        if self.folder is not None:
            return _stamps_in(self.folder)
        paths = self.paths() if self.pattern is not None else []
        return None if len(paths) < LEAST_FILES else {path: _stamp(path, path) for path in paths}

    @property
    def identity(self) -> tuple[str, str]:
        """What tells the place from any other, by whichever name, and what every path begins with."""
        if self.folder is not None:
            return os.path.realpath(self.folder), os.path.join(self.folder, "")
        return f"{os.path.realpath(os.curdir)}\n{self.pattern}", ""

    def open_raw(self, path: str) -> BinaryIO:
        """The bytes of one."""
        return cast(BinaryIO, open(path, "rb", buffering=0))

    def size(self, path: str) -> int:
        """How many bytes one has."""
        return os.path.getsize(path)

    def guarded(self, path: str) -> bool:
        """Whether one was written with the formula guard, as the log beside it or the bag around it says."""
        return guarded(path)


def open_files(location: Any, **options: Any) -> FileSource:
    """A source of the files at a path, a glob, or several paths.

    Raises
    ------
    FileNotFoundError
        If there is nothing at that path, or the glob matches nothing.
    """
    return FileSource(files=_local_files(location), **options)


def _local_files(location: Any) -> LocalFiles:
    if isinstance(location, list | tuple):
        paths = tuple(os.fspath(path) for path in location)
        return LocalFiles(location=", ".join(paths[:3]), files=paths)
    path = os.path.expanduser(os.fspath(location))
    if os.path.isdir(path):
        return LocalFiles(location=path, folder=path)
    if os.path.exists(path):
        return LocalFiles(location=path, files=(path,))
    if glob.has_magic(path) and glob.glob(path, recursive=True):
        return LocalFiles(location=path, pattern=path)
    raise FileNotFoundError(ENOENT, "No such folder, file or glob of audit runs", path)


def _stamps_in(folder: str) -> dict[str, Stamp | None] | None:
    with _entries(folder) as entries:
        files = [e for e in entries if not e.name.startswith(".") and e.is_file()]
        if len(files) < LEAST_FILES:
            return None
        files.sort(key=attrgetter("name"))
        prefix = os.path.join(folder, "")
        return {prefix + e.name: _stamp(prefix + e.name, e) for e in files if may_hold_runs(e.name)}


@contextmanager
def _entries(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What stands in a folder, looked at from inside it where that can be, which is a shorter way."""
    if os.scandir not in os.supports_fd:
        with os.scandir(folder) as entries:
            yield entries
        return
    inside = os.open(folder, os.O_RDONLY)
    try:
        with os.scandir(inside) as entries:
            yield entries
    finally:
        os.close(inside)


def _stamp(path: str, file: str | os.DirEntry[str]) -> Stamp | None:
    try:
        found = os.stat(file) if isinstance(file, str) else file.stat()
        return stamp_of(found, ".csv" not in path.lower() or guarded(path))
    except OSError:  # it went meanwhile, which the reading will tell
        return None
