"""Names that are not to stay, and the sweep of what killed exports left under them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from auditkit.locking import try_lock

_PREFIX, _SUFFIX = ".auditkit-", ".tmp"
_STALE_SECONDS = 3600
_MOMENT_SECONDS = 0.05
_LOOKING = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))


def temporary_name() -> str:
    """A name that nobody has, and that says that it is not to stay."""
    return f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def claim_name(name: str) -> str:
    """The one name by which others see that a name is being taken."""
    return f"{_PREFIX}{name}{_SUFFIX}"


def is_temporary(name: str) -> bool:
    """Whether a name is one of those."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def sweep(folder: Path, kind: Callable[[int], bool], remove: Callable[[Path], object]) -> None:
    """Remove what is temporary, of that kind (`stat.S_ISREG`, …), ours, unlocked and older than an hour."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if is_temporary(name):
                with suppress(OSError):
                    _sweep_one(folder / name, kind, remove)


def _sweep_one(path: Path, kind: Callable[[int], bool], remove: Callable[[Path], object]) -> None:
    found = os.lstat(path)
    ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if not kind(found.st_mode) or not ours or time.time() - found.st_mtime < _STALE_SECONDS:
        return
    descriptor = os.open(path, os.O_RDONLY | _LOOKING)
    try:
        if try_lock(descriptor):
            remove(path)
    finally:
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Whether nobody is writing a temporary file; one that was made this moment may not be locked yet."""
    if not _unlocked(path):
        return False
    time.sleep(_MOMENT_SECONDS)
    return _unlocked(path)


def _unlocked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | _LOOKING)
    except OSError:
        return os.path.lexists(path)
    try:
        return try_lock(descriptor, shared=True) and os.path.lexists(path)
    finally:
        os.close(descriptor)
