"""Which results a frame names: rows by run id and position, confirmed by their ids."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError
from auditkit.filters import Filter
from auditkit.run import AuditRun, Batches, pick
from auditkit.scan import labelled
from auditkit.schema import POSITION, RUN_ID

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

_ID_COLUMNS = ("result_id", "submission_id")
_NO_POSITION = 2**62
"""From here on a whole number is no place of a row."""


@dataclass(frozen=True)
class Rows:
    """Rows of a run: sorted positions, and the ids that they are said to have, null where none is said."""

    positions: np.ndarray
    ids: dict[str, pa.Array]


def rows_named(results: pd.DataFrame) -> dict[str, Rows]:
    """For each run id, sorted, the rows that a frame names.

    Raises
    ------
    InvalidOptionError
        If it lacks the columns run_id and position, if they hold anything but ids and whole numbers,
        or if they name a row twice.
    """
    import numpy as np

    columns = list(getattr(results, "columns", ()))
    missing = [name for name in (RUN_ID, POSITION) if columns.count(name) != 1]
    if missing:
        raise InvalidOptionError(
            f"The frame needs one column {' and one column '.join(missing)}, which name its rows. "
            "Take the rows from load_results."
        )
    run_ids, runs = _numbered(results[RUN_ID])
    positions = _positions(results[POSITION])
    order = np.lexsort((positions, runs))
    _check_places(results, runs, positions, order)
    ids = {name: _as_bytes(results[name]) for name in _ID_COLUMNS if columns.count(name) == 1}
    ends = np.searchsorted(runs[order], np.arange(len(run_ids) + 1)).tolist()
    named = [order[start:end] for start, end in pairwise(ends)]
    return {
        run_id: Rows(positions[rows], {name: said.take(rows) for name, said in ids.items()})
        for run_id, rows in zip(run_ids, named, strict=True)
    }


def _numbered(column: pd.Series) -> tuple[list[str], np.ndarray]:
    """The run ids of a column, sorted, and for each row the place of its own among them; -1 for none."""
    import numpy as np
    import pandas as pd

    texts = column if _is_arrow_text(column) else pd.Series(_texts(column), dtype=object)
    numbers, different = pd.factorize(texts)
    found = different.to_list()
    order = sorted(range(len(found)), key=found.__getitem__)
    ranks = np.full(len(order) + 1, -1)  # the last one is for what is no text
    ranks[order] = np.arange(len(order))
    return [found[at] for at in order], ranks[numbers]


def _positions(column: pd.Series) -> np.ndarray:
    """The positions of a column; -1 for what is none."""
    import numpy as np

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        values = column.to_numpy()
        return np.where((values >= 0) & (values < _NO_POSITION), values.astype(np.int64), -1)
    return np.array([value if _is_position(value) else -1 for value in column.to_list()], np.int64)


def _check_places(results: pd.DataFrame, runs: np.ndarray, positions: np.ndarray, order: np.ndarray) -> None:
    import numpy as np

    again = (np.diff(runs[order]) == 0) & (np.diff(positions[order]) == 0)
    none = np.flatnonzero((runs < 0) | (positions < 0))
    twice = np.setdiff1d(order[1:][again], none)
    if not len(none) and not len(twice):
        return
    row = min([*none[:1].tolist(), *twice[:1].tolist()])
    (run_id,), (position,) = (results[name].iloc[[row]].to_list() for name in (RUN_ID, POSITION))
    if row in none:
        raise InvalidOptionError(
            f"Position {position!r} of run {run_id!r} names no row. Take the rows from load_results."
        )
    raise InvalidOptionError(f"The frame names row {position} of run {run_id!r} twice. Drop the duplicates.")


def _as_bytes(column: pd.Series) -> pa.Array:
    """The texts of a column, null for what is none: as bytes, for a lone surrogate is no Arrow text."""
    import pyarrow as pa

    if _is_arrow_text(column):
        texts = pa.array(column, from_pandas=True).cast(pa.large_binary())
        return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    encoded = [None if text is None else text.encode(errors="surrogatepass") for text in _texts(column)]
    return pa.array(encoded, pa.large_binary())


def _texts(column: pd.Series) -> list[str | None]:
    return [value if isinstance(value, str) else None for value in column.to_list()]


def _is_arrow_text(column: pd.Series) -> bool:
    import pandas as pd

    return isinstance(column.dtype, pd.StringDtype) and column.dtype.storage == "pyarrow"


def picked_rows(run: AuditRun, rows: Rows) -> AuditRun:
    """A run reduced to some rows, each of which must have the id that the frame says."""
    return dataclasses.replace(run, batches=partial(_confirmed, run, rows), positions=rows.positions)


def _confirmed(run: AuditRun, rows: Rows) -> Batches:
    start = 0
    for batch in pick(run, rows.positions):
        positions = rows.positions[start : start + len(batch)]
        for column, said in rows.ids.items():
            if column not in run.absent_fields:
                _confirm(run.id, column, positions, said.slice(start, len(batch)), batch.column(column))
        start += len(batch)
        yield batch


def _confirm(run_id: str, column: str, positions: np.ndarray, said: pa.Array, real: pa.Array) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    differs = pc.fill_null(pc.not_equal(said, real.cast(pa.large_binary())), True)
    at = pc.index(pc.and_(pc.is_valid(said), differs), True).as_py()
    if at >= 0:
        other = said[at].as_py().decode(errors="surrogatepass")
        raise InvalidOptionError(
            f"Row {positions[at]} of run {run_id!r} has the {column} {real[at].as_py()!r}, "
            f"not {other!r} as the frame says. Load the frame from the same source."
        )


def matching(run: AuditRun, filter: Filter) -> Batches:
    """The batches of a selection reduced to the rows that a filter asks for, by their values as recorded."""
    import pyarrow as pa

    start = 0
    for batch in run.batches():
        if filter:
            places = run.positions[start : start + len(batch)]  # type: ignore[index]
            yield batch.filter(pa.array(filter.mask(labelled(run.id, places, batch))))
        else:
            yield batch
        start += len(batch)


def _is_position(value: Any) -> bool:
    import numpy as np

    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    return whole and 0 <= value < _NO_POSITION
