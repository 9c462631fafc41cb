"""What must hold of a folder of exports whatever happened to it, told from its bytes alone.

Nothing of the package is used here: the log is read with `json` and hashed with `hashlib`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOG = "export-log.jsonl"
TORN = LOG + ".torn"
START = "0" * 64

Allowed = Mapping[str, Collection[bytes]]
"""For each file that may be seen, the contents that it may have; of a `.gz` what it holds."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- the log --------------------------------------------------------------------------------------------


def line(record: Mapping[str, Any], seq: int, prev: str) -> bytes:
    """A record as the line of a log."""
    bound = {**record, "seq": seq, "prev": prev}
    return _canonical({**bound, "digest": sha256(_canonical(bound))}) + b"\n"


def _canonical(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


@dataclass
class Log:
    """The lines of an export log, what follows the last line end, and where the chain is broken."""

    prefix: str = ""
    """What the log puts in front of the names of the files: it may stand in another folder."""
    records: list[dict[str, Any]] = field(default_factory=list)
    torn: bytes = b""
    breaks: list[str] = field(default_factory=list)
    size: int = 0
    head: str = START

    def read_on(self, path: Path) -> Log:
        """Itself, with what was appended since."""
        if not path.exists():
            return self
        with path.open("rb") as file:
            file.seek(self.size)
            *lines, self.torn = file.read().split(b"\n")
        for one in lines:
            self._take(one + b"\n")
        return self

    def _take(self, one: bytes) -> None:
        number = len(self.records) + 1
        try:
            record = json.loads(one)
        except ValueError:
            record = {}
        bare = {name: value for name, value in record.items() if name != "digest"}
        if record.get("prev") != self.head or record.get("seq") != number:
            self.breaks.append(f"line {number} does not follow on line {number - 1}")
        if record.get("digest") != sha256(_canonical(bare)) or one != _canonical(record) + b"\n":
            self.breaks.append(f"line {number} is not what its digest says")
        self.records.append(record)
        self.size += len(one)
        self.head = sha256(one)

    def of(self, *events: str) -> set[tuple[str, str]]:
        """The path and the SHA-256 in every entry of these kinds."""
        return {
            (self.name_in(record), record["sha256"])
            for record in self.records
            if record.get("event") in events and record.keys() >= {"path", "sha256"}
        }

    def name_in(self, record: Mapping[str, Any]) -> str:
        return str(record.get("path", "")).removeprefix(self.prefix)

    def left_open(self) -> list[int]:
        """The numbers of the lines that began an export of which nothing more is said."""
        settled = {record.get("begin") for record in self.records}
        begun = [record["seq"] for record in self.records if record.get("event") == "begin"]
        return [seq for seq in begun if seq not in settled]


def read_log(path: Path, prefix: str = "") -> Log:
    return Log(prefix=prefix).read_on(path)


# --- the files ------------------------------------------------------------------------------------------


def visible(folder: Path) -> dict[str, bytes]:
    """The files that a user sees, apart from the log."""
    names = sorted(os.listdir(folder)) if folder.exists() else []
    seen = [name for name in names if not name.startswith(".") and name not in (LOG, TORN)]
    return {name: (folder / name).read_bytes() for name in seen}


def temporary(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")] if folder.exists() else []


# --- the verdict ----------------------------------------------------------------------------------------


def torn_files(files: Mapping[str, bytes], allowed: Allowed) -> list[str]:
    """The files that are not exactly what somebody exported."""
    return [
        f"torn: {name}" for name, data in files.items() if _content(name, data) not in allowed.get(name, ())
    ]


def _content(name: str, data: bytes) -> bytes | None:
    if not name.endswith(".gz"):
        return data
    with suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(data)
    return None


def unlogged(files: Mapping[str, bytes], log: Log) -> list[str]:
    """The files that the log did not announce, by their bytes and by their name or that without version."""
    begun: dict[str, set[str]] = {}
    for path, digest in log.of("begin"):
        begun.setdefault(digest, set()).add(path)
    return [
        f"unlogged: {name}"
        for name, data in files.items()
        if not any(_is_version(name, path) for path in begun.get(sha256(data), ()))
    ]


def _is_version(name: str, planned: str) -> bool:
    """`a-2024-01-15-2.csv` is a version of `a-2024-01-15.csv`."""
    stem, dot, suffix = planned.partition(".")
    number = name.removeprefix(stem + "-").removesuffix(dot + suffix)
    return name == planned or (name == f"{stem}-{number}{dot}{suffix}" and number.isdecimal())


def lost(files: Mapping[str, bytes], log: Log, acknowledged: Iterable[tuple[str, str]]) -> list[str]:
    """What a receipt was given for and is not in the log as there, or neither there nor replaced since."""
    return [
        f"lost: {name}"
        for name, digest in acknowledged
        if name not in files or sha256(files[name]) not in _may_hold(log, name, digest)
    ]


def _may_hold(log: Log, name: str, digest: str) -> set[str]:
    """These bytes, and what was begun under the name since their commit; nothing, if there is none."""
    since = {digest}
    for record in reversed(log.records):
        if log.name_in(record) != name:
            continue
        if (record.get("event"), record.get("sha256")) == ("commit", digest):
            return since
        if record.get("event") == "begin":
            since.add(record["sha256"])
    return set()


def unsettled(files: Mapping[str, bytes], log: Log) -> list[str]:
    """What the log leaves open, or says too little of, once a later export has been written."""
    settled = log.of("commit", "recovered")
    open_ends = [f"unsettled: line {seq}" for seq in log.left_open()]
    unclear = [f"unsettled: {name}" for name, data in files.items() if (name, sha256(data)) not in settled]
    return open_ends + unclear + [f"torn log: {len(log.torn)} bytes"] * bool(log.torn)
