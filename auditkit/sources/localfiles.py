"""Files of this machine: a folder, a glob, one file or several."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from errno import ENOENT
from typing import Any, BinaryIO, cast

from auditkit.exportlog.logfile import LOG_NAME
from auditkit.sources.files import FileSource
from auditkit.sources.logged import guarded

NOT_RUNS = frozenset({LOG_NAME})


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
            return sorted(name for name in names if os.path.basename(name) not in NOT_RUNS)
        if self.pattern is not None:
            return sorted(path for path in glob.glob(self.pattern, recursive=True) if os.path.isfile(path))
        return list(self.files)

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
