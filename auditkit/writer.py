"""A sink that compresses, seals, hashes and writes, beside whoever makes the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

from auditkit.apart import Apart, Pipe
from auditkit.disk import write_all
from auditkit.formats.base import Compression, FileOfSink

_INLINE_BYTES = 1 << 20


class Sealer(Protocol):
    """A stream of bytes on its way into its encrypted form."""

    def write(self, data: Any, /) -> object:
        """Take some plain bytes."""

    def close(self) -> None:
        """End the stream; every encrypted byte has been given on."""

    def abort(self) -> None:
        """End it without an end; once it is closed, nothing."""


Seal = Callable[[Callable[[bytes], object]], Sealer]
"""Makes a sealer that gives its encrypted bytes to a callable."""


class Writer:
    """A sink that compresses, seals, hashes and writes; a second thread does so once it is worth one."""

    def __init__(self, descriptor: int, compression: Compression | None, seal: Seal | None = None):
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._taken = 0
        self._pipe = Pipe()
        self._work: Apart | None = None
        self._error: BaseException | None = None
        self._plain_hash = hashlib.sha256()
        self._sealer = seal(self._put) if seal else None
        self._compressor = _compressor(self._pass, compression) if compression else None

    def write(self, data: Any) -> None:
        """Take some bytes."""
        if self._error is not None:
            raise self._error
        self._taken += len(data)
        if self._work is None and self._taken <= _INLINE_BYTES:
            self._pack(data)
            return
        if self._work is None:
            self._work = Apart(self._pack_all, "auditkit-writer")
        self._pipe.put(data)

    def stop(self) -> None:
        """Let the threads end, whatever they have not written yet."""
        self._pipe.break_off()
        if self._work is not None:
            self._work.wait()
        if self._sealer is not None:
            self._sealer.abort()

    @property
    def plain_sha256(self) -> str | None:
        """Of a sealed file the SHA-256 of what was sealed."""
        return self._plain_hash.hexdigest() if self._sealer is not None else None

    def finish(self) -> tuple[int, str]:
        """Size and SHA-256 of what was written, once all of it is."""
        self._pipe.end()
        if self._work is not None:
            self._work.wait()
        if self._error is not None:
            raise self._error
        if self._compressor is not None:
            self._compressor.close()
        if self._sealer is not None:
            self._sealer.close()
        return self._bytes, self._hash.hexdigest()

    def _pack_all(self) -> None:
        try:
            while (data := self._pipe.take()) is not None:
                self._pack(data)
        except BaseException as error:
            self._error = error
        finally:
            self._pipe.break_off()

    def _pack(self, data: Any) -> None:
        if self._compressor is None:
            self._pass(data)
        else:
            self._compressor.write(data)

    def _pass(self, data: Any) -> object:
        if self._sealer is None:
            return self._put(data)
        self._plain_hash.update(data)
        return self._sealer.write(data)

    def _put(self, data: Any) -> object:
        """Hash and write, to the last byte."""
        self._hash.update(data)
        self._bytes += write_all(self._descriptor, data)
        return None


def _compressor(write: Callable[[bytes], object], compression: Compression) -> Any:
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(FileOfSink(write), "w"), compression)
