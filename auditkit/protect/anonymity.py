"""How many rows share the same values: the smallest group of a results frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class SmallestGroup:
    """The smallest group of rows that share the values of some columns; `int()` of it is `k`.

    Attributes
    ----------
    k : int
        How many rows it has; 0 where there are no rows.
    group : dict
        Column -> its value in that group, None for missing; of several such groups the first.
    groups : int
        How many groups there are.
    alone : int
        How many rows stand alone in their group.
    """

    k: int
    group: dict[str, Any]
    groups: int
    alone: int

    def __int__(self) -> int:
        return self.k


def k_anonymity(results: pd.DataFrame, columns: Sequence[str]) -> SmallestGroup:
    """The smallest group of rows that cannot be told apart by some columns.

    Parameters
    ----------
    results : DataFrame, one row a result
        As from `load_results`, or any other frame.
    columns : sequence of str
        What somebody may know of a person from elsewhere (the quasi-identifier): at least one column.

    Returns
    -------
    SmallestGroup
        Its `k` is the largest k for which the rows are k-anonymous in these columns.

    Raises
    ------
    InvalidOptionError
        If no column is given, or the frame has not exactly one of that name.

    Notes
    -----
    Two rows are in one group if they have the same value in each of the columns. Missing counts as a
    value of its own. Nothing is said about what else a row tells: all of a large group may have the same
    score.

    References
    ----------
    L. Sweeney, k-anonymity: a model for protecting privacy, International Journal of Uncertainty,
    Fuzziness and Knowledge-Based Systems 10(5), 2002, 557-570, doi:10.1142/S0218488502001648.

    Examples
    --------
    >>> import auditkit as ak
    >>> results = ak.load_results("run-001", source="sample_data/runs")
    >>> ak.k_anonymity(results, ["task_difficulty"])
    SmallestGroup(k=8, group={'task_difficulty': 'medium'}, groups=1, alone=0)
    """
    import numpy as np
    import pandas as pd

    names = _checked(results, columns)
    if not len(results):
        return SmallestGroup(k=0, group={}, groups=0, alone=0)
    codes = pd.DataFrame({name: pd.factorize(results[name])[0] for name in names})
    group_of_row = codes.groupby(names, sort=False).ngroup().to_numpy()
    sizes = np.bincount(group_of_row)
    smallest = int(sizes.min())
    row = int(np.flatnonzero(sizes[group_of_row] == smallest)[0])
    return SmallestGroup(
        k=smallest,
        group={name: _value(results[name], row) for name in names},
        groups=len(sizes),
        alone=int((sizes == 1).sum()),
    )


def _checked(results: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys([columns] if isinstance(columns, str) else columns))
    if not names:
        raise InvalidOptionError("No columns are given. Name those that somebody may know from elsewhere.")
    held = list(results.columns)
    for name in names:
        if held.count(name) != 1:
            raise InvalidOptionError(
                f"The frame needs one column {name}. It has {', '.join(map(str, held))}."
            )
    return names


def _value(column: pd.Series, row: int) -> Any:
    import pandas as pd

    value = column.iloc[[row]].to_list()[0]
    return None if pd.isna(value) else value
