"""The folder of a bag as it is found: only what stands in it is ever read, and no link is followed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LARGEST_TAG_FILE = 64 << 20
"""What is read as a whole is not larger, whatever a stranger put there."""

_DATA = "data"
_FOLDER = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"))
_FILE = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_CLOEXEC")
)


@dataclass(frozen=True, kw_only=True)
class BagFolder:
    """An opened bag: two folders, and what stands in them.

    Attributes
    ----------
    sizes : dict of str to int
        The regular files, by their paths in the bag, with their sizes.
    strangers : dict of str to str
        Everything else, and what it is, in words.
    """

    root: int
    data: int | None
    sizes: dict[str, int] = field(default_factory=dict)
    strangers: dict[str, str] = field(default_factory=dict)

    def open(self, name: str, buffering: int = -1) -> BinaryIO:
        """A file of the bag, to be read.

        Raises
        ------
        OSError
            If it cannot be opened, or is no regular file any more.
        """
        folder, base = self._place(name)
        descriptor = os.open(base, _FILE, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file any more", name)
        return os.fdopen(descriptor, "rb", buffering)

    def read(self, name: str) -> bytes:
        """All of a tag file.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            In words, if it is larger than any tag file is.
        """
        with self.open(name) as file:
            data = file.read(LARGEST_TAG_FILE + 1)
        if len(data) > LARGEST_TAG_FILE:
            raise ValueError(f"it holds over {LARGEST_TAG_FILE >> 20} MiB")
        return data

    def sha256(self, name: str) -> str:
        """The SHA-256 of a file.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def _place(self, name: str) -> tuple[int, str]:
        folder, _, base = name.rpartition("/")
        if not folder:
            return self.root, base
        if folder != _DATA or self.data is None:
            raise FileNotFoundError(errno.ENOENT, "there is none", name)
        return self.data, base


@contextlib.contextmanager
def opened_bag(path: Path) -> Iterator[BagFolder]:
    """The bag at a path.

    Raises
    ------
    OSError
        If it is no folder, or cannot be read.
    """
    with contextlib.ExitStack() as opened:
        root = _opened(opened, path, None)
        try:
            data = _opened(opened, _DATA, root)
        except OSError:  # what stands there instead is listed as a stranger
            data = None
        bag = BagFolder(root=root, data=data)
        _list(bag, root, "")
        if data is not None:
            bag.strangers.pop(_DATA, None)
            _list(bag, data, f"{_DATA}/")
        yield bag


def _opened(opened: contextlib.ExitStack, path: str | Path, parent: int | None) -> int:
    descriptor = os.open(path, _FOLDER, dir_fd=parent)
    opened.callback(os.close, descriptor)
    return descriptor


def _list(bag: BagFolder, folder: int, prefix: str) -> None:
    for name in sorted(os.listdir(folder)):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            bag.sizes[prefix + name] = found.st_size
        else:
            bag.strangers[prefix + name] = _KINDS.get(stat.S_IFMT(found.st_mode), "a device, pipe or socket")


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}
