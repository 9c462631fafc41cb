"""Bytes of one input: decompressed, bounded, and open to be read again from the start."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from auditkit.errors import InvalidRunError
from auditkit.formats.problems import Problems

HEAD_BYTES = 1 << 16
MAX_UNCOMPRESSED_BYTES = 10 << 30
BOM = b"\xef\xbb\xbf"
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}


@dataclass(frozen=True, kw_only=True)
class InputStream:
    """One input.

    Attributes
    ----------
    name : str
        What messages call it.
    open_raw : callable
        Opens its bytes as they are stored; the stream can seek.
    strict : bool
        Refuse keys that stand twice in one JSON object.
    formula_guard : bool
        Take the formula guard off the text of a CSV.
    glance : bool
        For its headers, take the word of its first 64 KiB; whoever reads the results is told the rest.
    max_uncompressed_bytes : int
        A compressed input that yields more is refused.
    """

    name: str
    open_raw: Callable[[], BinaryIO]
    strict: bool = False
    formula_guard: bool = True
    glance: bool = False
    max_uncompressed_bytes: int = MAX_UNCOMPRESSED_BYTES

    def open(self) -> BinaryIO:
        """Its bytes from the start, decompressed where they are gzip or zstd.

        Raises
        ------
        OSError
            If it cannot be opened or read.
        InvalidRunError
            While it is read: if the compressed bytes are damaged, or are more than allowed.
        """
        if self.plain:
            return self.open_raw()
        return _Unpacked(self, self.open_raw(), _MAGIC[self._stored_head[:2]])

    @property
    def plain(self) -> bool:
        """Whether it is stored as it is read: neither gzip nor zstd."""
        return self._stored_head[:2] not in _MAGIC

    @property
    def head(self) -> bytes:
        """The first 64 KiB, or all of it."""
        return self._stored_head if self.plain else self._unpacked_head

    @cached_property
    def _unpacked_head(self) -> bytes:
        with self.open() as unpacked:
            return unpacked.read(HEAD_BYTES)

    @cached_property
    def _stored_head(self) -> bytes:
        with self.open_raw() as raw:
            return raw.read(HEAD_BYTES)

    def refused(self, rule: str) -> InvalidRunError:
        """An error about this input as a whole."""
        problems = Problems(self.name)
        problems.report(rule)
        return problems.error()


class _Unpacked(io.RawIOBase, BinaryIO):
    def __init__(self, source: InputStream, raw: BinaryIO, codec: str):
        import pyarrow as pa

        self._source = source
        self._raw = raw
        self._plain = pa.CompressedInputStream(pa.PythonFile(raw, "r"), codec)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        try:
            count = int(self._plain.readinto(room))
        except OSError as error:
            if error.errno is not None:
                raise  # the disk's, not the file's
            raise self._source.refused(f"the compressed bytes are damaged: {error}") from None
        self._count += count
        limit = self._source.max_uncompressed_bytes
        if self._count > limit:
            raise self._source.refused(
                f"decompresses to more than {limit:,} bytes; open the source with a larger "
                "max_uncompressed_bytes if that is right"
            )
        return count

    def read(self, size: int = -1) -> bytes:
        room = bytearray(size if size >= 0 else io.DEFAULT_BUFFER_SIZE)
        if size >= 0:
            filled = 0
            with memoryview(room) as view:
                while filled < size and (count := self.readinto(view[filled:])):
                    filled += count
            return bytes(room[:filled])
        parts = []
        while count := self.readinto(room):
            parts.append(bytes(room[:count]))
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
