"""One file against what was written down of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditkit.errors import Problem
from auditkit.exportlog.remains import NOT_THERE, file_sha256


def compared(path: str, place: Path, record: Mapping[str, Any]) -> Problem | None:
    """A file against the entry that made it: its SHA-256, and its size where the entry tells it."""
    try:
        found = os.lstat(place)
    except OSError as error:
        if error.errno in NOT_THERE:
            return Problem("missing", path, f"was exported on {record.get('time', 'some day')}")
        return Problem("changed", path, f"cannot be looked at: {error.strerror}")
    if not stat.S_ISREG(found.st_mode):
        detail = "is no regular file any more"
    elif found.st_size != record.get("bytes", found.st_size):
        detail = f"has {found.st_size:,} bytes instead of {record['bytes']:,}"
    elif (own := sha256_of(place)) is None:
        detail = "cannot be read"
    elif own != record["sha256"]:
        detail = f"has the SHA-256 {own[:16]}…, not {record['sha256'][:16]}…"
    else:
        return None
    return Problem("changed", path, detail)


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a regular file, or None where it is none or cannot be read."""
    try:
        return file_sha256(path) if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError:
        return None
