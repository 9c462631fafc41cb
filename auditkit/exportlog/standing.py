"""What a log says of its folder: which files stand there, which are gone, which are held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditkit.exportlog.chain import Entry


@dataclass(kw_only=True)
class Standing:
    """The files of a log, by path, after its last line."""

    present: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The last entry that made each file."""
    removed: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The entry that made each file which a later one says was removed; empty if none did."""
    held: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    """The SHA-256 of what the encrypted files hold."""


def standing(entries: Iterable[Entry]) -> Standing:
    """What the entries of a log come to."""
    result = Standing()
    for entry in entries:
        event, path = entry.record["event"], entry.record.get("path")
        if path is None:
            continue
        if event in ("commit", "recovered"):
            result.present[path] = entry.record
            result.removed.pop(path, None)
            result.plain.add(entry.record.get("plain_sha256", ""))
        elif event == "removed":
            result.removed[path] = result.present.pop(path, {})
        elif event == "held":
            result.held[path] = entry.record
        elif event == "released":
            result.held.pop(path, None)
    return result
