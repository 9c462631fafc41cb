"""Advisory locks on open files; nothing is locked where the platform has none (Windows)."""

from __future__ import annotations


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file if nobody holds it; say whether it is ours now."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
