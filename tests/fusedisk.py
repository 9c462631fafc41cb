"""A disk that remembers: one file on FUSE, and every write and flush of it in the order in which they came.

A loop device on that file is a disk whose power can be cut at any moment, and as often as one likes.
The messages are those of `linux/fuse.h`; only what a loop device asks for is answered.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import select
import socket
import stat
import struct
from pathlib import Path
from typing import NamedTuple

NAME = "disk"
_ROOT, _DISK = 1, 2
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _WRITE, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 16, 17, 18
_FSYNC, _FLUSH, _INIT, _INTERRUPT, _BATCH_FORGET = 20, 25, 26, 36, 42
_HEADER = struct.Struct("<IIQQIIIHH")
_ANSWER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_LONGEST_WRITE = 1 << 20
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22


class Event(NamedTuple):
    """A write with its place and data, a flush, or what somebody said at that moment."""

    kind: str
    offset: int = 0
    data: bytes = b""


def mounted(folder: Path) -> int:
    """A descriptor that is asked for everything below a folder."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"disk", os.fsencode(folder), b"fuse", 0, options) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(folder))
    return descriptor


class RememberingDisk:
    """The server of the file, for one process that does nothing else."""

    def __init__(self, descriptor: int, content: bytes):
        self._descriptor = descriptor
        self._content = bytearray(content)
        self.events: list[Event] = []

    def serve(self, listener: socket.socket, record: Path) -> None:
        """Answer until the folder is unmounted; what is said through the socket is remembered, too.

        On `end` everything up to then is saved in a file.
        """
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        waiting.register(listener, select.POLLIN)
        while True:
            for ready, _ in waiting.poll():
                if ready != self._descriptor:
                    said = listener.recv(1 << 16)
                    self._remember(said, record)
                    listener.send(said)
                elif not self._answer_one():
                    return

    def _remember(self, said: bytes, record: Path) -> None:
        self.events.append(Event("said", data=said))
        if said == b"end":
            record.write_bytes(pickle.dumps([tuple(event) for event in self.events]))

    def _answer_one(self) -> bool:
        try:
            message = os.read(self._descriptor, _LONGEST_WRITE + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return False
            raise
        _, operation, unique, node, *_ = _HEADER.unpack_from(message)
        if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return True
        try:
            code, answer = 0, self._answers.get(operation, _unknown)(self, node, message[_HEADER.size :])
        except OSError as error:
            code, answer = -(error.errno or errno.EIO), b""
        os.write(self._descriptor, _ANSWER.pack(_ANSWER.size + len(answer), code, unique) + answer)
        return True

    def _init(self, node: int, body: bytes) -> bytes:
        flags = _BIG_WRITES | _MAX_PAGES
        return struct.pack(
            "<IIIIHHIIHHI28x", 7, 31, 0, flags, 16, 16, _LONGEST_WRITE, 1, _LONGEST_WRITE // 4096, 0, 0
        )

    def _lookup(self, node: int, body: bytes) -> bytes:
        if body.rstrip(b"\0") != NAME.encode():
            raise OSError(errno.ENOENT, "no such file")
        return struct.pack("<QQQQII", _DISK, 0, 3600, 3600, 0, 0) + self._attributes(_DISK)

    def _getattr(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        size, mode = (
            (0, stat.S_IFDIR | 0o700) if node == _ROOT else (len(self._content), stat.S_IFREG | 0o600)
        )
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _open(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QIi", 0, 0, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self._content[offset : offset + size])

    def _write(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[40 : 40 + size]
        self._content[offset : offset + size] = data
        self.events.append(Event("write", offset, data))
        return struct.pack("<II", size, 0)

    def _fsync(self, node: int, body: bytes) -> bytes:
        self.events.append(Event("flush"))
        return b""

    def _statfs(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)

    def _nothing(self, node: int, body: bytes) -> bytes:
        return b""

    _answers = {  # noqa: RUF012
        _INIT: _init, _LOOKUP: _lookup, _GETATTR: _getattr, _OPEN: _open, _READ: _read, _WRITE: _write,
        _FSYNC: _fsync, _STATFS: _statfs, _RELEASE: _nothing, _FLUSH: _nothing,
    }  # fmt: skip


def _unknown(disk: RememberingDisk, node: int, body: bytes) -> bytes:
    raise OSError(errno.ENOSYS, "not known here")
