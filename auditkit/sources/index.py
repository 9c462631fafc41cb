"""The headers of large folders, kept from one listing to the next: a file that is as it was is not read."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

import auditkit
from auditkit.run import RunHeader

if TYPE_CHECKING:
    import sqlite3

ENVIRONMENT_VARIABLE = "AUDITKIT_INDEX"
LEAST_FILES = 1000
"""A smaller folder is read about as fast as its index would be, and leaves no trace of itself."""
VERSION = 1
_PART_FILES = 1024
_SETTLED_NS = 2_000_000_000
"""A file that changed so shortly before it was looked at may change again and keep its time."""
_UNUSED_SECONDS = 90 * 24 * 3600
_SUFFIX = ".sqlite"
log = logging.getLogger("auditkit")

Stamp = tuple[int, int, int, int, bool]
"""What tells a changed file: size, times of the last change of content and of anything (ns), inode, guard."""
Stamps = Mapping[str, Stamp | None]
Headers = list[RunHeader]


class _Part(msgspec.Struct, array_like=True):
    """Some files: a changed one costs the writing of its part, not of all."""

    names: list[str]
    stamps: list[Stamp]
    headers: list[Headers]


@runtime_checkable
class StampedFiles(Protocol):
    """Files of which can be told whether they changed, so that their headers can be kept."""

    @property
    def identity(self) -> tuple[str, str]:
        """What tells the place from any other, and what every path in it begins with."""

    def paths(self) -> list[str]:
        """The files, in a stable order."""

    def stamps(self) -> Stamps | None:
        """The files in the same order, with what tells a changed one; None if they are few."""


def headers_of(
    files: StampedFiles, options: tuple[Any, ...], read: Callable[[str], Headers | None]
) -> Iterator[tuple[str, Headers | None]]:
    """Each file with its headers; only what changed since the last time is read.

    Parameters
    ----------
    options : tuple
        What changes the answer beside the files.
    read : callable
        The headers of a file; None if it is broken, which is found anew each time.
    """
    stamps = files.stamps() if _switched_on() else None
    if stamps is None:
        for path in files.paths():
            yield path, read(path)
        return
    place, prefix = files.identity
    index = _FolderIndex(repr((place, auditkit.__version__, options)), prefix, stamps)
    known = index.known()
    for path in stamps:
        headers = known.get(path)
        if headers is None:
            headers = read(path)
            if headers is not None:
                index.learn(path, headers)
        yield path, headers
    index.save()


class _FolderIndex:
    """What was known of the files of one place when they were listed last.

    Whatever is wrong with the file that keeps it costs time and nothing else: everything is read then.

    Parameters
    ----------
    key : str
        The place, and all that changes what reading its files gives.
    prefix : str
        What every path begins with, as this listing spells it.
    stamps : mapping
        The files as they are now: looked at before any of them is read.
    """

    def __init__(self, key: str, prefix: str, stamps: Stamps):
        digest = hashlib.sha256(f"{VERSION}\n{key}".encode("utf-8", "surrogateescape"))
        self._name = digest.hexdigest()[:40] + _SUFFIX
        self._prefix = prefix
        self._looked_at = time.time_ns()
        self._stamps = stamps
        self._parts: dict[int, _Part] = {}
        self._spent: set[int] = set()
        self._learned: dict[str, tuple[Stamp, Headers]] = {}

    def known(self) -> dict[str, Headers]:
        """The headers of the files that are as they were, by path."""
        self._parts = self._read()
        known: dict[str, Headers] = {}
        for number, part in self._parts.items():
            for name, stamp, headers in zip(part.names, part.stamps, part.headers, strict=True):
                path = self._prefix + name
                if self._stamps.get(path) == stamp:
                    known[path] = headers
                else:
                    self._spent.add(number)
        return known

    def learn(self, path: str, headers: Headers) -> None:
        """Keep what was read, if a later change of the file is sure to show in its stamp."""
        stamp = self._stamps[path]
        if stamp is not None and self._looked_at - max(stamp[1], stamp[2]) > _SETTLED_NS:
            self._learned[path.removeprefix(self._prefix)] = (stamp, headers)

    def save(self) -> None:
        """Write what is new, in place of what was known before."""
        if not self._learned and not self._spent:
            return
        self._spent |= {n for n, part in self._parts.items() if len(part.names) < _PART_FILES // 2}
        rows = dict(self._learned)
        for number in self._spent:
            part = self._parts[number]
            for name, stamp, headers in zip(part.names, part.stamps, part.headers, strict=True):
                if self._stamps.get(self._prefix + name) == stamp:
                    rows.setdefault(name, (stamp, headers))
        with _nothing_fails(self._name):
            self._write([_packed(part) for part in _in_parts(rows)])

    def _read(self) -> dict[int, _Part]:
        with _nothing_fails(self._name):
            path = _folder() / self._name
            if path.stat().st_uid != _user():
                return {}
            with closing(_connected(path, "ro")) as connection:
                rows = connection.execute("SELECT number, crc, data FROM parts").fetchall()
            return {number: _unpacked(data) for number, crc, data in rows if zlib.crc32(data) == crc}
        return {}

    def _write(self, parts: list[tuple[int, bytes]]) -> None:
        path = _made(_folder() / self._name)
        with closing(_connected(path, "rw")) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")  # what a crash breaks is read anew
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY, crc, data)")
            kept = sorted(self._parts.keys() - self._spent)
            connection.execute(f"DELETE FROM parts WHERE number NOT IN ({','.join(map(str, kept))})")
            connection.executemany("INSERT INTO parts (crc, data) VALUES (?, ?)", parts)
            connection.execute("COMMIT")


def _switched_on() -> bool:
    """Whether an index may be kept: not with `AUDITKIT_INDEX=off`."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "").lower() not in ("off", "0", "no", "false")


def stamp_of(found: os.stat_result, guarded: bool) -> Stamp:
    """What tells a changed file, of what the system says of it, and how it was written."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, guarded


def _in_parts(rows: Mapping[str, tuple[Stamp, Headers]]) -> Iterator[_Part]:
    names = list(rows)
    for start in range(0, len(names), _PART_FILES):
        some = names[start : start + _PART_FILES]
        yield _Part(some, [rows[name][0] for name in some], [rows[name][1] for name in some])


def _packed(part: _Part) -> tuple[int, bytes]:
    data = msgspec.msgpack.encode(part)
    return zlib.crc32(data), data


def _unpacked(data: bytes) -> _Part:
    part = msgspec.msgpack.decode(data, type=_Part)
    if not len(part.names) == len(part.stamps) == len(part.headers):
        raise ValueError("a part of an index lacks some of its files")
    return part


def _folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("auditkit", appauthor=False)) / "listings"


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    import sqlite3

    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)


def _made(path: Path) -> Path:
    """The file of an index, which nobody else may read: headers of runs may be confidential."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_symlink() or path.stat().st_uid != _user():
            raise
    else:
        _sweep(path.parent)
    return path


def _sweep(folder: Path) -> None:
    """Remove what no listing has written to for months: of folders that are gone, of older versions."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
                path.unlink()


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


@contextmanager
def _nothing_fails(name: str) -> Iterator[None]:
    """Let nothing of an index stop a listing; a file that is no index is removed, to be made anew."""
    try:
        yield
    except Exception as error:
        log.debug("no use of the index of a folder: %s", error)
        if not _is_of_the_system(error):
            with suppress(Exception):
                (_folder() / name).unlink()


def _is_of_the_system(error: Exception) -> bool:
    """Whether the file itself may be sound: it is locked, the disk is full, there is no home."""
    if isinstance(error, OSError | ImportError | RuntimeError):
        return True
    import sqlite3

    return isinstance(error, sqlite3.OperationalError)
