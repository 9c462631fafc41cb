"""One huge run as numbered parts, each an export of its own, and a manifest that comes last."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditkit.errors import BatchError, InvalidOptionError, InvalidRunError
from auditkit.orders import Order
from auditkit.orders.batch import export_each
from auditkit.receipts import BatchResult, ExportReceipt
from auditkit.run import AuditRun, Batches, HeaderChanged
from auditkit.scan import Scan, count_results, scan
from auditkit.sources.parted import KIND, VERSION, hash_of_parts

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pyarrow as pa

ROWS_A_PART = 1_000_000


def part_rows(parts: object, *, by_workers: bool) -> int:
    """How many rows a part is to have; 0: the run is not to be parted.

    Raises
    ------
    InvalidOptionError
        If `parts` is no such number, or if workers are to export a run that is not parted.
    """
    if isinstance(parts, bool):
        rows = ROWS_A_PART if parts else 0
    elif isinstance(parts, int) and parts > 0:
        rows = parts
    else:
        raise InvalidOptionError(
            f"parts={parts!r} is not a number of rows. Give True, or the rows of a part, 1 or more."
        )
    if by_workers and not rows:
        raise InvalidOptionError(
            "executor= and jobs= make the parts of a run. Give parts=True, too, or leave them out."
        )
    return rows


def export_in_parts(
    order: Order, run: AuditRun, rows: int, executor: Executor | None, jobs: int
) -> ExportReceipt:
    """The receipt of the manifest, with those of the parts.

    Raises
    ------
    BatchError
        If some parts failed; the others are kept, and there is no manifest.
    """
    if order.replaces:
        raise InvalidOptionError(
            "if_exists='replace' would tear a run in parts that stands there, part by part. Leave it out: "
            "parts with other bytes take the next free names, and the manifest says which belong together."
        )
    started, order = time.perf_counter(), order.of_one_day()
    run, parts = cut(run, rows)
    found = dict(export_each(order, parts, executor, jobs, parts=True))
    outcomes = [found[place] for place in range(len(parts))]
    result = BatchResult.of([f"{run.id}, part {place + 1}" for place in range(len(parts))], outcomes)
    if result.failures:
        raise _incomplete(run, result, len(parts))
    return order.export_manifest(run, result.receipts, manifest(result.receipts), started)


def _incomplete(run: AuditRun, result: BatchResult, count: int) -> BatchError:
    first = result.failures[0]
    return BatchError(
        f"{len(result.failures)} of {count} parts of run {run.id!r} could not be exported, first "
        f"{first.run_id.rpartition(', ')[2]}: {first.error} No manifest was written: the other parts are "
        "kept, and are not written again when you export it once more. `.failures` of this error lists "
        "each with its reason.",
        result,
    )


def cut(run: AuditRun, rows: int) -> tuple[AuditRun, list[AuditRun]]:
    """The run as it is known by its end, and its parts: the same header, each some rows; one at least."""
    if run.positions is not None:
        raise InvalidOptionError(
            f"What was selected of run {run.id!r} is not written in parts. Export it without parts=."
        )
    try:
        held = tuple(run.batches()) if run.in_memory else None
        total = count_results(run) if held is None else sum(map(len, held))
    except HeaderChanged as change:
        return cut(change.run, rows)
    ends = [(start, min(start + rows, total)) for start in range(0, max(total, 1), rows)]
    return run, [
        dataclasses.replace(
            run,
            batches=Streamed(run, *part) if held is None else Held(_taken(held, *part), *part),
            whole_rows=total,
            in_memory=False,
        )
        for part in ends
    ]


@dataclass(frozen=True)
class Streamed:
    """The results of a run from one position to another, read from its source."""

    run: AuditRun
    start: int
    stop: int

    def __call__(self) -> Batches:
        """The batches; nothing behind them is read where that can be."""
        missing = self.stop - self.start
        try:
            for _, batch in scan(self.run, Scan(start=self.start, stop=self.stop)):
                missing -= len(batch)
                yield batch
                if missing <= 0:
                    return
        except HeaderChanged as change:
            again = dataclasses.replace(self, run=change.run)
            raise HeaderChanged(dataclasses.replace(change.run, batches=again)) from None
        if missing:
            raise InvalidRunError(
                f"Run {self.run.id!r} has lost {missing:,} results since its export in parts began. "
                "Export it again when nobody changes it."
            )


@dataclass(frozen=True)
class Held:
    """The results of a run from one position to another, which are sent along."""

    batches: tuple[pa.RecordBatch, ...]
    start: int
    stop: int

    def __call__(self) -> Batches:
        """The batches."""
        return iter(self.batches)


def _taken(batches: Sequence[pa.RecordBatch], start: int, stop: int) -> tuple[pa.RecordBatch, ...]:
    """Copies of some rows: a slice would take all of its batch along to another process."""
    import numpy as np
    import pyarrow as pa

    taken, first = [], 0
    for batch in batches:
        rows = np.arange(max(start - first, 0), min(stop - first, len(batch)))
        if len(rows):
            taken.append(batch.take(pa.array(rows)))
        first += len(batch)
    return tuple(taken)


def manifest(receipts: Sequence[ExportReceipt]) -> bytes:
    """The list of the parts of a run as canonical JSON, which reads the same from the same parts.

    `sha256` is that of the lines that `sha256sum` prints for the parts in their order.
    """
    first = receipts[0]
    listed: list[dict[str, Any]] = []
    position = 0
    for receipt in receipts:
        sealed = {} if receipt.plain_sha256 is None else {"plain_sha256": receipt.plain_sha256}
        known = {"bytes": receipt.bytes, "rows": receipt.rows, "sha256": receipt.sha256, **sealed}
        listed.append({"first_position": position, "name": receipt.path.name, **known})
        position += receipt.rows
    whole = {
        "bytes": sum(receipt.bytes for receipt in receipts),
        "format": first.format,
        "kind": KIND,
        "options": first.options,
        "parts": listed,
        "rows": position,
        "run_id": first.run_ids[0],
        "sha256": hash_of_parts(listed),
        "version": VERSION,
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
