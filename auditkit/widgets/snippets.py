"""What a widget shows, as lines of Python that can be run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from auditkit.errors import AuditkitError
from auditkit.filters import Filter
from auditkit.formats.stream import MAX_UNCOMPRESSED_BYTES
from auditkit.schema import DIFFERENCE, DIFFERENCE_DECIMALS, POSITION, RUN_ID
from auditkit.sources import Source, open_source

_OPTIONS = {"strict": False, "formula_guard": None, "max_uncompressed_bytes": MAX_UNCOMPRESSED_BYTES}
_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:")
"""What may be more than a path; one letter is a drive."""
_NOT_SHOWN = "# The source is not shown, as it may hold a password: it comes from AUDITKIT_SOURCE."


def script(*lines: str) -> str:
    """Lines as a script; only what it needs is imported."""
    return "\n".join(["import auditkit as ak", "", *lines]) + "\n"


def opening(source: Any) -> list[str]:
    """The lines that open a source; none where the environment variable names it."""
    if source is None:
        return []
    if shown(source) is None:
        return [_NOT_SHOWN, "source = ak.open_source()"]
    return [*_left_out(source), f"source = ak.open_source({_location(source)})"]


def shown(source: Any) -> str | None:
    """Where a source is, in words that hold no secret; None for a text of which that is not known."""
    if isinstance(source, Source):
        return source.location
    parts = source if isinstance(source, list | tuple) else [source]
    if any(_URL.match(str(part)) for part in parts):
        try:
            address = _address(source)
        except AuditkitError:
            return None
        except OSError:  # there is no such file, which the error says, too
            address = None
        if address is not None:
            return str(address.location)
    return str(source)


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
    files = source if isinstance(source, list | tuple) else _files_of(source)
    several = len(files) > 1 or files is source
    mapping = getattr(source, "schema", None)
    alone = shown(source) if mapping is None else str(mapping.path)
    place = [os.fspath(path) for path in files] if several else alone
    changed = {name: getattr(source, name, usual) for name, usual in _OPTIONS.items()}
    options = "".join(f", {name}={value!r}" for name, value in changed.items() if value != _OPTIONS[name])
    return f"{place!r}{options}"


def _files_of(source: Any) -> Sequence[Any]:
    """The files of a source that were named one by one."""
    files: Sequence[Any] = getattr(getattr(source, "files", None), "files", ())
    return files


def _address(source: Any) -> Any:
    """The database of a source, which knows the password; None for other sources."""
    opened = source if isinstance(source, Source) else open_source(source)
    address = getattr(opened, "address", None)
    return None if callable(address) else address


def _left_out(source: Any) -> list[str]:
    """What is to be said of a URL that is shown without all that stands in it."""
    address = None if shown(source) == str(source) else _address(source)
    if address is None:
        return []
    comes = "(PGPASSWORD)" if address.kind == "postgresql" else "(the whole URL in AUDITKIT_SOURCE)"
    lacks = [f"the password, which comes from the environment {comes}"] * (
        address.parsed.password is not None
    )
    lacks += ["what follows the ?"] * bool(address.parsed.query)
    return [f"# Left out of the URL: {'; '.join(lacks)}."] if lacks else []
