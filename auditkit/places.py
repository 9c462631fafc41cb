"""Where a file is made, and how it gets its name: in a folder of this machine, or in a store."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from auditkit.disk import OWNER_ONLY, make_folder, named_errors, opened_folder, sync, tidy
from auditkit.leftovers import claim_name, sweep
from auditkit.store import Location, StorePath, found_at, remove, sha256_at
from auditkit.store.upload import check_bucket, etag_of, put

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


class Whole(Protocol):
    """A file that is whole on disk, under a name of its own."""

    @property
    def temporary(self) -> Path:
        """That name."""

    @property
    def descriptor(self) -> int:
        """Open, and locked."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Of what stands on disk."""


class Place(Protocol):
    """Where some files are to be seen."""

    def prepare(self, mode: int) -> Path:
        """The folder to make a file in; what must be there for it to be seen later, is."""

    def sweep(self) -> None:
        """Remove what exports that died left where files are made."""

    def opened(self) -> AbstractContextManager[Callable[[], None]]:
        """What lets the names that were given outlast a power cut; opened before any is given."""

    def holds(self, path: Location, file: Whole) -> bool:
        """Whether the same bytes stand there."""

    def give_name(self, file: Whole, path: Location, *, replace: bool) -> None:
        """Let the file be seen there.

        Raises
        ------
        FileExistsError
            If something stands there, unless it is to be replaced.
        """


def place_of(folder: Location) -> Place:
    """The place that a folder is."""
    return _Bucket(folder) if isinstance(folder, StorePath) else _Folder(folder)


class _Folder:
    """A folder of this machine: a file is made in it, and linked or renamed to its name."""

    def __init__(self, folder: Path):
        self._folder = folder

    def prepare(self, mode: int) -> Path:
        make_folder(self._folder, mode)
        return self._folder

    def sweep(self) -> None:
        sweep(self._folder, stat.S_ISREG, os.unlink)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[], None]]:
        with opened_folder(self._folder) as descriptor:
            yield lambda: self._sync(descriptor)

    def _sync(self, descriptor: int | None) -> None:
        with named_errors(self._folder):
            sync(descriptor)

    def holds(self, path: Location, file: Whole) -> bool:
        try:
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_size != file.bytes:
                return False
            with open(path, "rb") as there:
                return hashlib.file_digest(there, "sha256").hexdigest() == file.sha256
        except (FileNotFoundError, PermissionError):  # what cannot be read is not known to be the same
            return False

    def give_name(self, file: Whole, path: Location, *, replace: bool) -> None:
        try:
            if replace:
                os.replace(file.temporary, path)
            else:
                _link(file.temporary, path)
        except OSError:
            if not _is_there(file, path):  # network disks may report as failed what they have done
                raise


def _is_there(file: Whole, path: Location) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.descriptor), os.lstat(path))
    return False


def _link(temporary: Path, path: Location) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _claim_and_rename(temporary, path)


def _claim_and_rename(temporary: Path, path: Location) -> None:
    """Without hard links: whoever creates the lock file may rename, if the name is still free."""
    claim = path.with_name(claim_name(path.name))
    with contextlib.ExitStack() as tidying:
        descriptor = os.open(claim, NEW, OWNER_ONLY)
        tidying.callback(tidy, os.unlink, claim)
        tidying.callback(tidy, os.close, descriptor)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temporary, path)


class _Bucket:
    """A folder of a store: a file is made on this machine, put there by one request, and read back."""

    def __init__(self, folder: StorePath):
        self._folder = folder
        self._refusal: OSError | None = None
        self._looked = False

    def prepare(self, mode: int) -> Path:
        if not self._looked:
            self._looked = True
            try:
                check_bucket(self._folder)
            except OSError as error:
                self._refusal = error
        if self._refusal is not None:
            refusal = self._refusal
            raise OSError(refusal.errno, refusal.strerror, refusal.filename)
        return staging_folder()

    def sweep(self) -> None:
        with contextlib.suppress(OSError):
            sweep(staging_folder(), stat.S_ISREG, os.unlink)

    def opened(self) -> AbstractContextManager[Callable[[], None]]:
        return contextlib.nullcontext(_nothing)

    def holds(self, path: Location, file: Whole) -> bool:
        there = _stored(path)
        found = found_at(there)
        if found is None or found.is_folder or found.bytes != file.bytes:
            return False
        return sha256_at(there) == file.sha256

    def give_name(self, file: Whole, path: Location, *, replace: bool) -> None:
        there = _stored(path)
        try:
            etag = put(file.temporary, there, replace=replace)
        except FileExistsError:
            raise
        except OSError:
            if not self._surely_holds(there, file):  # an answer may be lost when all is done
                raise
            return
        try:
            if self.holds(there, file):
                return
            ours = etag is None or etag == etag_of(there)
        except OSError:
            if not replace:  # what it took the place of is gone: rather an unconfirmed file than none
                _take_back(there, etag)
            raise
        if not ours and not replace:  # a store that knows no conditions: another writer was there, too
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(there))
        if not replace:
            _take_back(there, etag)
        why = "The store gave other bytes back than it was given. Export again"
        raise OSError(errno.EIO, why, str(there))

    def _surely_holds(self, path: Location, file: Whole) -> bool:
        with contextlib.suppress(OSError):
            return self.holds(path, file)
        return False


def _take_back(path: StorePath, etag: str | None) -> None:
    """Remove what was put there and cannot be confirmed, unless another writer has replaced it since."""
    with contextlib.suppress(OSError):
        if etag is None or etag == etag_of(path):
            remove(path)


def _stored(path: Location) -> StorePath:
    if isinstance(path, StorePath):
        return path
    raise TypeError(f"{path} is in no store")


def staging_folder() -> Path:
    """The folder of this machine in which files for a store are made; nobody else may look into it.

    Raises
    ------
    PermissionError
        If it is not ours alone.
    """
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir(), "auditkit" if user is None else f"auditkit-{user}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    ours = user is None or (found.st_uid == user and not found.st_mode & 0o077)
    if not stat.S_ISDIR(found.st_mode) or not ours:
        why = "Others may look into this folder, in which exports are made. Remove it, or set TMPDIR"
        raise PermissionError(errno.EACCES, why, str(folder))
    return folder


def _nothing() -> None:
    """A store keeps what it has confirmed."""
