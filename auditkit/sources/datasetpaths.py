"""Which files make a Parquet dataset, in which order, and what their folders say of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from auditkit.formats.problems import Problems
from auditkit.store.names import StorePath, is_store

SUFFIX = ".parquet"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def dataset_paths(place: str, problems: Problems) -> list[str]:
    """The Parquet files below a place, without what is hidden or begins with `_`; `part-2` before `part-10`.

    Parameters
    ----------
    problems : Problems
        Is told of a folder that is there twice, by a link: its rows would count twice.
    """
    if _is_parquet(place) and not os.path.isdir(place):
        return [place]
    below = len(place.rstrip("/")) + 1
    if is_store(place):
        from auditkit.store.access import matches

        found = [path for path in matches(StorePath(f"{place}/**")) if _is_parquet(path)]
    else:
        found = list(_on_disk(place, problems))
    shown = [path for path in found if not any(map(_is_hidden, path[below:].split("/")))]
    return sorted(shown, key=lambda path: _natural(path[below:]))


def partitions_of(place: str, path: str) -> Iterator[tuple[str, str | None]]:
    """The columns that the folders of a path name: `run_id=run-001`."""
    for part in path[len(place.rstrip("/")) + 1 :].split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals:
            yield unquote(name), None if value == _NO_VALUE else unquote(value)


def _on_disk(place: str, problems: Problems) -> Iterator[str]:
    """The files below a folder and below what is linked to from there."""
    seen = {os.path.realpath(place)}
    for folder, folders, names in os.walk(place, onerror=_raise, followlinks=True):
        folders[:] = [name for name in sorted(folders) if _goes_down(folder, name, seen, problems)]
        for path in (os.path.join(folder, name) for name in names):
            if _is_parquet(path) or not os.path.exists(path):  # a link to a folder that is gone
                yield path


def _goes_down(folder: str, name: str, seen: set[str], problems: Problems) -> bool:
    """Whether a folder is to be looked into: not where that would never end."""
    if _is_hidden(name):
        return False
    path = os.path.join(folder, name)
    real = os.path.realpath(path)
    if real not in seen:
        seen.add(real)
        return True
    if not f"{os.path.realpath(folder)}/".startswith(f"{real}/"):  # all below that is looked at anyway
        problems.report(f"a link leads to the same folder as {path}: its rows would stand there twice")
    return False


def _raise(error: OSError) -> None:
    raise error  # what is left out may be a part of a run


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(SUFFIX)


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "_")) and "=" not in part


def _natural(path: str) -> tuple[list[list[str | int]], str]:
    """What a path is sorted by: its digits as numbers, then as text."""
    parts = [re.split("([0-9]+)", part) for part in path.split("/")]
    return [[int(piece) if at % 2 else piece for at, piece in enumerate(part)] for part in parts], path
