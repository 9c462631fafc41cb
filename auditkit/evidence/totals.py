"""Control totals: how many results there are, and what their scores add up to, to the last digit."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import TYPE_CHECKING

from auditkit.evidence.bag import CONTROL_SUMS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LARGEST_HUNDREDTHS = 10**10
# A double has up to 309 digits before the point and 324 behind it; with room for carries, no sum is rounded.
_EXACTLY = decimal.Context(prec=800, traps=[decimal.Inexact, decimal.InvalidOperation])


class ControlTotals:
    """Rows and exact sums of batches that are seen once.

    What is added are the shortest decimal texts of the scores, as whoever adds up the column of a CSV
    does: 0.1 and 0.2 make 0.3.

    Attributes
    ----------
    rows : int
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sums = dict.fromkeys(CONTROL_SUMS, Decimal(0))

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch in."""
        self.rows += len(batch)
        for column, sum_ in self._sums.items():
            more = _sum(batch.column(column).to_numpy())
            self._sums[column] = _EXACTLY.add(sum_, more)

    def include(self, other: ControlTotals) -> None:
        """Count in what another one counted."""
        self.rows += other.rows
        for column, sum_ in other._sums.items():
            self._sums[column] = _EXACTLY.add(self._sums[column], sum_)

    def sums(self) -> dict[str, str]:
        """The sums by label, all digits of them: `1234.5`."""
        return {CONTROL_SUMS[column]: _plain(sum_) for column, sum_ in self._sums.items()}


def _sum(values: np.ndarray) -> Decimal:
    """The exact sum of some doubles; those of up to two decimals are added up as whole hundredths."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        hundredths = np.rint(values * 100)
        ordinary = (hundredths / 100 == values) & (np.abs(hundredths) < _LARGEST_HUNDREDTHS)
    total = Decimal(int(hundredths[ordinary].astype(np.int64).sum())).scaleb(-2)
    for value in values[~ordinary].tolist():
        total = _EXACTLY.add(total, Decimal(repr(value)))
    return total


def _plain(total: Decimal) -> str:
    text = f"{total:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
