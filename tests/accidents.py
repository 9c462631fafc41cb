"""What happens to files: bits that flip, pieces lost, doubled and exchanged, values that are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

INSERTED = (
    b"NaN", b"-Infinity", b"null", b"true", b"false", b"{", b"}", b"[", b"]", b"{}", b"[]", b",", b":", b'"',
    b'""', b"\\", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"\n", b"\r", b"\r\n", b"\t", b" ", b"\0",
    b"\x1f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"0", b"-0", b"007", b"1.0",
    b"1.", b".5", b"+1", b"1e5", b"1E400", b"-1e-400", b"1e309", b"0x1F", b"1_000", b"12345678901234567890",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"9" * 400, b"9" * 5_000,
    b"[" * 150 + b"]" * 150, b"[" * 250 + b"]" * 250, b"[" * 5_000, b'{"a":' * 250 + b"1" + b"}" * 250,
    b'"results": [], ', b'"id": "other", ', b'"extra": {"a": [1, 2.50]}, ', b'"auditRunId": "x", ',
    b'"userScore": 1, ', b"critical", b"escalate", b"2024-02-30T10:00:00Z", b"2024-02-29T24:00:00Z",
    b"2024-02-29T23:59:60Z", b"0000-01-01T00:00:00Z", b"2024-01-15T10:00:00.123456789+05:30",
    b"'", b";", b"|",
)  # fmt: skip
_VALUE = re.compile(rb'(?<=: )(?:"[^"\n]*"|[^\s,]+)|(?<=[,\n])[^,\n"]+(?=[,\n])|(?<=":)(?:"[^"]*"|[^",}]+)')


def mutated(data: bytes, random: Random) -> bytes:
    """The bytes after one to three accidents."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        accident = random.choice(ACCIDENTS)
        data = accident(data, random) if data else data
    return data


def _piece(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, min(len(data), start + random.choice((1, 1, 2, 5, 20, 100, 400)))


def flip(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def delete(data: bytes, random: Random) -> bytes:
    start, end = _piece(data, random)
    return data[:start] + data[end:]


def duplicate(data: bytes, random: Random) -> bytes:
    start, end = _piece(data, random)
    return data[:end] + data[start:end] + data[end:]


def swap(data: bytes, random: Random) -> bytes:
    (a, b), (c, d) = sorted((_piece(data, random), _piece(data, random)))
    return data if b > c else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def truncate(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] if random.random() < 0.8 else data[at:]


def insert(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(INSERTED) + data[at:]


def replace(data: bytes, random: Random) -> bytes:
    """Put something else where a value stands."""
    return _replaced(data, random, lambda places: random.choice(INSERTED))


def confuse(data: bytes, random: Random) -> bytes:
    """Put one of the file's own values where another stands."""
    return _replaced(data, random, lambda places: data[slice(*random.choice(places))])


def _replaced(data: bytes, random: Random, new: Callable[[list[tuple[int, int]]], bytes]) -> bytes:
    places = [match.span() for match in _VALUE.finditer(data)]
    if not places:
        return insert(data, random)
    start, end = random.choice(places)
    return data[:start] + new(places) + data[end:]


def lose_a_line(data: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    return b"".join(lines)


def repeat_a_line(data: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


ACCIDENTS = (
    flip, delete, duplicate, swap, truncate, insert, lose_a_line, repeat_a_line,
    replace, replace, confuse, confuse, confuse,
)  # fmt: skip
