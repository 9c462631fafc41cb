"""DeviationExplorer: differences and scores as drawings in which a range or a box filters the results."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import traitlets

from auditkit.errors import InvalidOptionError
from auditkit.filters import FILTER_FIELDS, Filter
from auditkit.html import rows_html
from auditkit.widgets.assets import script, style
from auditkit.widgets.base import Answer, AuditWidget
from auditkit.widgets.counts import DECISIONS, TYPES, Binned
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.shared import Shared
from auditkit.widgets.sheet import Sheet
from auditkit.widgets.snippets import script as snippet

DIFFERENCE = ("difference",)
SCORES = ("user_score", "ai_score")
_NUMBERS = (*SCORES, "deviation")
_MOST_WORDS = 200
_MOST_TOLERANCES = 4


class DeviationExplorer(Shared, AuditWidget):
    """Results as two drawings over their table: how far user and AI score lie apart, and where.

    A histogram of the differences (user score - AI score, points) by deviation type, and the density of
    user over AI scores. A range or a box dragged in them filters; so does `filter`. Above stand the mean
    difference (bias), the mean absolute deviation, and counts by deviation type and action taken. What
    is drawn are counts made in Python: their size does not depend on the number of rows.

    Parameters
    ----------
    results : DataFrame or Inspection
        As from `load_results`; an inspection is shared with other widgets.
    source : path, URL or Source, optional
        Where the results come from: `code` names it.
    tolerance : sequence of float
        Points at which lines are drawn on both sides of equal scores, up to four. They help the eye and
        classify nothing: a deviation type is what was recorded.

    Attributes
    ----------
    filter : Filter
        Which results are shown; a range asks for `difference`, a box for `user_score` and `ai_score`.
    results : DataFrame
        All results, whatever the filter.
    tolerance : tuple of float
    counts : dict
        Everything that is drawn: the tiles, and `histogram` and `density` as `widgets.counts` makes them.
    code : str
        The same as a script: it loads the results and makes `view`.

    Raises
    ------
    InvalidOptionError
        If the frame lacks a column that is drawn, or a tolerance is no number of points above 0.

    Examples
    --------
    >>> import auditkit as ak
    >>> import auditkit.widgets as akw
    >>> explorer = akw.DeviationExplorer(ak.load_results("run-001", source="sample_data/runs"))
    >>> explorer.counts["bias"], explorer.counts["types"]
    (7.0, {'none': 2, 'minor': 3, 'major': 1, 'critical': 2})
    >>> explorer.filter = ak.Filter(difference=(5, None))
    >>> explorer
    DeviationExplorer(5 of 8 results)
    """

    _esm = script("explorer.js")
    _css = style("base.css", "explorer.css")

    counts: Any = traitlets.Dict().tag(sync=True)
    tolerance: Any = traitlets.TraitType((5, 15)).tag(sync=True)

    def __init__(self, results: pd.DataFrame | Inspection, *, source: Any = None, tolerance: Any = (5, 15)):
        self.inspection = Inspection.of(results, source)
        self._sheet: Sheet | None = None
        super().__init__(tolerance=tolerance)
        self.counts = self._counted()
        self.inspection.observe(self._follow, ["sheet", "conditions"])
        self.inspection.checks.append(_binned)  # says what is wrong before anybody looks at it

    def __repr__(self) -> str:
        return f"DeviationExplorer({self.counts['shown']} of {self.counts['total']} results)"

    @property
    def code(self) -> str:
        """The results shown as a script that loads and filters them."""
        return snippet(*self.inspection.code_of_view())

    def static_html(self) -> str:
        """The tiles, and the counts by deviation type and by action taken."""
        counts, shown = self.counts, self.counts["shown"]
        title = f"Deviations: {shown:,} of {counts['total']:,} results"
        means = [points(counts["bias"], signed=True), points(counts["mean_absolute_deviation"])]
        tables = [(title, {"Mean difference (bias)": means[0], "Mean absolute deviation": means[1]})]
        decided = counts["actions"] | {"undecided": counts["undecided"]}
        for caption, numbered in (("Deviation types", counts["types"]), ("Actions taken", decided)):
            tables.append((caption, {name: f"{n:,} ({share(n, shown)})" for name, n in numbered.items()}))
        return "".join(rows_html(caption, list(row), [list(row.values())]) for caption, row in tables)

    @traitlets.validate("tolerance")
    def _tolerance_in_points(self, proposal: Any) -> tuple[float, ...]:
        given = proposal["value"]
        values: list[Any] = (
            list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [None]
        )
        if len(values) > _MOST_TOLERANCES or not all(map(_is_distance, values)):
            raise InvalidOptionError(
                f"tolerance={given!r} draws no lines. "
                f"Give up to {_MOST_TOLERANCES} numbers of points above 0, such as (5, 15)."
            )
        return tuple(sorted({int(value) if value == int(value) else float(value) for value in values}))

    def _follow(self, change: Any) -> None:
        self.counts = self._counted()
        self.tell("results" if change["name"] == "sheet" else "filter")

    def _counted(self) -> dict[str, Any]:
        inspection, binned = self.inspection, self._binned()
        shown = inspection.mask()
        around = {own: self._mask_without(own, shown) for own in (DIFFERENCE, SCORES)}
        asked = inspection.conditions
        return {
            **binned.tiles(shown),
            "histogram": binned.histogram(around[DIFFERENCE], shown),
            "density": binned.density(around[SCORES], shown),
            "asked": {name: list(asked[name].value) for name in (*DIFFERENCE, *SCORES) if name in asked},
            "filter": _words(inspection.filter),
        }

    def _mask_without(self, own: tuple[str, ...], shown: np.ndarray) -> np.ndarray:
        """Which rows meet the conditions but those that a drawing sets itself."""
        return self.inspection.mask(without=own) if set(own) & set(self.inspection.conditions) else shown

    def _binned(self) -> Binned:
        """The rows of the sheet with their bins, worked out once for each sheet."""
        if self._sheet is not self.inspection.sheet:
            self._bins = _binned(self.inspection.sheet)
            self._sheet = self.inspection.sheet
        return self._bins

    def _do_brush(self, question: dict[str, Any]) -> Answer:
        """Ask for other ranges; one on its way (`passing`) is left out if it could cost marks."""
        if question.get("passing") and self.inspection.marks.any():
            return {}
        conditions = question["conditions"]
        for name in conditions:
            if name not in (*DIFFERENCE, *SCORES):
                raise InvalidOptionError(
                    f"{name!r} is not drawn here. Filter it in the table, or from a cell."
                )
        self.say("")
        self.inspection.filter = self.inspection.filter.replace(**conditions)
        return {}

    def _do_clear(self, question: dict[str, Any]) -> Answer:
        self.say("")
        self.inspection.filter = Filter()
        return {}


def points(value: float | None, signed: bool = False) -> str:
    """A mean in words, `+0.74 points`; a dash if there is none."""
    if value is None:
        return "–"
    rounded = round(value, 2) + 0.0  # takes the sign from -0.0
    return f"{rounded:{'+' if signed and rounded else ''},.2f} points"


def share(count: int, total: int) -> str:
    """How much of a total; what is there does not round to nothing, nor what is not whole to the whole."""
    if not total:
        return "–"
    percent = 100 * count / total
    if count and percent < 0.05:
        return "< 0.1 %"
    return "> 99.9 %" if count < total and percent >= 99.95 else f"{percent:.1f} %"


def _binned(sheet: Sheet) -> Binned:
    user, ai, deviation = (_numbers(sheet, name) for name in _NUMBERS)
    types = _places(sheet, "deviation_type", TYPES)
    return Binned(user, ai, deviation, types, _places(sheet, "action_taken", DECISIONS))


def _numbers(sheet: Sheet, name: str) -> np.ndarray:
    """A column as floats, NaN where missing."""
    values: np.ndarray = _column(sheet, name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _places(sheet: Sheet, name: str, names: tuple[str, ...]) -> np.ndarray:
    """The place of each value in the names, of which the last stands for missing."""
    column = _column(sheet, name).cast(pa.string())
    known = pc.index_in(column, value_set=pa.array(names[:-1], pa.string()))
    if known.null_count > column.null_count:
        strange = column.filter(pc.and_(pc.is_null(known), pc.is_valid(column)))[0].as_py()
        raise InvalidOptionError(
            f"{strange!r} is no value of {name}: it is one of {', '.join(names[:-1])}. "
            "Take the frame from load_results."
        )
    places: np.ndarray = pc.fill_null(known, len(names) - 1).to_numpy(zero_copy_only=False)
    return places


def _column(sheet: Sheet, name: str) -> pa.Array:
    if name not in sheet.fields:
        raise InvalidOptionError(f"The frame needs one column {name}. Take it from load_results.")
    return sheet.column(name)


def _is_distance(value: Any) -> bool:
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and float(value) > 0
    )


def _words(filter: Filter) -> str:
    words = "; ".join(
        f"{FILTER_FIELDS[name].label or name} {asked}" for name, asked in filter.words().items()
    )
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"
