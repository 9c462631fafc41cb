"""An order for files: a format with its options and a destination, for each run or for a selection."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from auditkit.destination import Destination, open_destination
from auditkit.errors import InvalidOptionError
from auditkit.exportlog.tasks import TASK, TasksDone
from auditkit.filters import Filter
from auditkit.formats import BUILT_IN, get_format
from auditkit.formats.base import COMPRESSION_SUFFIXES, SelectionFormat, Sink, WriteOptions
from auditkit.naming import (
    export_date,
    manifest_file_name,
    part_file_name,
    run_file_name,
    selection_file_name,
)
from auditkit.orders.once import Once, absolute, again
from auditkit.orders.tally import ROWS_CHOSEN, Tally, Ticket, chosen, counted, how_chosen
from auditkit.publish import Draft, Published, publish
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun, HeaderChanged
from auditkit.selection import Rows
from auditkit.store import Location

_GROUP = 64

log = logging.getLogger("auditkit")
log.addHandler(logging.NullHandler())  # a library says nothing unless it is asked


class Order:
    """A format with its options and the destination of its files."""

    def __init__(self, format: str, options: WriteOptions, destination: Destination):
        self._name = format
        self._format = get_format(format, options)
        self._options = options
        self._to = destination
        self._day: str | None = None
        self._once = Once()
        self._compression = None if format == "parquet" else options.compression
        packed = COMPRESSION_SUFFIXES[self._compression] if self._compression else ""
        self._suffix = self._format.suffix + packed + destination.suffix
        if not options.formula_guard:
            log.warning("exporting %s without the formula guard to %s", format, destination.folder)

    def prepare(self, runs: Iterable[AuditRun | Exception], source: str | None) -> None:
        """Know where the runs come from; with pseudonyms, read them once for their ids."""
        self._to = self._to.of([run for run in runs if isinstance(run, AuditRun)], source)

    @property
    def folder(self) -> Location:
        """Where the files are to be."""
        return self._to.folder

    @property
    def is_built_in(self) -> bool:
        """Whether the format comes with the package."""
        return self._name in BUILT_IN

    @property
    def replaces(self) -> bool:
        """Whether a file takes the place of another one."""
        return self._to.if_exists == "replace"

    def of_one_day(self) -> Order:
        """The same, with the date of now in all its names."""
        order = copy.copy(self)
        order._day = self._day or export_date()
        return order

    def of_batch(self, batch: str) -> Order:
        """The same for workers elsewhere: paths from the root, a fixed day, each task done once."""
        order = self.of_one_day()
        order._to = absolute(self._to)
        order._once = Once.of(order._to, batch)
        return order

    def export(
        self, runs: Sequence[AuditRun | Exception], tickets: Sequence[Ticket] = ()
    ) -> list[ExportReceipt | Exception]:
        """A receipt for each run, or why there is none; the files are made as a group."""
        return self._to.with_checksums(self._exported(runs, tickets or [Ticket()] * len(runs)))

    def _exported(
        self, runs: Sequence[AuditRun | Exception], tickets: Sequence[Ticket]
    ) -> list[ExportReceipt | Exception]:
        drafts: dict[int, Draft] = {}
        facts: dict[int, Callable[[], dict[str, Any]]] = {}
        outcomes: list[Any] = list(runs)
        before = self._once.done_before(tickets)
        for index, (run, ticket) in enumerate(zip(runs, tickets, strict=True)):
            if not isinstance(run, AuditRun):
                continue
            tally, written = Tally(), self._to.disguised(run)
            facts[index] = partial(self._facts, [written], [tally], partial(_as_is, how_chosen(run, ticket)))
            if ticket.task in before:
                outcomes[index] = again(before[ticket.task], self._to.folder, facts[index]())
                continue
            write = partial(self._write_run, written, tally)
            draft = self._draft(self._name_of(written, ticket), write, facts[index], ticket.task)
            refusal = self._to.refusal(draft.name)
            if refusal is None:
                drafts[index] = draft
            else:
                outcomes[index] = refusal
            self._warn_of_absent(run)
        started = time.perf_counter()
        log = self._once.log([tickets[index] for index in drafts], self._to)
        try:
            published = publish(list(drafts.values()), if_exists=self._to.if_exists, log=log)
        except TasksDone:  # somebody else did some of them meanwhile
            return self._exported(runs, tickets)
        for index, outcome in zip(drafts, published, strict=True):
            if isinstance(outcome, HeaderChanged):
                outcomes[index] = self._exported([outcome.run], [tickets[index]])[0]
            elif isinstance(outcome, Exception):
                outcomes[index] = outcome
            else:
                outcomes[index] = self._receipt(outcome, facts[index](), started)
        return outcomes

    def _name_of(self, run: AuditRun, ticket: Ticket) -> str:
        if ticket.part is not None:
            return part_file_name(run.id, ticket.part, self._suffix, self._day)
        name = run_file_name if run.positions is None else selection_file_name
        return name(run.id, self._suffix, self._day)

    def export_in_groups(self, runs: Sequence[AuditRun | Exception]) -> Iterator[ExportReceipt | Exception]:
        """The same, group by group, as they are done: a group shares what has to be synced to disk."""
        for start in range(0, len(runs), _GROUP):
            yield from self.export(runs[start : start + _GROUP])

    def export_manifest(
        self, run: AuditRun, parts: Sequence[ExportReceipt], data: bytes, started: float
    ) -> ExportReceipt:
        """The file that lists the parts of a run."""
        written = self._to.disguised(run)
        rows = sum(part.rows for part in parts)
        tallies = [Tally(total=rows)]
        facts = partial(self._facts, [written], tallies, partial(_as_is, f"{len(parts):,} parts"))
        name = manifest_file_name(written.id, self._to.suffix, self._day)
        draft = dataclasses.replace(self._draft(name, partial(_write, data), facts), compression=None)
        receipt = self._published(draft, facts, started)
        return dataclasses.replace(receipt, parts=tuple(parts), filter=None)

    def export_selection(
        self, runs: Sequence[AuditRun], places: Mapping[str, Rows], name: str, filter: Filter
    ) -> ExportReceipt:
        """One file with the chosen rows of some runs, those of them that the filter asks for."""
        started = time.perf_counter()
        tallies = [Tally() for _ in runs]
        picked = [
            self._to.disguised(chosen(run, places[run.id], filter, tally))
            for run, tally in zip(runs, tallies, strict=True)
        ]
        facts = partial(self._facts, picked, tallies, partial(self._how_chosen, filter, tallies))
        write = partial(self._write_selection, picked)
        file_name = selection_file_name(self._to.disguised_text(name), self._suffix)
        try:
            return self._published(self._draft(file_name, write, facts), facts, started)
        except HeaderChanged as change:
            changed = change.run  # under the same id: a source lets none change it
        again = [changed if run.id == changed.id else run for run in runs]
        return self.export_selection(again, places, name, filter)

    def _published(self, draft: Draft, facts: Callable[[], dict[str, Any]], started: float) -> ExportReceipt:
        refusal = self._to.refusal(draft.name)
        if refusal is not None:
            raise refusal
        (outcome,) = publish([draft], if_exists=self._to.if_exists, log=self._to.log)
        if isinstance(outcome, Exception):
            raise outcome
        (receipt,) = self._to.with_checksums([self._receipt(outcome, facts(), started)])
        if isinstance(receipt, ExportReceipt):
            return receipt
        raise receipt

    def _warn_of_absent(self, run: AuditRun) -> None:
        if run.absent_fields and self._format.name == "json" and not self._options.flatten_results:
            log.warning(
                "run %r lacks %s: nested JSON without them is no native run and cannot be loaded again",
                run.id,
                ", ".join(run.absent_fields),
            )

    def _draft(
        self,
        name: str,
        write: Callable[[Sink], None],
        facts: Callable[[], dict[str, Any]],
        task: str | None = None,
    ) -> Draft:
        return Draft(
            folder=self._to.folder,
            name=name,
            write=write,
            compression=self._compression,
            seal=self._to.seal,
            mode=self._to.mode,
            about=partial(self._about, facts, task),
        )

    def _write_run(self, run: AuditRun, tally: Tally, sink: Sink) -> None:
        self._format.write(dataclasses.replace(run, batches=partial(counted, run, tally)), sink)

    def _write_selection(self, runs: Sequence[AuditRun], sink: Sink) -> None:
        if not isinstance(self._format, SelectionFormat):
            raise InvalidOptionError(
                f"The format {self._name!r} cannot hold rows of several runs. Export them run by run."
            )
        self._format.write_selection(runs, sink)

    def _facts(
        self,
        runs: Iterable[AuditRun],
        tallies: Sequence[Tally],
        how_chosen: Callable[[], Filter | str | None],
    ) -> dict[str, Any]:
        """What is known of a file once it is written, for its receipt and for the log."""
        return {
            "format": self._name,
            "run_ids": tuple(run.id for run in runs),
            "rows": sum(tally.rows for tally in tallies),
            "rows_total": sum(tally.total for tally in tallies),
            "options": self._options.changed() | self._to.changed(),
            "filter": how_chosen(),
            "absent_fields": tuple(sorted({name for run in runs for name in run.absent_fields})),
        }

    def _how_chosen(self, filter: Filter, tallies: Sequence[Tally]) -> Filter | str:
        if not filter:
            return ROWS_CHOSEN
        shown = self._to.disguised_filter(filter)
        whole = all(tally.named == tally.total for tally in tallies)
        return shown if whole else f"{ROWS_CHOSEN}, of them {shown}"

    def _about(self, facts: Callable[[], dict[str, Any]], task: str | None) -> dict[str, Any]:
        known = facts()
        filter = known["filter"]
        about = {
            "format": known["format"],
            "run_ids": list(known["run_ids"]),
            "rows": f"{known['rows']} of {known['rows_total']}",
            "options": known["options"],
            "filter": filter.to_dict() if isinstance(filter, Filter) else filter,
            "source": self._to.source,
            TASK: task,
        }
        return {name: value for name, value in about.items() if value is not None and value != {}}

    def _receipt(self, published: Published, facts: Mapping[str, Any], started: float) -> ExportReceipt:
        receipt = ExportReceipt(
            path=published.path,
            bytes=published.bytes,
            sha256=published.sha256,
            plain_sha256=published.plain_sha256,
            log_head=published.log_head,
            seconds=time.perf_counter() - started,
            reused=published.reused,
            **facts,
        )
        log.info("%s %s", "kept" if published.reused else "wrote", published.path)
        return receipt


def order_of(format: str, output_dir: str | os.PathLike[str], **options: Any) -> Order:
    """The order that an exporting function is given by its options.

    Raises
    ------
    UnknownFormatError, InvalidOptionError
        Before anything is read or written.
    """
    written = {field.name: options.pop(field.name) for field in dataclasses.fields(WriteOptions)}
    return Order(format, WriteOptions(**written), open_destination(output_dir, **options))


def _write(data: bytes, sink: Sink) -> None:
    sink.write(data)


def _as_is(how_chosen: str | None) -> str | None:
    return how_chosen
