"""Files of an object store, or of what else fsspec knows by a URL: a folder, a glob or one file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import Any, BinaryIO

from auditkit.errors import InvalidOptionError, NoSourceError
from auditkit.exportlog.logfile import LOG_NAME
from auditkit.sources.files import FileSource
from auditkit.sources.localfiles import may_hold_runs, open_files
from auditkit.sources.logged import is_guarded_by
from auditkit.store import StorePath, files_in, found_at, location_of, matches, open_stream, require_found

_MAGIC = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class StoreFiles:
    """A folder of a store, what a glob matches there, or one file; paths are URLs."""

    place: StorePath
    is_folder: bool = False
    is_pattern: bool = False

    @property
    def location(self) -> str:
        """The URL."""
        return str(self.place)

    @property
    def named(self) -> bool:
        """Whether each was named, or matched."""
        return not self.is_folder

    def paths(self) -> list[str]:
        """The files, sorted."""
        if self.is_pattern:
            return matches(self.place)
        if not self.is_folder:
            return [str(self.place)]
        names = [found.name for found in files_in(self.place)]
        return [str(self.place / name) for name in names if may_hold_runs(name) and name[0] != "."]

    def open_raw(self, path: str) -> BinaryIO:
        """The bytes of one."""
        return open_stream(StorePath(path))

    def size(self, path: str) -> int:
        """How many bytes one has."""
        return require_found(StorePath(path)).bytes

    def guarded(self, path: str) -> bool:
        """Whether one was written with the formula guard, as the log in the working folder says."""
        with suppress(OSError):
            return is_guarded_by(Path.cwd() / LOG_NAME, path, lambda: self.size(path))
        return True


def open_store_files(url: str, **options: Any) -> FileSource:
    """A source of the files at a URL; `file://` is the local folder, glob or file.

    Raises
    ------
    NoSourceError
        If nothing of that kind can be read, or the URL holds a password.
    MissingExtraError
        If its driver is not installed.
    FileNotFoundError
        If there is nothing of that name, or the glob matches nothing.
    """
    try:
        place = location_of(url)
    except InvalidOptionError as error:
        raise NoSourceError(str(error)) from None
    if isinstance(place, Path):
        return open_files(place, **options)
    return FileSource(files=_files(place), **options)


def _files(place: StorePath) -> StoreFiles:
    found = found_at(place)
    if found is not None:
        return StoreFiles(place=place, is_folder=found.is_folder)
    if _MAGIC & set(place.url) and matches(place):
        return StoreFiles(place=place, is_pattern=True)
    files_in(place)  # says so if there is no such bucket
    raise FileNotFoundError(ENOENT, "No such folder, file or glob of audit runs", str(place))
