"""What a dead export left: its whole file under the name it was to have, or under a later version of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditkit.naming import version_of
from auditkit.store import Location, StorePath, files_in, found_at, sha256_at

BAG_MANIFEST = "manifest-sha256.txt"
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def whole_file(planned: Location, record: Mapping[str, Any]) -> Location | None:
    """The file that a `begin` announced, if it can be seen to stand there whole."""
    try:
        return find_whole_file(planned, record)
    except OSError:
        return None


def find_whole_file(planned: Location, record: Mapping[str, Any]) -> Location | None:
    """The file that a `begin` announced, if it stands there whole.

    Raises
    ------
    OSError
        If that cannot be told now.
    """
    try:
        names = _names_in(planned.parent)
    except ValueError:  # a zero byte can be in no path
        return None
    except OSError as error:
        if error.errno in NOT_THERE and not isinstance(planned, StorePath):
            return None
        raise
    for name in sorted(names, key=lambda name: (len(name), name)):  # the planned one first, then -2, -3 …
        if name == planned.name or version_of(name) == planned.name:
            path = planned.with_name(name)
            if _has_hash(path, record["bytes"], record["sha256"], bag=record.get("format") == "bag"):
                return path
    return None


def _names_in(folder: Location) -> list[str]:
    if isinstance(folder, StorePath):
        return [found.name for found in files_in(folder)]
    return os.listdir(folder)


def _has_hash(path: Location, size: int, sha256: str, *, bag: bool) -> bool:
    """Whether a regular file (of a bag: its manifest) has that size and SHA-256."""
    if isinstance(path, StorePath):
        found = found_at(path)
        return found is not None and found.bytes == size and sha256_at(path) == sha256
    file = path / BAG_MANIFEST if bag else path
    try:
        if bag and not stat.S_ISDIR(os.lstat(path).st_mode):
            return False  # no link is followed
        status = os.lstat(file)
        return stat.S_ISREG(status.st_mode) and status.st_size == size and file_sha256(file) == sha256
    except OSError as error:
        if error.errno in NOT_THERE:
            return False
        raise


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
