"""Shared: the filter and the results of an inspection as traits of a widget that shows it."""

from __future__ import annotations

import pandas as pd
import traitlets

from auditkit.filters import Filter
from auditkit.widgets.base import Made
from auditkit.widgets.inspection import Inspection


class Shared(traitlets.HasTraits):
    """A widget of an inspection: what is set here is seen by all that show it."""

    filter = Made("_get_filter", "_set_filter")
    results = Made("_get_results", "_set_results")

    inspection: Inspection

    def _get_filter(self) -> Filter:
        return self.inspection.filter

    def _set_filter(self, filter: Filter) -> None:
        self.inspection.filter = filter

    def _get_results(self) -> pd.DataFrame:
        return self.inspection.results

    def _set_results(self, results: pd.DataFrame) -> None:
        self.inspection.show(results)
