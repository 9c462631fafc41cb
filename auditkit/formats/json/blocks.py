"""Bytes -> pieces: a stream is cut into pieces that each hold whole results, without parsing twice.

The separator between two results is learnt from the first two of the file; a block is cut at its
last occurrence. A wrong cut, inside a text or inside a nested list, cannot decode as a list of
whole objects, so it never goes unnoticed: the block is then cut where a scan of its tokens says.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BLOCK_BYTES = 1 << 20
LARGEST_PIECE = 64 << 20

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{}"]', re.DOTALL)
_SEPARATOR = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")
_SPACE = re.compile(rb"[ \t\r\n]*")


class Malformed(ValueError):
    """These bytes are not whole JSON."""


class Decoder(Protocol[T_co]):
    """What makes something of a piece."""

    def decode(self, piece: memoryview) -> T_co:
        """Decode a piece; raise `Malformed` if it is not a whole JSON list."""

    def explain(self, piece: memoryview) -> T_co:
        """Decode, by the slow and patient way, a piece that is known to be cut rightly."""


class Window:
    """The part of a stream that is in memory: it grows at its end and is used up from its start.

    The byte in front of `start` may always be written: a piece borrows it for its `[`.
    """

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self.buffer = bytearray(1 + BLOCK_BYTES)
        self.start = self.end = 1
        self.exhausted = False

    def __len__(self) -> int:
        return self.end - self.start

    def more(self, size: int) -> bool:
        """Read up to `size` more bytes; False at the end of the stream."""
        self._make_room(size)
        with memoryview(self.buffer) as view, view[self.end : self.end + size] as room:
            count = self._raw.readinto(room)  # type: ignore[attr-defined]
        self.end += count or 0
        self.exhausted = not count
        return not self.exhausted

    def fill(self) -> None:
        """Read up to a block into the window, unless it is still half full or all is read."""
        if len(self) < BLOCK_BYTES // 2:
            while len(self) < BLOCK_BYTES and not self.exhausted:
                self.more(BLOCK_BYTES - len(self))

    def grow(self, limit: int = LARGEST_PIECE) -> None:
        """Double the window.

        Raises
        ------
        Malformed
            If there is nothing more to read, or the window already holds `limit` bytes.
        """
        if len(self) >= limit:
            raise Malformed(f"more than {limit >> 20} MiB without the end of an object")
        if not self.more(max(BLOCK_BYTES, len(self))):
            raise Malformed("the text ends in the middle")

    def first(self) -> bytes:
        """The first byte that is not white space, or nothing at the end; the space is dropped."""
        while True:
            match = _SPACE.match(self.buffer, self.start, self.end)
            self.start = match.end() if match else self.start
            if len(self) or self.exhausted:
                return bytes(self.buffer[self.start : self.start + min(1, len(self))])
            self.fill()

    def skip(self, byte: bytes) -> bool:
        """Drop that byte, and white space before it, if it comes next."""
        if self.first() != byte:
            return False
        self.start += 1
        return True

    def _make_room(self, size: int) -> None:
        if self.start > 1:
            rest = len(self)
            self.buffer[1 : 1 + rest] = self.buffer[self.start : self.end]
            self.start, self.end = 1, 1 + rest
        if len(self.buffer) < self.end + size:
            self.buffer.extend(bytes(self.end + size - len(self.buffer)))


def elements(window: Window, decoder: Decoder[T]) -> Iterator[T]:
    """What the decoder makes of each piece of a list, piece by piece.

    The window begins behind the `[` of the list, and behind its `]` afterwards.
    """
    separator: bytes | None = None
    if window.skip(b"]"):
        return
    while True:
        window.fill()
        if separator is None:
            separator = _learn(window)
        end = _guess(window, separator)
        if end is not None:
            try:
                made = _piece(window, end, decoder.decode)
            except Malformed:
                end = None
        if end is None:
            end = _scan(window)
            try:
                made = _piece(window, end, decoder.decode)
            except Malformed:
                made = _piece(window, end, decoder.explain)
        closed = window.buffer[end - 1] == ord("]")
        window.start = end
        yield made
        if closed or window.skip(b"]"):
            return
        if not window.skip(b","):
            raise Malformed("two results without a comma between them")
        if window.first() == b"]":
            raise Malformed("a comma without a result behind it")


def lines(window: Window, decoder: Decoder[T]) -> Iterator[T]:
    """What the decoder makes of JSON Lines, a block of whole lines at a time."""
    while True:
        window.fill()
        end = window.buffer.rfind(b"\n", window.start, window.end) + 1
        while not end and not window.exhausted:
            if len(window) >= LARGEST_PIECE:
                raise Malformed(f"a line of more than {LARGEST_PIECE >> 20} MiB")
            window.more(max(BLOCK_BYTES, len(window)))
            end = window.buffer.rfind(b"\n", window.start, window.end) + 1
        end = end or window.end
        if not len(window):
            return
        with memoryview(window.buffer) as view, view[window.start : end] as piece:
            try:
                made = decoder.decode(piece)
            except Malformed:
                made = decoder.explain(piece)
        window.start = end
        yield made


def object_end(window: Window, limit: int) -> int:
    """Index behind the `}` that closes the object whose `{` stands just before the window."""
    while True:
        depth = 0
        for token in _TOKEN.finditer(window.buffer, window.start, window.end):
            kind = token.group()
            if kind in b"{[":
                depth += 1
            elif kind in b"}]":
                depth -= 1
                if depth < 0:
                    return token.end()
            elif kind == b'"':
                break
        window.grow(limit)


def own_list(window: Window, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    """Where a key with its `[` stands among the members of the object whose `{` is just before the window."""
    depth = 0
    for token in _TOKEN.finditer(window.buffer, window.start, window.end):
        kind = token.group()
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            depth -= 1
            if depth < 0:
                return None
        elif kind == b'"':
            return None
        elif depth == 0:
            match = pattern.match(window.buffer, token.start(), window.end)
            if match:
                return match
    return None


def first_keys(head: bytes) -> list[str]:
    """The keys of the first object in a text, as far as the text goes."""
    depth = 0
    keys = []
    for token in _TOKEN.finditer(head):
        kind = token.group()
        if kind == b'"':
            break
        if kind in b"{[":
            depth += kind == b"{" or depth > 0
        elif kind in b"}]":
            depth -= 1
            if depth <= 0:
                break
        elif depth == 1 and head[_space_end(head, token.end()) :][:1] == b":":
            keys.append(kind[1:-1].decode("utf-8", "replace"))
    return keys


def _space_end(text: bytes, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def whole_elements(text: bytes) -> int:
    """How many elements of a list are whole in the beginning of its text."""
    window = Window(io.BytesIO())
    window.buffer, window.end = bytearray(b"[" + text), 1 + len(text)
    return sum(1 for _ in _element_ends(window))


def _piece(window: Window, end: int, decode: Callable[[memoryview], T]) -> T:
    """Decode the window up to an end, made a list for the moment by a `[` before and a `]` behind it."""
    buffer = window.buffer
    closed = buffer[end - 1] == ord("]")
    stop = end if closed else end + 1
    saved = buffer[end : end + 1]
    buffer[window.start - 1] = ord("[")
    if not closed:
        buffer[end:stop] = b"]"
    try:
        with memoryview(buffer) as view, view[window.start - 1 : stop] as piece:
            return decode(piece)
    finally:
        if not closed:
            buffer[end:stop] = saved


def _learn(window: Window) -> bytes | None:
    """The separator between the first two results, white space and all."""
    first_end = next(_element_ends(window), None)
    match = first_end and _SEPARATOR.match(window.buffer, first_end - 1, window.end)
    return match.group() if match else None


def _guess(window: Window, separator: bytes | None) -> int | None:
    """Where the last whole result in the window probably ends, or the list where all is read."""
    if window.exhausted:
        close = window.buffer.rfind(b"]", window.start, window.end)
        return None if close < 0 else close + 1
    if separator is None:
        return None
    found = window.buffer.rfind(separator, window.start, window.end)
    return None if found < 0 else found + 1


def _scan(window: Window) -> int:
    """Where the last whole result in the window ends, or the list, by its tokens."""
    while True:
        ends = list(_element_ends(window))
        if ends:
            return ends[-1]
        window.grow()


def _element_ends(window: Window) -> Iterator[int]:
    """Indices behind each element of the list, and behind the `]` that closes it."""
    depth = 0
    for token in _TOKEN.finditer(window.buffer, window.start, window.end):
        kind = token.group()
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            depth -= 1
            if depth <= 0:
                yield token.end()
            if depth < 0:
                return
        elif kind == b'"':
            return
