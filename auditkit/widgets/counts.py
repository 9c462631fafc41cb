"""Binned counts of results: differences, scores and tiles, as many numbers however many rows there are."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditkit.schema import ACTIONS, DEVIATION_TYPES, DIFFERENCE_DECIMALS

TYPES = (*DEVIATION_TYPES, "missing")
DECISIONS = (*ACTIONS, "undecided")
_STEP = 3.0
_MOST_BINS = 80
_MOST_CELLS = 36
_MOST_LEVELS = 5


@dataclass(frozen=True)
class Axis:
    """Bins of `step` points around the multiples of `step`, so one of them has 0 in its middle.

    A bin holds its lower edge and not its upper one, the last holds both. A step of three points gives
    each bin as many whole scores, which a step of 2.5 does not, and takes no side between + and -.
    """

    step: float
    low: int
    bins: int

    @classmethod
    def over(cls, values: np.ndarray, usual: tuple[float, float], most: int) -> Axis:
        """The axis over what is usual and over all values; wider bins where `most` would not do."""
        low, high = usual
        if len(values):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        for power in itertools.count():
            for factor in (1, 2, 5):
                step = _STEP * factor * 10.0**power
                first, last = math.floor(low / step + 0.5), math.ceil(high / step - 0.5)
                if last - first < most:
                    return cls(step, first, max(last - first, 0) + 1)
        raise AssertionError("steps grow without end")

    @property
    def first(self) -> float:
        """The lower edge of the first bin."""
        return (self.low - 0.5) * self.step

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The number of each value's bin; one more than there are for what is no number."""
        drawn = np.isfinite(values)
        codes = np.floor(np.where(drawn, values, 0.0) / self.step + 0.5) - self.low
        return np.where(drawn, np.clip(codes, 0, self.bins - 1), self.bins).astype(np.uint16)


class Binned:
    """Results of which each has its bins worked out once, to be counted under any mask.

    Parameters
    ----------
    user, ai, deviation : ndarray of float, shape (rows,)
        Points; NaN where missing.
    types, decisions : ndarray of int, shape (rows,)
        Places in `TYPES` and in `DECISIONS`.
    """

    def __init__(
        self,
        user: np.ndarray,
        ai: np.ndarray,
        deviation: np.ndarray,
        types: np.ndarray,
        decisions: np.ndarray,
    ):
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.round(user - ai, DIFFERENCE_DECIMALS)
            drawn = np.isfinite(exact)
            self._difference = np.where(drawn, user - ai, np.nan)
        scores = np.concatenate([user[drawn], ai[drawn]])
        self.differences = Axis.over(exact[drawn], (-100.0, 100.0), _MOST_BINS)
        self.scores = Axis.over(scores, (0.0, 100.0), _MOST_CELLS)
        self._deviation = deviation
        self._types, self._decisions = types.astype(np.uint8), decisions.astype(np.uint8)
        self._bars = self.differences.codes(exact) * np.uint16(len(TYPES)) + self._types
        side = self.scores.bins
        cells = self.scores.codes(user) * np.uint16(side) + self.scores.codes(ai)
        self._cells = np.where(drawn, cells, side * side).astype(np.uint16)

    def __len__(self) -> int:
        return len(self._difference)

    def tiles(self, shown: np.ndarray) -> dict[str, Any]:
        """How many results are shown, their means, how many of each type and of each decision.

        Parameters
        ----------
        shown : ndarray of bool, shape (rows,)

        Returns
        -------
        dict
            `total`, `shown`, `bias` (mean of user score - AI score), `mean_absolute_deviation` (mean of
            the recorded deviations), both None if there is nothing to take them of, `types`, `actions`,
            `undecided`, and `undrawn`: results without a difference, which no drawing can show.
        """
        types = _counts(self._types, shown, len(TYPES))
        decisions = _counts(self._decisions, shown, len(DECISIONS))
        differences = self._difference[shown]
        return {
            "total": len(self),
            "shown": len(differences),
            "bias": _mean(differences),
            "mean_absolute_deviation": _mean(self._deviation[shown]),
            "types": {
                name: n for name, n in zip(TYPES, types.tolist(), strict=True) if n or name != "missing"
            },
            "actions": dict(zip(ACTIONS, decisions.tolist(), strict=False)),
            "undecided": int(decisions[-1]),
            "undrawn": len(differences) - int(np.isfinite(differences).sum()),
        }

    def histogram(self, context: np.ndarray, shown: np.ndarray) -> dict[str, Any]:
        """Differences by bin: `types` of the results shown, and `context`, all those of a wider mask."""
        axis = self.differences
        bars, around = (
            _counts(self._bars, mask, (axis.bins + 1) * len(TYPES)).reshape(-1, len(TYPES))[:-1]
            for mask in (shown, context)
        )
        return {
            "step": axis.step,
            "first": axis.first,
            "context": around.sum(axis=1).tolist(),
            "types": {
                name: bars[:, at].tolist()
                for at, name in enumerate(TYPES)
                if name != "missing" or bars[:, at].any()
            },
        }

    def density(self, context: np.ndarray, shown: np.ndarray) -> dict[str, Any]:
        """Scores by square cell, rows from the lowest user score, columns from the lowest AI score.

        `shown` counts the results shown. `context` has a level for each cell of a wider mask: a text of
        digits a row, 0 where nothing is, else how many of `levels` its count reaches.
        """
        axis = self.scores
        cells, around = (
            _counts(self._cells, mask, axis.bins**2 + 1)[:-1].reshape(axis.bins, axis.bins)
            for mask in (shown, context)
        )
        levels = levels_up_to(int(around.max()))
        reached = np.searchsorted(levels, around, side="right")
        return {
            "step": axis.step,
            "first": axis.first,
            "levels": levels,
            "context": ["".join(map(str, row)) for row in reached.tolist()],
            "shown": cells.tolist(),
        }


def levels_up_to(most: int) -> list[int]:
    """The smallest count of each level: 1, and up to four more, each about as many times the one before."""
    return sorted({max(1, round(most ** (level / _MOST_LEVELS))) for level in range(_MOST_LEVELS)})


def _counts(codes: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    counts: np.ndarray = np.bincount(codes[mask], minlength=size)
    return counts


def _mean(values: np.ndarray) -> float | None:
    there = values[np.isfinite(values)]
    if not len(there):
        return None
    with np.errstate(over="ignore"):
        mean = float(there.mean())
    return mean if math.isfinite(mean) else None
