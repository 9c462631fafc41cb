"""What stands in a store: looked at, listed, read, removed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from auditkit.store.names import StorePath
from auditkit.store.refusals import store_errors

_FIRST_WINDOW = 1 << 20
_LARGEST_WINDOW = 8 << 20
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class Found(NamedTuple):
    """Something that stands in a store; of a folder, bytes and time are 0."""

    name: str
    bytes: int
    modified_ns: int
    is_folder: bool


def filesystem(path: StorePath) -> tuple[Any, str]:
    """The connection to a store, one a process, and what it calls a path; nothing of it is remembered."""
    from fsspec.core import url_to_fs

    system, key = url_to_fs(path.url)
    system.invalidate_cache()
    return system, key


def found_at(path: StorePath) -> Found | None:
    """What stands there, or None.

    Raises
    ------
    OSError
        If that cannot be told.
    """
    with store_errors(path):
        system, key = filesystem(path)
        try:
            return _found(system, system.info(key))
        except FileNotFoundError:
            return None


def require_found(path: StorePath) -> Found:
    """What stands there.

    Raises
    ------
    FileNotFoundError
        If nothing does.
    """
    found = found_at(path)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return found


def files_in(folder: StorePath) -> list[Found]:
    """The files of a folder, by name, without those of its subfolders; none if there is no such folder.

    Raises
    ------
    FileNotFoundError
        If there is no such bucket.
    """
    with store_errors(folder):
        system, key = filesystem(folder)
        try:
            listed = system.ls(key, detail=True)
        except FileNotFoundError:
            if folder.in_bucket:
                system.ls(key.partition("/")[0], detail=False)  # a bucket that is missing is an error
            return []
        files = [
            _found(system, one) for one in listed if one["type"] == "file" and _is_inside(one["name"], key)
        ]
    return sorted(one for one in files if one.name)


def _is_inside(name: str, folder: str) -> bool:
    """Whether it is not the folder itself, as an object that a console makes for one."""
    return name != folder and not name.endswith("/")


def matches(pattern: StorePath) -> list[str]:
    """The URLs of the files that a glob matches; as on disk, `*` takes no hidden name."""
    with store_errors(pattern):
        system, key = filesystem(pattern)
        found = system.glob(key, detail=True)
        names = [name for name, one in found.items() if one["type"] == "file"]
        depth = len(_fixed(key))
        shown = [name for name in names if not _is_hidden(name.strip("/").split("/")[depth:], key)]
        return sorted(_url_of(pattern, key, name) for name in shown)


def open_stream(path: StorePath) -> BinaryIO:
    """The bytes of a file as a stream that can seek."""
    with store_errors(path):
        system, key = filesystem(path)
        file = system.open(key, "rb", cache_type="none", block_size=_LARGEST_WINDOW)
        return _Stream(path, system, key, file)


def bytes_of(path: StorePath, most: int) -> bytes:
    """The first bytes of a file."""
    with open_stream(path) as stream:
        return stream.read(most)


def sha256_at(path: StorePath) -> str:
    """The SHA-256 of a file, read anew."""
    digest = hashlib.sha256()
    with open_stream(path) as stream:
        while data := stream.read(_LARGEST_WINDOW):
            digest.update(data)
    return digest.hexdigest()


def remove(path: StorePath) -> None:
    """Remove a file."""
    with store_errors(path):
        system, key = filesystem(path)
        system.rm_file(key)


class _Stream(io.RawIOBase, BinaryIO):
    """A file that is fetched in windows: small ones where it is read here and there, large ones in a row."""

    def __init__(self, path: StorePath, system: Any, key: str, file: Any):
        self._path = path
        self._system = system
        self._key = key
        self._file = file
        self._size = int(file.size)
        self._at = 0
        self._window = b""
        self._start = 0
        self._next = _FIRST_WINDOW

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def size(self) -> int:
        """How many bytes there are; pyarrow asks for it."""
        return self._size

    def readinto(self, room: Any) -> int:
        with memoryview(room).cast("B") as view:
            filled = 0
            while filled < len(view) and self._at < self._size:
                part = self._part(len(view) - filled)
                view[filled : filled + len(part)] = part
                filled += len(part)
                self._at += len(part)
            return filled

    def _part(self, wanted: int) -> memoryview:
        """Some bytes from here on, at most so many."""
        offset = self._at - self._start
        if not 0 <= offset < len(self._window):
            in_a_row = self._at == self._start + len(self._window)
            self._fetch(wanted, in_a_row)
            offset = 0
        return memoryview(self._window)[offset : offset + wanted]

    def _fetch(self, wanted: int, in_a_row: bool) -> None:
        if self._at == 0 or not in_a_row:
            length, self._next = wanted, _FIRST_WINDOW
        else:
            length, self._next = max(wanted, self._next), min(2 * self._next, _LARGEST_WINDOW)
        end = min(self._at + min(length, max(wanted, _LARGEST_WINDOW)), self._size)
        with store_errors(self._path):
            data = self._range(self._at, end)
            if len(data) != end - self._at:
                raise OSError(f"{len(data)} bytes instead of {end - self._at}")
        self._window, self._start = data, self._at

    def _range(self, start: int, end: int) -> bytes:
        from fsspec.spec import AbstractBufferedFile

        if isinstance(self._file, AbstractBufferedFile):  # it notices when the object is replaced meanwhile
            self._file.seek(start)
            return bytes(self._file.read(end - start))
        return bytes(self._system.cat_file(self._key, start=start, end=end))

    def close(self) -> None:
        if not self.closed:
            with suppress(Exception):
                self._file.close()
            self._window = b""
        super().close()


def _found(system: Any, info: dict[str, Any]) -> Found:
    name = str(info["name"]).rstrip("/").rpartition("/")[2]
    if info["type"] != "file":
        return Found(name, 0, 0, True)
    return Found(name, int(info["size"]), int(_modified(system, info) * 1e9), False)


def _modified(system: Any, info: dict[str, Any]) -> float:
    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return float(system.modified(info["name"]).timestamp())


def _fixed(pattern: str) -> list[str]:
    """The folders in front of the first one that is a pattern."""
    parts = pattern.strip("/").split("/")
    return parts[: next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts))]


def _is_hidden(parts: list[str], pattern: str) -> bool:
    asked = any(part.startswith(".") for part in pattern.strip("/").split("/"))
    return not asked and any(part.startswith(".") for part in parts)


def _url_of(pattern: StorePath, key: str, name: str) -> str:
    """The URL of what a store calls `name`: in front the URL of the pattern, which may name more."""
    scheme, _, rest = pattern.url.partition("://")
    below = name.strip("/").split("/")[len(_fixed(key)) :]
    return f"{scheme}://" + "/".join([*_fixed(rest), *below])
