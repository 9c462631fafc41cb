"""ExportPanel: what is looked at as files, with a receipt for each, to be downloaded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pandas as pd
import traitlets

from auditkit.errors import AuditkitError, BatchError, InvalidOptionError, InvalidRunError
from auditkit.formats.base import WriteOptions
from auditkit.html import receipt_html, rows_html
from auditkit.receipts import ExportReceipt
from auditkit.sources import open_source
from auditkit.widgets import settings
from auditkit.widgets.assets import script, style
from auditkit.widgets.base import Answer, AuditWidget
from auditkit.widgets.calls import Call, call_of, lines_before
from auditkit.widgets.choices import SCOPES, Choice, choices, counted
from auditkit.widgets.delivery import Delivery
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.outcome import done, facts, other_rows, reason, undone
from auditkit.widgets.settings import Setting
from auditkit.widgets.shared import Shared
from auditkit.widgets.snippets import script as snippet
from auditkit.widgets.watched import WatchedSource

_DEFAULTS = WriteOptions()
_SETTINGS = ("scope", "format", "output_dir", "name", *vars(_DEFAULTS))
_TOLD_EVERY_SECONDS = 0.1
_MOST_DOWNLOADS = 8
_STATIC_RECEIPTS = 10


class ExportPanel(Shared, AuditWidget):
    """What an inspection shows, exported by the functions that a script calls.

    Parameters
    ----------
    results : DataFrame or Inspection
        As from `load_results`; an inspection is shared with other widgets.
    source : path, URL or Source, optional
        Where the results come from, and are read again for an export. Left out: `AUDITKIT_SOURCE`.

    Attributes
    ----------
    scope : {"view", "selected", "runs", "run"}
        What to export: the results that the filter asks for, the selected ones of them, every run as a
        file of its own, or the one run.
    format : str
        `csv`, `json`, `jsonl`, `parquet`, or an installed one.
    output_dir : path
    name : str
        What a view or a selection is called in its file name; empty: `view` or `selected`.
    include_metadata, flatten_results, formula_guard, excel, compression
        As for `export_audit_run`; what means nothing to the format is left out.
    progress : float or None
        How much of the export under way is done, 0 to 1.
    receipts : list of ExportReceipt
        Of every export, the last one last.
    code : str
        The export as a script.

    Examples
    --------
    >>> import auditkit as ak
    >>> import auditkit.widgets as akw
    >>> results = ak.load_results("run-001", source="sample_data/runs")
    >>> panel = akw.ExportPanel(results, source="sample_data/runs", output_dir=folder)
    >>> panel.filter = ak.Filter(deviation=(20, None))
    >>> panel
    ExportPanel(the filtered view: 3 of 8 results, as csv)
    >>> [receipt] = panel.export()
    >>> receipt.rows, receipt.filter
    (3, Filter(deviation=(20, None)))
    """

    _esm = script("panel.js")
    _css = style("base.css", "panel.css")

    scope = Setting("view", settings.one_of(*SCOPES))
    format = Setting("csv", settings.known_format)
    output_dir = Setting("exports", settings.folder)
    name = Setting("", settings.part_of_file_name)
    include_metadata = Setting(_DEFAULTS.include_metadata, settings.yes_or_no)
    flatten_results = Setting(_DEFAULTS.flatten_results, settings.yes_or_no)
    formula_guard = Setting(_DEFAULTS.formula_guard, settings.yes_or_no)
    excel = Setting(_DEFAULTS.excel, settings.yes_or_no)
    compression = Setting(_DEFAULTS.compression, settings.known_compression)
    progress: Any = traitlets.Float(None, allow_none=True).tag(sync=True)
    receipts: Any = traitlets.List(traitlets.Instance(ExportReceipt)).tag(
        sync=True, to_json=lambda receipts, panel: [facts(receipt) for receipt in receipts]
    )
    _known: Any = traitlets.Dict().tag(sync=True)
    _choices: Any = traitlets.Dict().tag(sync=True)
    _heeded: Any = traitlets.List().tag(sync=True)

    def __init__(self, results: pd.DataFrame | Inspection, *, source: Any = None, **traits: Any):
        self.inspection = Inspection.of(results, source)
        self._deliveries: OrderedDict[str, Delivery] = OrderedDict()
        self._told = 0.0
        super().__init__(**traits)
        self._known = {"formats": settings.formats(), "compressions": list(settings.COMPRESSIONS)}
        self._refresh()
        self.inspection.observe(self._follow, ["sheet", "conditions", "marking", "run_ids"])

    def __repr__(self) -> str:
        choice = self.choice
        what = f"{choice.label[0].lower()}{choice.label[1:]}: {choice.reason or choice.amount}"
        return f"ExportPanel({what.removesuffix('.')}, as {self.format})"

    @property
    def choice(self) -> Choice:
        """What the scope stands for at the moment."""
        return choices(self.inspection, self.format)[self.scope]

    @property
    def code(self) -> str:
        """The export as a script; where there is nothing to export it says so."""
        return snippet(*lines_before(self.inspection, self.scope), *self.code_of_call())

    def code_of_call(self) -> list[str]:
        """The line that exports, or a comment that says why there is nothing to export."""
        reason = self.choice.reason
        return [f"# {reason}" if reason else self._call().line(self.inspection.source)]

    def export(self) -> list[ExportReceipt]:
        """Export what the scope stands for, as a click does.

        Returns
        -------
        list of ExportReceipt
            One for each file.

        Raises
        ------
        InvalidOptionError
            If there is nothing to export.
        AuditkitError, OSError
            As the exporting functions do; the receipts of a batch of which a part failed are kept.
        """
        self.say("")
        choice = self.choice
        if choice.reason:
            raise InvalidOptionError(choice.reason)
        promised = self._promised()
        with self._under_way():
            source = WatchedSource(open_source(self.inspection.source), self._advance)
            try:
                receipts = self._call().make(source)
            except BatchError as error:
                self.receipts = [*self.receipts, *error.receipts]
                raise
        self.receipts = [*self.receipts, *receipts]
        if promised is not None and receipts[0].rows != promised:
            self.say(other_rows(receipts[0], promised), "error")
        else:
            self.say(done(receipts, self.output_dir))
        return receipts

    def static_html(self) -> str:
        """What would be exported, and the receipts."""
        choice = self.choice
        title = f"{choice.label}: {choice.reason or choice.amount}"
        what = rows_html("Export", ["What", "Format", "Folder"], [[title, self.format, self.output_dir]])
        last = [receipt_html(receipt) for receipt in reversed(self.receipts[-_STATIC_RECEIPTS:])]
        more = len(self.receipts) - len(last)
        rest = f"<p>{counted(more, 'earlier export')} not shown.</p>" if more else ""
        return "".join([what, *last, rest])

    def _promised(self) -> int | None:
        """How many results the page shows for the scope; None for whole runs."""
        rows = {"view": self.inspection.mask, "selected": lambda: self.inspection.marks}.get(self.scope)
        return None if rows is None else int(rows().sum())

    def _call(self) -> Call:
        options = WriteOptions(
            **{name: getattr(self, name) for name in settings.heeded(self.format)}
        ).changed()
        if self.output_dir != "exports":
            options["output_dir"] = self.output_dir
        return call_of(self.inspection, self.scope, self.name, self.format, options)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        self._told = time.monotonic()
        self.progress = 0.0
        try:
            yield
            self.progress = 1.0
        finally:
            self.progress = None

    def _advance(self, streamed: int, declared: int) -> None:
        now = time.monotonic()
        if now - self._told >= _TOLD_EVERY_SECONDS:
            self._told = now
            share = streamed / max(declared, len(self.inspection.sheet), 1)
            self.progress = max(self.progress, min(share, 1.0))

    @traitlets.observe("format")
    def _refresh(self, change: Any = None) -> None:
        self._heeded = list(settings.heeded(self.format))
        self._choices = {name: asdict(one) for name, one in choices(self.inspection, self.format).items()}

    def _follow(self, change: Any) -> None:
        self._refresh()
        if change["name"] == "sheet":
            self.tell("results")
        if change["name"] in ("sheet", "conditions"):
            self.tell("filter")

    def _do_set(self, question: dict[str, Any]) -> Answer:
        """Take in what was chosen on the page."""
        self.say("")
        if question["name"] in _SETTINGS:
            setattr(self, question["name"], question["value"])
        return {}

    def _do_export(self, question: dict[str, Any]) -> Answer:
        """The same as `export`, failures in words."""
        try:
            self.export()
        except BatchError as error:
            self.say(undone(error), "error")
        except InvalidRunError as error:
            self.say(reason(error), "error")
        except KeyboardInterrupt:
            self.say("The export was interrupted. Start it again: a file that is whole is kept.", "error")
        return {}

    def _do_chunk(self, question: dict[str, Any]) -> Answer:
        """Some bytes of the file of a receipt, for a download that the page has given a name."""
        offset, name = question["offset"], str(question.get("download"))
        if offset == 0:
            if self.message["kind"] == "error":
                self.say("")
            self._deliveries[name] = Delivery(self._receipt(question["receipt"]))
            if len(self._deliveries) > _MOST_DOWNLOADS:
                self._deliveries.popitem(last=False)
        if name not in self._deliveries:
            raise AuditkitError("The download lost its place. Start it again.")
        data, last = self._deliveries[name].chunk(offset)
        if last:
            del self._deliveries[name]
        return {"size": len(data), "last": last, "buffers": [data]}

    def _receipt(self, number: Any) -> ExportReceipt:
        if not isinstance(number, int) or not 0 <= number < len(self.receipts):
            raise AuditkitError("There is no such receipt any more. Export it again.")
        receipt: ExportReceipt = self.receipts[number]
        return receipt
