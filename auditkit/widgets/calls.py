"""The call of an exporting function that a panel stands for: made, and written down as a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from auditkit.export import export_audit_run, export_multiple_runs, export_results
from auditkit.filters import Filter
from auditkit.receipts import BatchResult, ExportReceipt
from auditkit.sources import Source
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.snippets import given, narrowing, opening

_QUIET = {export_multiple_runs: {"progress": False}}


@dataclass(frozen=True, kw_only=True)
class Call:
    """An exporting function and what it is given; `word` is how a script calls the first of it."""

    function: Callable[..., Any]
    first: Any
    word: str
    format: str
    options: dict[str, Any]

    def make(self, source: Source) -> list[ExportReceipt]:
        """The receipts of the call."""
        quiet = _QUIET.get(self.function, {})
        made = self.function(self.first, self.format, source=source, **self.options, **quiet)
        return made.receipts if isinstance(made, BatchResult) else [made]

    def line(self, source: Any) -> str:
        """The call as a line of a script."""
        name = "batch" if self.function is export_multiple_runs else "receipt"
        options = "".join(f", {key}={_written(value)}" for key, value in self.options.items())
        return f"{name} = ak.{self.function.__name__}({self.word}, {self.format!r}{options}{given(source)})"


def call_of(inspection: Inspection, scope: str, name: str, format: str, options: dict[str, Any]) -> Call:
    """The call that exports a scope of an inspection."""
    ids = list(inspection.run_ids)
    if scope == "run":
        return Call(
            function=export_audit_run, first=ids[0], word=repr(ids[0]), format=format, options=options
        )
    if scope == "runs":
        return Call(function=export_multiple_runs, first=ids, word=repr(ids), format=format, options=options)
    if scope == "selected":
        rows, word, filter = inspection.selected, "selected", Filter()
    else:
        rows, word, filter = inspection.results, "results", inspection.filter
    options = {"name": name or scope, **({"filter": filter} if filter else {}), **options}
    return Call(function=export_results, first=rows, word=word, format=format, options=options)


def lines_before(inspection: Inspection, scope: str) -> list[str]:
    """The lines of a script that make what the call is given."""
    if scope in ("run", "runs"):
        return opening(inspection.source)
    lines = inspection.code_of_results()
    if scope == "selected":
        lines += [*narrowing(inspection.filter, "results"), *inspection.code_of_selection()]
    return lines


def _written(value: Any) -> str:
    return f"ak.{value!r}" if isinstance(value, Filter) else repr(value)
