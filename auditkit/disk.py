"""What a file needs around it: folders made and synced, errors that name the right file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auditkit.leftovers import is_temporary

OWNER_ONLY, OWNER_AND_GROUP = 0o600, 0o640


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder with all that is missing above it, each synced into the one above."""
    if folder.is_dir():
        return
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o750 if mode != OWNER_ONLY else 0o700)
    for place in missing:
        sync_folder(place.parent)


@contextlib.contextmanager
def opened_folder(folder: Path) -> Iterator[int | None]:
    """A folder to be synced; it is opened before anything is to be seen in it, for that may fail."""
    if os.name == "nt":  # a folder cannot be opened there
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        tidy(os.close, descriptor)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlast a power cut."""
    with opened_folder(folder) as descriptor, named_errors(folder):
        sync(descriptor)


def sync(descriptor: int | None) -> None:
    """Sync an opened folder, where it could be opened."""
    if descriptor is not None:
        os.fsync(descriptor)


def write_all(descriptor: int, data: Any) -> int:
    """Write to the last byte, for the system may take fewer at a time; how many there were."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(descriptor, view[done:])
        return done


def tidy(action: Callable[..., object], *arguments: Any) -> None:
    """Clear away; what was published is synced by then, and no failure may cost its receipt."""
    with contextlib.suppress(OSError):
        action(*arguments)


@contextlib.contextmanager
def named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an OS error about our temporary file, or about no named file, name the file that was to be."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
        if error.errno is None or (named is not None and not is_temporary(os.path.basename(named))):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
