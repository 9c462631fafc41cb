"""One file against what was written down of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditkit.errors import Problem
from auditkit.exportlog.remains import file_sha256


def compared(path: str, place: Path, record: Mapping[str, Any]) -> Problem | None:
    """A file against the entry that made it, or against any size (None: whichever) and SHA-256."""
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return Problem("missing", path, f"was exported on {record.get('time', 'some day')}")
    if not stat.S_ISREG(found.st_mode):
        return Problem("changed", path, "is no regular file any more")
    if found.st_size != record.get("bytes", found.st_size):
        return Problem("changed", path, f"has {found.st_size:,} bytes instead of {record['bytes']:,}")
    own = sha256_of(place)
    if own is None:
        return Problem("changed", path, "cannot be read")
    if own != record.get("sha256"):
        return Problem("changed", path, f"has the SHA-256 {own[:16]}…, not {str(record.get('sha256'))[:16]}…")
    return None


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a regular file, or None where it is none or cannot be read."""
    try:
        return file_sha256(path) if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError:
        return None
