"""What a widget shows, as lines of Python that can be run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from auditkit.filters import Filter
from auditkit.formats.stream import MAX_UNCOMPRESSED_BYTES
from auditkit.schema import DIFFERENCE, DIFFERENCE_DECIMALS, POSITION, RUN_ID

_OPTIONS = {"strict": False, "formula_guard": None, "max_uncompressed_bytes": MAX_UNCOMPRESSED_BYTES}


def script(*lines: str) -> str:
    """Lines as a script; only what it needs is imported."""
    return "\n".join(["import auditkit as ak", "", *lines]) + "\n"


def opening(source: Any) -> list[str]:
    """The line that opens a source; none where the environment variable names it."""
    return [] if source is None else [f"source = ak.open_source({_location(source)})"]


def given(source: Any) -> str:
    """The source as an argument."""
    return "" if source is None else ", source=source"


def loading(source: Any, run_ids: Sequence[str]) -> list[str]:
    """Lines that load the results of some runs as `results`."""
    return [*opening(source), f"results = ak.load_results({list(run_ids)!r}{given(source)})"]


def narrowing(filter: Filter, frame: str) -> list[str]:
    """The line that makes `view` of a frame."""
    return [f"view = ak.{filter!r}.apply({frame})" if filter else f"view = {frame}"]


def sorting(sort: tuple[str, str] | None) -> list[str]:
    """The line that puts `view` into the order shown; differences are worked out on the way."""
    if sort is None:
        return []
    name, direction = sort
    how = f"ascending={direction == 'ascending'}, kind='stable'"
    if name == DIFFERENCE.column:
        differences = f"(view.user_score - view.ai_score).round({DIFFERENCE_DECIMALS})"
        return [f"view = view.loc[{differences}.sort_values({how}).index]"]
    return [f"view = view.sort_values({name!r}, {how})"]


def picking(rows: pd.DataFrame, frame: str = "view", name: str = "selected") -> list[str]:
    """Lines that take some rows, named by run and position, out of a frame."""
    named = {
        run_id: listed(np.sort(part[POSITION].to_numpy())) for run_id, part in rows.groupby(RUN_ID, sort=True)
    }
    pairs = ", ".join(f"{run_id!r}: {positions}" for run_id, positions in named.items())
    return [
        f"rows = {{{pairs}}}",
        "rows = {(run_id, position) for run_id, positions in rows.items() for position in positions}",
        f"{name} = {frame}[[row in rows for row in zip({frame}.run_id, {frame}.position)]]",
    ]


def listed(numbers: np.ndarray) -> str:
    """Sorted whole numbers as a list, neighbours as ranges: `[1, *range(4, 9)]`."""
    parts = []
    for group in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        first, last = int(group[0]), int(group[-1])
        few = last - first < 2
        parts += (
            [str(number) for number in range(first, last + 1)] if few else [f"*range({first}, {last + 1})"]
        )
    return f"[{', '.join(parts)}]"


def _location(source: Any) -> str:
    """What `open_source` is to be given: the place, and the options that differ from their defaults."""
    files = source if isinstance(source, list | tuple) else getattr(source, "files", ())
    several = len(files) > 1 or files is source
    place = [os.fspath(path) for path in files] if several else str(getattr(source, "location", source))
    changed = {name: getattr(source, name, usual) for name, usual in _OPTIONS.items()}
    options = "".join(f", {name}={value!r}" for name, value in changed.items() if value != _OPTIONS[name])
    return f"{place!r}{options}"
