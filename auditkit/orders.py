"""An order for files: a format with its options and a folder, carried out run by run or as a selection."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from auditkit.errors import InvalidOptionError
from auditkit.filters import Filter
from auditkit.formats import get_format
from auditkit.formats.base import COMPRESSION_SUFFIXES, SelectionFormat, Sink, WriteOptions
from auditkit.naming import run_file_name, selection_file_name
from auditkit.publish import Draft, IfExists, Published, publish
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun, Batches, HeaderChanged
from auditkit.selection import Rows, matching, picked_rows

_ROWS_CHOSEN = "rows chosen by run_id and position"

log = logging.getLogger("auditkit")
log.addHandler(logging.NullHandler())  # a library says nothing unless it is asked


@dataclass
class Tally:
    """How many results were read, how many of them were named, and how many written."""

    total: int = 0
    named: int = 0
    picked: int | None = None

    @property
    def rows(self) -> int:
        """How many results were written."""
        return self.total if self.picked is None else self.picked


class Order:
    """A format with its options and the place where its files go."""

    def __init__(
        self, format: str, options: WriteOptions, output_dir: str | os.PathLike[str], if_exists: IfExists
    ):
        self._name = format
        self._format = get_format(format, options)
        self._options = options
        self._folder = Path(output_dir)
        self._if_exists: IfExists = if_exists
        self._compression = None if format == "parquet" else options.compression
        packed = COMPRESSION_SUFFIXES[self._compression] if self._compression else ""
        self._suffix = self._format.suffix + packed
        if not options.formula_guard:
            log.warning("exporting %s without the formula guard to %s", format, self._folder)

    def export(self, runs: Sequence[AuditRun | Exception]) -> list[ExportReceipt | Exception]:
        """A receipt for each run, or why there is none; the files are made as a group."""
        drafts: dict[int, Draft] = {}
        tallies = [Tally() for _ in runs]
        outcomes: list[Any] = list(runs)
        for index, run in enumerate(runs):
            if isinstance(run, AuditRun):
                name = run_file_name if run.positions is None else selection_file_name
                write = partial(self._write_run, run, tallies[index])
                drafts[index] = self._draft(name(run.id, self._suffix), write)
                self._warn_of_absent(run)
        started = time.perf_counter()
        published = publish(list(drafts.values()), if_exists=self._if_exists)
        for index, outcome in zip(drafts, published, strict=True):
            if isinstance(outcome, HeaderChanged):
                outcomes[index] = self.export([outcome.run])[0]
            elif isinstance(outcome, Exception):
                outcomes[index] = outcome
            else:
                run = outcomes[index]
                filter = None if run.positions is None else _ROWS_CHOSEN
                outcomes[index] = self._receipt(outcome, [run], [tallies[index]], started, filter)
        return outcomes

    def export_selection(
        self, runs: Sequence[AuditRun], places: Mapping[str, Rows], name: str, filter: Filter
    ) -> ExportReceipt:
        """One file with the chosen rows of some runs, those of them that the filter asks for."""
        started = time.perf_counter()
        tallies = [Tally() for _ in runs]
        chosen = [
            _chosen(run, places[run.id], filter, tally) for run, tally in zip(runs, tallies, strict=True)
        ]
        write = partial(self._write_selection, chosen)
        draft = self._draft(selection_file_name(name, self._suffix), write)
        (outcome,) = publish([draft], if_exists=self._if_exists)
        if isinstance(outcome, HeaderChanged):
            changed = outcome.run  # under the same id: a source lets none change it
            again = [changed if run.id == changed.id else run for run in runs]
            return self.export_selection(again, places, name, filter)
        if isinstance(outcome, Exception):
            raise outcome
        return self._receipt(outcome, runs, tallies, started, _how_chosen(filter, tallies))

    def _warn_of_absent(self, run: AuditRun) -> None:
        if run.absent_fields and self._format.name == "json" and not self._options.flatten_results:
            log.warning(
                "run %r lacks %s: nested JSON without them is no native run and cannot be loaded again",
                run.id,
                ", ".join(run.absent_fields),
            )

    def _draft(self, name: str, write: Callable[[Sink], None]) -> Draft:
        return Draft(folder=self._folder, name=name, write=write, compression=self._compression)

    def _write_run(self, run: AuditRun, tally: Tally, sink: Sink) -> None:
        self._format.write(dataclasses.replace(run, batches=partial(_counted, run, tally)), sink)

    def _write_selection(self, runs: Sequence[AuditRun], sink: Sink) -> None:
        if not isinstance(self._format, SelectionFormat):
            raise InvalidOptionError(
                f"The format {self._name!r} cannot hold rows of several runs. Export them run by run."
            )
        self._format.write_selection(runs, sink)

    def _receipt(
        self,
        published: Published,
        runs: Sequence[AuditRun],
        tallies: Sequence[Tally],
        started: float,
        filter: Filter | str | None = None,
    ) -> ExportReceipt:
        receipt = ExportReceipt(
            path=published.path,
            format=self._name,
            run_ids=tuple(run.id for run in runs),
            rows=sum(tally.rows for tally in tallies),
            rows_total=sum(tally.total for tally in tallies),
            bytes=published.bytes,
            sha256=published.sha256,
            options=self._options.changed(),
            filter=filter,
            absent_fields=tuple(sorted({name for run in runs for name in run.absent_fields})),
            log_head=None,
            seconds=time.perf_counter() - started,
            reused=published.reused,
        )
        log.info("%s %s", "kept" if published.reused else "wrote", published.path)
        return receipt


def _counted(run: AuditRun, tally: Tally) -> Batches:
    tally.total = 0
    for batch in run.batches():
        tally.total += len(batch)
        yield batch
    if run.whole_rows is not None:
        tally.picked, tally.total = tally.total, run.whole_rows


def _chosen(run: AuditRun, rows: Rows, filter: Filter, tally: Tally) -> AuditRun:
    """The rows of a run that are named and asked for; `positions` are all that are named."""
    named = picked_rows(dataclasses.replace(run, batches=partial(_counted, run, tally)), rows)
    tally.named = len(rows.positions)
    return dataclasses.replace(named, batches=partial(_asked_for, named, filter, tally))


def _asked_for(run: AuditRun, filter: Filter, tally: Tally) -> Batches:
    tally.picked = 0
    for batch in matching(run, filter):
        tally.picked += len(batch)
        yield batch


def _how_chosen(filter: Filter, tallies: Sequence[Tally]) -> Filter | str:
    if not filter:
        return _ROWS_CHOSEN
    whole = all(tally.named == tally.total for tally in tallies)
    return filter if whole else f"{_ROWS_CHOSEN}, of them {filter!r}"
