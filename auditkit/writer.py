"""A sink that compresses, hashes and writes, beside whoever makes the bytes."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from typing import Any

from auditkit.formats.base import Compression, FileOfSink

_INLINE_BYTES = 1 << 20
_QUEUED_CHUNKS = 4


class Writer:
    """A sink that compresses, hashes and writes; a second thread does so once it is worth one."""

    def __init__(self, descriptor: int, compression: Compression | None):
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._taken = 0
        self._chunks: queue.Queue[Any] = queue.Queue(_QUEUED_CHUNKS)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._compressor = _compressor(self, compression) if compression else None

    def write(self, data: Any) -> None:
        """Take some bytes."""
        if self._error is not None:
            raise self._error
        self._taken += len(data)
        if self._thread is None and self._taken <= _INLINE_BYTES:
            self._pack(data)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="auditkit-writer", daemon=True)
            self._thread.start()
        self._chunks.put(data)

    def stop(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join()
            self._thread = None

    def finish(self) -> tuple[int, str]:
        """Size and SHA-256 of what was written, once all of it is."""
        self.stop()
        if self._error is not None:
            raise self._error
        if self._compressor is not None:
            self._compressor.close()
        return self._bytes, self._hash.hexdigest()

    def _work(self) -> None:
        while (data := self._chunks.get()) is not None:
            if self._error is None:
                try:
                    self._pack(data)
                except BaseException as error:
                    self._error = error

    def _pack(self, data: Any) -> None:
        if self._compressor is None:
            self.put(data)
        else:
            self._compressor.write(data)

    def put(self, data: Any) -> int:
        """Hash and write, to the last byte."""
        self._hash.update(data)
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.write(self._descriptor, view[done:])
            self._bytes += len(view)
            return len(view)


def _compressor(writer: Writer, compression: Compression) -> Any:
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(FileOfSink(writer.put), "w"), compression)
