"""Workbench: pick runs, see where the scores part, narrow down, save exactly these rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets

from auditkit.errors import AuditkitError
from auditkit.filters import Filter
from auditkit.frames import results_frame
from auditkit.run import AuditRun
from auditkit.schema import RUN_ID
from auditkit.search import SEARCHED
from auditkit.sources import open_source
from auditkit.widgets.base import Answer, sentence
from auditkit.widgets.explorer import DeviationExplorer
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.panel import ExportPanel
from auditkit.widgets.picker import RunPicker
from auditkit.widgets.snippets import script
from auditkit.widgets.table import DeviationTable


class Workbench(ipywidgets.VBox):  # type: ignore[misc]
    """The four widgets on one source: what is picked is explored, what is filtered or selected exported.

    Parameters
    ----------
    source : path, URL or Source, optional
        As for `open_source`. What cannot be read is said in words, and the rest goes on.
    output_dir : path
        Where the panel exports to at first.

    Attributes
    ----------
    picker : RunPicker
    explorer : DeviationExplorer
    table : DeviationTable
    panel : ExportPanel
    code : str
        What is picked, filtered, selected and exported, as a script.

    Examples
    --------
    >>> import auditkit as ak
    >>> import auditkit.widgets as akw
    >>> bench = akw.Workbench("sample_data/runs", output_dir=folder)
    >>> bench.picker.run_ids = ["run-001", "run-006"]
    >>> bench.table.filter = ak.Filter(difference=(40, None))
    >>> bench.panel.scope = "view"
    >>> [receipt] = bench.panel.export()
    >>> f"{receipt.rows} of {receipt.rows_total}", receipt.filter
    ('13 of 1508', Filter(difference=(40, None)))
    """

    def __init__(self, source: Any = None, *, output_dir: Any = "exports"):
        self._held: dict[str, AuditRun] = {}
        self.picker = RunPicker(source)
        self.inspection = Inspection(results_frame([]), source=source)
        self.explorer = DeviationExplorer(self.inspection)
        self.table = DeviationTable(self.inspection)
        self.panel = ExportPanel(self.inspection)
        self.panel.output_dir = output_dir
        super().__init__([self.picker, self.explorer, self.table, self.panel])
        self.add_class("ak-workbench")
        self.picker.observe(self._show, "run_ids")
        self.picker.observe(self._narrow, "found")
        self.picker.observe(self._read_again, "listings")

    def __repr__(self) -> str:
        return f"Workbench({self.picker!r}, {self.table!r})"

    @property
    def code(self) -> str:
        """What is picked, filtered, selected and exported, as a script."""
        lines = [*self.inspection.code_of_view(), *self.inspection.code_of_selection()]
        return script(*lines, *self.panel.code_of_call())

    def static_html(self) -> str:
        """The four widgets as a page without scripts shows them."""
        return "".join(child.static_html() for child in self.children)

    def _show(self, change: Any) -> None:
        """Look at the results of the picked runs, as far as they can be read."""
        self.table.attempt(self._load)

    def _load(self) -> Answer:
        wanted = self.picker.run_ids
        new = [run_id for run_id in wanted if run_id not in self._held]
        if new:
            self.table.say(f"Reading {', '.join(new[:3])}{' …' if len(new) > 3 else ''}")
        held = {run_id: run for run_id, run in self._held.items() if run_id in wanted}
        unread = []
        for run_id, run in self._read(new):
            if isinstance(run, Exception):
                unread.append(sentence(run))
            else:
                held[run_id] = run
        self._held = {run_id: held[run_id] for run_id in wanted if run_id in held}
        runs = self._held.values()
        frame = results_frame([(run.id, run.positions, list(run.batches())) for run in runs])
        self.inspection.show(frame, self._held)
        self._speak(unread)
        return {}

    def _read(self, run_ids: list[str]) -> Iterator[tuple[str, AuditRun | Exception]]:
        """The runs, each loaded or with the reason why not; without its source all of them lack it."""
        try:
            found = open_source(self.picker.source).load(run_ids) if run_ids else ()
            yield from zip(run_ids, found, strict=True)
        except (AuditkitError, OSError) as error:
            yield run_ids[0], error

    def _speak(self, unread: list[str]) -> None:
        rest = ["The other picked runs are shown."] if unread and self._held else []
        words = [
            f"{run.id} is still running: more results may come."
            for run in self._held.values()
            if run.status == "running"
        ]
        sizes = self.inspection.results.run_id.value_counts()
        words += [f"{run_id} has no results." for run_id in self._held if run_id not in sizes]
        self.table.say(" ".join([*unread, *rest, *words]), "error" if unread else "info")

    def _narrow(self, change: Any) -> None:
        """Show the results that the picker has found, as they are now, and no others."""
        found = change["new"]
        if len(found):
            same = [name for name in SEARCHED if (found[name] == self.picker.sought).all()]
            self.inspection.filter = Filter(**dict.fromkeys(same[:1], (self.picker.sought,)))
            for run_id in found[RUN_ID].unique():
                self._held.pop(run_id, None)
            if set(found[RUN_ID]) == set(self.picker.run_ids):  # else they are picked next, and shown then
                self._show(change)

    def _read_again(self, change: Any) -> None:
        """Read the picked runs anew: they may have changed."""
        self._held.clear()
        self._show(change)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs), {}
        if isinstance(data, tuple):
            data, metadata = data
        return {**data, "text/html": self.static_html()}, metadata
