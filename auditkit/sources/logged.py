"""What the export log beside a file, or the bag around it, says of how it was written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from auditkit.exportlog.chain import read_chain
from auditkit.exportlog.logfile import LOG_NAME, opened_to_read
from auditkit.exportlog.standing import standing

PACKAGE = "datapackage.json"
"""The description of a bag, which stands beside its `data/`."""
GUARD = "auditkit:formulaGuard"
_LARGEST_PACKAGE = 64 << 20


def guarded(path: str) -> bool:
    """Whether a file was written with the formula guard: yes, unless log or bag say otherwise."""
    folder, name = os.path.split(os.path.abspath(path))
    if ".csv" not in name.lower():
        return True
    for told, ask in (
        (os.path.join(folder, LOG_NAME), _unguarded_by_log),
        (os.path.join(os.path.dirname(folder), PACKAGE), _unguarded_by_bag),
    ):
        with suppress(OSError):
            seen, size = os.stat(told), os.path.getsize(path)
            if ask(told, seen.st_ino, seen.st_size, seen.st_mtime_ns).get(name) == size:
                return False
    return True


def is_guarded_by(log: Path, path: str, size: Callable[[], int]) -> bool:
    """Whether a file of a store was written with the guard: yes, unless that log says otherwise.

    Raises
    ------
    OSError
        If the log or the file cannot be looked at.
    """
    seen = os.stat(log)
    told = _unguarded_by_log(os.fspath(log), seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return path not in told or told[path] != size()


@lru_cache(maxsize=16)
def _unguarded_by_log(log: str, *_: int) -> dict[str, int]:
    """The files that were written without the guard, with their sizes."""
    with opened_to_read(Path(log)) as lines:
        present = standing(read_chain(lines).entries).present
    return {
        path: record.get("bytes", -1)
        for path, record in present.items()
        if isinstance(record.get("options"), dict) and record["options"].get("formula_guard") is False
    }


@lru_cache(maxsize=16)
def _unguarded_by_bag(package: str, *_: int) -> dict[str, int]:
    """The same as a bag describes them: what stands in `data/`."""
    with opened_to_read(Path(package)) as file:
        text = file.read(_LARGEST_PACKAGE)
    try:
        resources = json.loads(text)["resources"]
        return {
            resource["path"].removeprefix("data/"): resource["bytes"]
            for resource in resources
            if resource.get(GUARD) is False
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # it is no bag of ours
        return {}
