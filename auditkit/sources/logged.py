"""What the export log beside a file says of how it was written."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from auditkit.exportlog.chain import read_chain
from auditkit.exportlog.logfile import LOG_NAME, regular_file
from auditkit.exportlog.standing import standing


def guarded(path: str) -> bool:
    """Whether a file was written with the formula guard: yes, unless the log beside it says otherwise."""
    folder, name = os.path.split(path)
    if ".csv" not in name.lower():
        return True
    log = os.path.join(folder, LOG_NAME)
    try:
        seen, size = os.stat(log), os.path.getsize(path)
        unguarded = _unguarded(log, seen.st_ino, seen.st_size, seen.st_mtime_ns)
    except OSError:
        return True
    return unguarded.get(name) != size


@lru_cache(maxsize=16)
def _unguarded(log: str, *_: int) -> dict[str, int]:
    """The files that were written without the guard, with their sizes."""
    with open(regular_file(Path(log)), "rb") as lines:
        present = standing(read_chain(lines).entries).present
    return {
        path: record.get("bytes", -1)
        for path, record in present.items()
        if isinstance(record.get("options"), dict) and record["options"].get("formula_guard") is False
    }
