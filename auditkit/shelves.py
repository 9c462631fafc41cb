"""A folder of exports while it is looked through and cleaned: of this machine, or of a store."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from auditkit.store import Found, Location, StorePath, files_in, remove

Wanted = Callable[[str], bool]


class Shelf(Protocol):
    """A folder that was opened."""

    def files(self, wanted: Wanted) -> list[Found]:
        """Its regular files of the names that are wanted."""

    def check(self) -> None:
        """Nothing, if it is still the folder of that name; else an OSError."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def sync(self) -> None:
        """Let what was removed stay away after a power cut."""


@contextlib.contextmanager
def opened_shelf(folder: Location) -> Iterator[Shelf]:
    """A folder, opened: whatever takes its name meanwhile is left alone.

    Raises
    ------
    FileNotFoundError
        If there is none of this machine; a store has every folder.
    """
    if isinstance(folder, StorePath):
        yield _StoreShelf(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        yield _LocalShelf(folder, descriptor)
    finally:
        os.close(descriptor)


def files_of(folder: Location, wanted: Wanted) -> list[Found]:
    """The regular files of a folder of the names that are wanted; none if there is no such folder."""
    if isinstance(folder, StorePath):
        return _StoreShelf(folder).files(wanted)
    return _regular_files(folder, wanted)


class _LocalShelf:
    def __init__(self, folder: Path, descriptor: int):
        self._folder = folder
        self._descriptor = descriptor

    def files(self, wanted: Wanted) -> list[Found]:
        return _regular_files(self._descriptor, wanted)

    def check(self) -> None:
        if not os.path.samestat(os.stat(self._folder), os.fstat(self._descriptor)):
            raise OSError(errno.ESTALE, "The folder was replaced while it was cleaned", str(self._folder))

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        os.fsync(self._descriptor)


class _StoreShelf:
    def __init__(self, folder: StorePath):
        self._folder = folder

    def files(self, wanted: Wanted) -> list[Found]:
        return [found for found in files_in(self._folder) if wanted(found.name)]

    def check(self) -> None:
        """A folder of a store is nothing but a name."""

    def remove(self, name: str) -> None:
        remove(self._folder / name)

    def sync(self) -> None:
        """A store keeps what it has confirmed."""


def _regular_files(folder: int | Path, wanted: Wanted) -> list[Found]:
    at: dict[str, Any] = {"dir_fd": folder} if isinstance(folder, int) else {}
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = []
    for name in filter(wanted, names):
        try:
            status = os.lstat(name if at else Path(folder, name), **at)  # type: ignore[arg-type]
        except FileNotFoundError:  # removed by somebody else in the meantime
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(Found(name, status.st_size, status.st_mtime_ns, False))
    return found
