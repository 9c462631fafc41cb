"""What keeps a process quick to start: numpy without its thread pool, pyarrow without pandas."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _NoPandas:
    """A finder that finds no pandas."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(
                "pandas is kept out of sight while a command or a worker runs", name="pandas"
            )


_finder = _NoPandas()


def start_quickly() -> None:
    """Hide pandas, which pyarrow imports in `pa.array` though it needs it only for frames.

    That import would cost more than all else that a command does.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _finder)


@contextmanager
def quick_start() -> Iterator[None]:
    """Hide pandas for a while."""
    start_quickly()
    try:
        yield
    finally:
        show_pandas()


def show_pandas() -> None:
    """Let pandas be imported again: an installed format may want frames."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
