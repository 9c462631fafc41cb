"""The lines of the export log: canonical JSON, each bound to the one before it by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

START = "0" * 64
"""The `prev` of the first line."""

_BEGIN, _SETTLED = "begin", ("commit", "failed", "recovered")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("seq", "open", "begin", "bytes"), (int,)),
    **dict.fromkeys(("event", "prev", "digest", "path", "sha256", "plain_sha256"), (str,)),
    **dict.fromkeys(("time", "actor", "version", "format", "source", "rows", "error"), (str,)),
    "seconds": (float, int),
    "reused": (bool,),
    "run_ids": (list,),
}
_WHOLE_NUMBERS = range(1 << 63)
_ALWAYS = frozenset({"event", "seq", "prev", "digest"})
_NEEDED = {event: _ALWAYS | {"path", "sha256", "bytes"} for event in ("begin", "commit")}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the log: its number from 1, its hash, and what it says."""

    line: int
    hash: str
    record: Mapping[str, Any]


@dataclass(kw_only=True)
class Chain:
    """The lines of a log as they were read, and what is wrong with them."""

    entries: list[Entry] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    hashes: dict[str, int] = field(default_factory=dict)
    """The hash of every line, damaged ones too, with its number."""

    @property
    def head(self) -> str:
        """The hash of the last line: what the next one will name as `prev`."""
        return next(reversed(self.hashes), START)

    def unsettled(self) -> list[Entry]:
        """The lines that began an export of which no later line says what became of it."""
        settled = {
            entry.record["begin"]
            for entry in self.entries
            if entry.record["event"] in _SETTLED and "begin" in entry.record
        }
        return [e for e in self.entries if e.record["event"] == _BEGIN and e.record["seq"] not in settled]


def sealed(record: Mapping[str, Any], seq: int, prev: str) -> bytes:
    """A record as the line that follows on the one with the hash `prev`.

    `digest` is the SHA-256 of the line without it: no line after the last one vouches for that.
    """
    bound = {**record, "seq": seq, "prev": prev}
    return _canonical({**bound, "digest": _digest(bound)}) + b"\n"


def line_hash(line: bytes) -> str:
    """The SHA-256 of a line with its line end, as `sed -n 7p export-log.jsonl | sha256sum` tells it."""
    return hashlib.sha256(line).hexdigest()


def read_line(line: bytes) -> dict[str, Any]:
    """What an unharmed line says.

    Raises
    ------
    ValueError
        In words, if it is not as it was written.
    """
    try:
        record = _STRICT.decode(line.decode("ascii"))
        as_written = _canonical(record) + b"\n"
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(record, dict) or not all(_is_typed(name, value) for name, value in record.items()):
        raise ValueError("is no entry of a log")
    if not _NEEDED.get(record.get("event", ""), _ALWAYS) <= record.keys():
        raise ValueError("is no entry of a log")
    bound = {name: value for name, value in record.items() if name != "digest"}
    if record["digest"] != _digest(bound) or as_written != line:
        raise ValueError("is not as it was written: its digest does not match")
    return record


def _is_typed(name: str, value: object) -> bool:
    if name not in _TYPES:
        return True
    return type(value) in _TYPES[name] and (type(value) is not int or value in _WHOLE_NUMBERS)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


_STRICT = json.JSONDecoder(parse_constant=_no_number)


def read_chain(lines: Iterable[bytes]) -> Chain:
    """The entries of a log, and where the chain is broken."""
    chain = Chain()
    seq = 0
    for number, line in enumerate(lines, start=1):
        prev = chain.head
        if not line.endswith(b"\n"):
            chain.damage.append(f"line {number} ends in the middle")
            return chain
        own = line_hash(line)
        if own in chain.hashes:
            chain.damage.append(f"line {number} is line {chain.hashes[own]} once more")
        chain.hashes[own] = number
        try:
            record = read_line(line)
        except ValueError as error:
            chain.damage.append(f"line {number} {error}")
            seq += 1
            continue
        if record["prev"] != prev:
            chain.damage.append(f"line {number} does not follow on the line before it")
        elif record["seq"] != seq + 1:
            chain.damage.append(f"line {number} has the number {record['seq']} instead of {seq + 1}")
        seq = record["seq"]
        chain.entries.append(Entry(line=number, hash=own, record=record))
    return chain


def _digest(bound: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(bound)).hexdigest()


def _canonical(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
