"""One file against what was written down of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from auditkit.errors import Problem
from auditkit.exportlog.remains import NOT_THERE, file_sha256
from auditkit.store import Location, StorePath, require_found, sha256_at


def compared(path: str, place: Location, record: Mapping[str, Any]) -> Problem | None:
    """A file against the entry that made it: its SHA-256, and its size where the entry tells it."""
    try:
        size = size_of(place)
    except OSError as error:
        if error.errno in NOT_THERE:
            return Problem("missing", path, f"was exported on {record.get('time', 'some day')}")
        return Problem("changed", path, f"cannot be looked at: {error.strerror}")
    if size is None:
        detail = "is no regular file any more"
    elif size != record.get("bytes", size):
        detail = f"has {size:,} bytes instead of {record['bytes']:,}"
    elif (own := sha256_of(place)) is None:
        detail = "cannot be read"
    elif own != record["sha256"]:
        detail = f"has the SHA-256 {own[:16]}…, not {record['sha256'][:16]}…"
    else:
        return None
    return Problem("changed", path, detail)


def size_of(place: Location) -> int | None:
    """The size of a regular file, None of anything else; what is not there is an error."""
    if isinstance(place, StorePath):
        stored = require_found(place)
        return None if stored.is_folder else stored.bytes
    found = os.lstat(place)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def sha256_of(path: Location) -> str | None:
    """The SHA-256 of a regular file, or None where it is none or cannot be read."""
    try:
        if isinstance(path, StorePath):
            return sha256_at(path)
        return file_sha256(path) if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError:
        return None
