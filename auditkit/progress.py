"""A progress bar where somebody looks: when asked for, or on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress_bar(items: Iterable[T], total: int, unit: str, show: bool | None) -> Iterator[T]:
    """The items, with a `tqdm.auto` bar beside if `show`, or if None and stderr is a terminal."""
    if show or (show is None and sys.stderr is not None and sys.stderr.isatty()):
        from tqdm.auto import tqdm

        yield from tqdm(items, total=total, unit=unit)
    else:
        yield from items
