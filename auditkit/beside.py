"""The small file beside another one: its `.sha256`, its signature; no link misleads and no pipe blocks."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TypeVar

from auditkit.exportlog.logfile import regular_file
from auditkit.store import Location, StorePath, bytes_of, found_at

CHECKSUM_SUFFIX = ".sha256"
_LONGEST_CHECKSUM = 4096  # a hash, two characters, and a name, of which no disk takes more than 255 bytes
_CHECKSUM = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>[^\r\n]+)(?:\r?\n)?")
PathOf = TypeVar("PathOf", Path, StorePath, Location)
_NO_FILE = (errno.ELOOP, errno.EINVAL, errno.ENXIO)  # a link; a pipe, device or folder; a socket


def stands(path: Location) -> bool:
    """Whether anything stands there, a link that leads nowhere included."""
    return found_at(path) is not None if isinstance(path, StorePath) else os.path.lexists(path)


def small_file(path: Location, most: int) -> bytes:
    """The bytes of a file, of a larger one the first `most` and one more.

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it cannot be read; with `EINVAL` if it is no regular file.
    """
    if isinstance(path, StorePath):
        return bytes_of(path, most + 1)
    try:
        descriptor = regular_file(path)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise OSError(errno.EINVAL, "This is no regular file", str(path)) from None
        raise
    with open(descriptor, "rb") as file:
        return file.read(most + 1)


def checksum_path(path: PathOf) -> PathOf:
    """Where the checksum of a file stands."""
    return path.with_name(path.name + CHECKSUM_SUFFIX)


def checksum_line(sha256: str, name: str) -> bytes:
    """The checksum of a file as `sha256sum` writes it."""
    return f"{sha256}  {name}\n".encode("ascii")


def checksum_of(path: Location) -> str | None:
    """The SHA-256 that the checksum beside a file names; None if there is none, or not of this file."""
    try:
        data = small_file(checksum_path(path), _LONGEST_CHECKSUM)
    except OSError:
        return None
    match = _CHECKSUM.fullmatch(os.fsdecode(data))
    return match["sha256"] if match and match["name"] == path.name else None
