"""What goes into a bag: every run in every format, its findings, and the control totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditkit.destination import Destination
from auditkit.errors import InvalidOptionError
from auditkit.evidence.totals import ControlTotals
from auditkit.formats import get_format
from auditkit.formats.base import WriteOptions
from auditkit.naming import stem
from auditkit.orders import Order
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun

if TYPE_CHECKING:
    from auditkit.findings import Finding

FINDING_COLUMNS = ("run_id", "rule", "where", "recorded", "recomputed", "severity")


@dataclass(frozen=True, kw_only=True)
class PayloadFile:
    """One file in `data/`: a run (counted from 1) in a format."""

    name: str
    run: int
    format: str
    options: WriteOptions
    rows: int
    bytes: int
    sha256: str


def options_by_format(formats: Sequence[str], options: WriteOptions) -> dict[str, WriteOptions]:
    """The options that each format heeds.

    Raises
    ------
    UnknownFormatError
        If one is none.
    InvalidOptionError
        If there is no format, one stands twice, two give their files the same names, or none of them
        heeds an option.
    """
    if not formats:
        raise InvalidOptionError("formats names no format. Give at least one, such as 'csv'.")
    suffixes = [get_format(name).suffix for name in formats]
    if len(set(suffixes)) < len(suffixes):
        raise InvalidOptionError(
            f"Two of the formats {', '.join(formats)} give their files the same names. Take one of them."
        )
    changed = options.changed()
    heeded = {name: {key: changed[key] for key in changed if _heeds(name, key, changed)} for name in formats}
    for key, value in changed.items():
        if not any(key in own for own in heeded.values()):
            raise InvalidOptionError(
                f"{key}={value!r} means nothing to the formats {', '.join(formats)}. Leave it out."
            )
    return {name: WriteOptions(**own) for name, own in heeded.items()}


def _heeds(format: str, key: str, changed: Mapping[str, object]) -> bool:
    try:
        get_format(format, WriteOptions(**{key: changed[key]}))  # type: ignore[arg-type]
    except InvalidOptionError:
        return False
    return True


class Contents:
    """The payload as it grows, run by run; each is read once, and in memory as long as it is written.

    Attributes
    ----------
    run_ids : list of str
        As they are written.
    files : list of PayloadFile
    totals : ControlTotals
    findings : list of bytes
        The lines of `findings.csv`.
    finding_count : int
    guard : bool
        Whether text in CSV files is guarded.
    """

    def __init__(self, formats: Mapping[str, WriteOptions], to: Destination):
        self._to = to
        self._orders = {name: (options, Order(name, options, to)) for name, options in formats.items()}
        self.guard = all(options.formula_guard for options in formats.values())
        self._stems: dict[str, str] = {}
        self.run_ids: list[str] = []
        self.files: list[PayloadFile] = []
        self.totals = ControlTotals()
        self.findings = [(",".join(FINDING_COLUMNS) + "\n").encode("ascii")]
        self.finding_count = 0

    def add(self, run: AuditRun) -> None:
        """Write a run that is in memory.

        Raises
        ------
        InvalidOptionError
            If its files would have the names of those of another one but for the case.
        """
        from auditkit.findings import find

        written = self._to.disguised(run)
        self._keep_apart(written.id)
        for name, (options, order) in self._orders.items():
            (receipt,) = order.export([run])
            if isinstance(receipt, Exception):
                raise receipt
            self.files.append(_payload_file(receipt, len(self.run_ids) + 1, name, options))
        for batch in run.batches():
            self.totals.add(batch)
        found = find(written.header, written.batches())
        self.findings.append(finding_lines(written.id, found, self.guard))
        self.finding_count += len(found)
        self.run_ids.append(written.id)

    def _keep_apart(self, run_id: str) -> None:
        other = self._stems.setdefault(stem(run_id).casefold(), run_id)
        if other != run_id:
            raise InvalidOptionError(
                f"The files of the runs {other!r} and {run_id!r} would have names that differ in case only, "
                "which not every computer keeps apart. Give each a bag of its own."
            )


def _payload_file(receipt: ExportReceipt, run: int, format: str, options: WriteOptions) -> PayloadFile:
    return PayloadFile(
        name=receipt.path.name,
        run=run,
        format=format,
        options=options,
        rows=receipt.rows,
        bytes=receipt.bytes,
        sha256=receipt.sha256,
    )


def finding_lines(run_id: str, findings: Iterable[Finding], guard: bool) -> bytes:
    """The lines of `findings.csv` for a run."""
    import pyarrow as pa

    from auditkit.formats.columns import value_bytes
    from auditkit.formats.text import csv_cells, joined

    rows = [(run_id, f.rule, f.where, f.recorded, f.recomputed, f.severity) for f in findings]
    if not rows:
        return b""
    cells = [csv_cells(pa.array(column, pa.string()), guard) for column in zip(*rows, strict=True)]
    return bytes(value_bytes(joined([*cells[:-1], joined([cells[-1], "\n"])], ",")))
