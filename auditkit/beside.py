"""The small file beside another one: its `.sha256`, its signature; no link misleads and no pipe blocks."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from auditkit.exportlog.logfile import regular_file

CHECKSUM_SUFFIX = ".sha256"
_LONGEST_CHECKSUM = 4096  # a hash, two characters, and a name, of which no disk takes more than 255 bytes
_CHECKSUM = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>[^\r\n]+)(?:\r?\n)?")
_NO_FILE = (errno.ELOOP, errno.EINVAL, errno.ENXIO)  # a link; a pipe, device or folder; a socket


def small_file(path: Path, most: int) -> bytes:
    """The bytes of a file, of a larger one the first `most` and one more.

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it cannot be read; with `EINVAL` if it is no regular file.
    """
    try:
        descriptor = regular_file(path)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise OSError(errno.EINVAL, "This is no regular file", str(path)) from None
        raise
    with open(descriptor, "rb") as file:
        return file.read(most + 1)


def checksum_path(path: Path) -> Path:
    """Where the checksum of a file stands."""
    return path.with_name(path.name + CHECKSUM_SUFFIX)


def checksum_line(sha256: str, name: str) -> bytes:
    """The checksum of a file as `sha256sum` writes it."""
    return f"{sha256}  {name}\n".encode("ascii")


def checksum_of(path: Path) -> str | None:
    """The SHA-256 that the checksum beside a file names; None if there is none, or not of this file."""
    try:
        data = small_file(checksum_path(path), _LONGEST_CHECKSUM)
    except OSError:
        return None
    match = _CHECKSUM.fullmatch(os.fsdecode(data))
    return match["sha256"] if match and match["name"] == path.name else None
