"""How runs and receipts show in a notebook: a small table, escaped, in the colours of its theme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditkit.evidence import BagReceipt
    from auditkit.receipts import BatchResult, ExportReceipt
    from auditkit.run import AuditRun

_TABLE = "border-collapse:collapse;color:inherit;background:transparent"
_NAME = "text-align:left;padding:2px 16px 2px 0;font-weight:600;white-space:nowrap;vertical-align:top"
_VALUE = "text-align:left;padding:2px 0;overflow-wrap:anywhere;white-space:pre-wrap"
_CELL = "text-align:left;padding:2px 16px 2px 0;white-space:nowrap"
_TITLE = "text-align:left;padding:0 0 6px 0;font-weight:600;caption-side:top;color:inherit"


def run_html(run: AuditRun) -> str:
    """The header of a run as a table of two columns."""
    facts: list[tuple[str, Any]] = [
        ("Task", run.task_title),
        ("Skill area", run.skill_area),
        ("Difficulty", run.task_difficulty),
        ("Status", run.status),
        ("Reviewer", run.reviewer),
        ("Started", run.started_at),
        ("Completed", run.completed_at),
        ("Submissions declared", run.total_submissions),
        ("Average deviation declared", _points(run.average_deviation)),
        ("Critical flags declared", run.critical_flags),
    ]
    if run.positions is not None:
        facts.append(("Selected", f"{len(run.positions):,} of {run.whole_rows:,} results"))
    if run.absent_fields:
        facts.append(("Not in the source", ", ".join(run.absent_fields)))
    return _table(f"Audit run {run.id}", facts)


def receipt_html(receipt: ExportReceipt) -> str:
    """A receipt without what changes from one export to the next."""
    options = ", ".join(f"{name}={value!r}" for name, value in receipt.options.items())
    facts: list[tuple[str, Any]] = [
        ("File", receipt.path.as_posix()),
        ("Runs", ", ".join(receipt.run_ids)),
        ("Rows", f"{receipt.rows:,} of {receipt.rows_total:,}"),
        ("Size", f"{receipt.bytes:,} bytes"),
        ("SHA-256", receipt.sha256),
        ("Options", options or None),
        ("Filter", receipt.filter),
        ("Not in the source", ", ".join(receipt.absent_fields) or None),
    ]
    return _table(f"Exported as {receipt.format}", [fact for fact in facts if fact[1] is not None])


def batch_html(batch: BatchResult) -> str:
    """What became of a batch, a line each."""
    facts = [
        (
            ", ".join(receipt.run_ids),
            f"{receipt.path.as_posix()}, {receipt.rows:,} rows, {receipt.bytes:,} bytes",
        )
        for receipt in batch.receipts
    ]
    facts += [(failure.run_id, f"not exported: {failure.error}") for failure in batch.failures]
    count = len(batch.receipts)
    return _table(f"{count} of {len(facts)} runs exported", facts)


def bag_html(bag: BagReceipt) -> str:
    """An evidence bag without what changes from one to the next."""
    facts: list[tuple[str, Any]] = [
        ("Folder", bag.path.as_posix()),
        ("Runs", ", ".join(bag.run_ids)),
        ("Formats", ", ".join(bag.formats)),
        ("Rows", f"{bag.rows:,}"),
        ("Size", f"{bag.bytes:,} bytes in {len(bag.files):,} files"),
        ("SHA-256 of the manifest", bag.sha256),
        ("Signed by", bag.signed_by),
    ]
    return _table("Evidence bag", [fact for fact in facts if fact[1] is not None])


def rows_html(
    title: str, labels: Sequence[str], rows: Sequence[Sequence[str | None]], note: str | None = None
) -> str:
    """Rows under labels, missing values as a dash, and a line below."""
    head = "".join(f'<th scope="col" style="{_NAME}">{escape(label)}</th>' for label in labels)
    body = "".join(f'<tr style="background:transparent">{"".join(map(_cell, row))}</tr>' for row in rows)
    foot = f'<p style="margin:4px 0">{escape(note)}</p>' if note else ""
    caption = f'<caption style="{_TITLE}">{escape(title)}</caption>'
    table = f'<table style="{_TABLE}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}{foot}</div>'


def _cell(text: str | None) -> str:
    return f'<td style="{_CELL}">{"–" if text is None else escape(text)}</td>'


def _points(value: float | None) -> str | None:
    return None if value is None else f"{value:.15g} points"


def _table(title: str, facts: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(
        f'<tr style="background:transparent"><th scope="row" style="{_NAME}">{escape(name)}</th>'
        f'<td style="{_VALUE}">{"–" if value is None else escape(str(value))}</td></tr>'
        for name, value in facts
    )
    caption = f'<caption style="{_TITLE}">{escape(title)}</caption>'
    return f'<table style="{_TABLE}">{caption}<tbody>{rows}</tbody></table>'
