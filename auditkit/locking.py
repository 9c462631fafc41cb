"""Advisory locks on open files; nothing is locked where the platform has none (Windows)."""

from __future__ import annotations

import time

_PAUSE_SECONDS = 0.05


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file if nobody is in the way; say whether it is ours now."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int) -> None:
    """Take the exclusive lock of an open file, however long that takes."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock_for(descriptor: int, seconds: float) -> bool:
    """Try for some time to take the shared lock of an open file; say whether it is ours now."""
    end = time.monotonic() + seconds
    while not try_lock(descriptor, shared=True):
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
