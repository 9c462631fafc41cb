"""The bytes of an exported file, in chunks for a download."""

from __future__ import annotations

import hashlib
import os
import stat

from auditkit.errors import AuditkitError
from auditkit.receipts import ExportReceipt
from auditkit.store import StorePath, require_found

CHUNK_BYTES = 1 << 20


class Delivery:
    """The bytes of the file of a receipt, given out from the first to the last.

    What is given out is hashed on its way: the last chunk is given only if all of them together
    have the receipt's SHA-256.
    """

    def __init__(self, receipt: ExportReceipt):
        self.receipt = receipt
        self._hash = hashlib.sha256()
        self._given = 0

    def chunk(self, offset: int) -> tuple[bytes, bool]:
        """The bytes from `offset` on, and whether they are the last.

        Raises
        ------
        AuditkitError
            If the file has changed, or the chunks are not asked for one after the other.
        OSError
            If it cannot be read.
        """
        if offset != self._given:
            raise AuditkitError("The download lost its place. Start it again.")
        wanted = min(CHUNK_BYTES, self.receipt.bytes - offset)
        data = self._read(offset, wanted)
        self._hash.update(data)
        self._given += len(data)
        last = self._given == self.receipt.bytes
        if len(data) < wanted or (last and self._hash.hexdigest() != self.receipt.sha256):
            raise self._changed()
        return data, last

    def _read(self, offset: int, wanted: int) -> bytes:
        if self._size() != self.receipt.bytes:
            raise self._changed()
        with self.receipt.path.open("rb") as file:
            file.seek(offset)
            return file.read(wanted)

    def _size(self) -> int | None:
        path = self.receipt.path
        if isinstance(path, StorePath):
            return require_found(path).bytes
        found = os.stat(path)
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _changed(self) -> AuditkitError:
        return AuditkitError(f"{self.receipt.path} has changed since it was exported. Export it again.")
