"""What became of an export: the facts of its receipts, and its failures, in words."""

from __future__ import annotations

from typing import Any

from auditkit.errors import BatchError, InvalidRunError
from auditkit.filters import FILTER_FIELDS, Filter
from auditkit.receipts import ExportReceipt
from auditkit.widgets.base import sentence
from auditkit.widgets.choices import counted

_NAMED_REASONS = 20
_NAMED_RUNS = 5


def facts(receipt: ExportReceipt) -> dict[str, Any]:
    """What a receipt says, in words."""
    return {
        "path": receipt.path.as_posix(),
        "name": receipt.path.name,
        "format": receipt.format,
        "options": ", ".join(f"{name}={value!r}" for name, value in receipt.options.items()),
        "rows": f"{receipt.rows:,} of {receipt.rows_total:,} rows",
        "bytes": receipt.bytes,
        "size": f"{receipt.bytes:,} bytes",
        "sha256": receipt.sha256,
        "filter": _in_words(receipt.filter),
        "reused": receipt.reused,
    }


def _in_words(filter: Filter | str | None) -> str | None:
    if not isinstance(filter, Filter):
        return filter
    return "; ".join(f"{FILTER_FIELDS[name].label}: {words}" for name, words in filter.words().items())


def reason(error: Exception) -> str:
    """Why a run was not exported, and what to do."""
    advice = " Correct the file, or leave the run out." if isinstance(error, InvalidRunError) else ""
    return f"{sentence(error)}{advice}"


def done(receipts: list[ExportReceipt], folder: str) -> str:
    """What was exported, in a sentence."""
    if len(receipts) == 1:
        (receipt,) = receipts
        path = receipt.path.as_posix()
        if receipt.reused:
            return f"Kept {path}: it was there before, with the same bytes."
        return f"Exported {receipt.rows:,} of {counted(receipt.rows_total, 'result')} to {path}."
    rows = sum(receipt.rows for receipt in receipts)
    kept = sum(receipt.reused for receipt in receipts)
    again = f" {counted(kept, 'file')} stood there before, with the same bytes." if kept else ""
    return f"Exported {counted(len(receipts), 'run')}, {counted(rows, 'result')}, to {folder}.{again}"


def other_rows(receipt: ExportReceipt, promised: int) -> str:
    """That a file holds other results than were shown, and what to do."""
    shown = f"{counted(promised, 'result')} {'was' if promised == 1 else 'were'} shown"
    return (
        f"{shown}, but {receipt.rows:,} written to {receipt.path.as_posix()}: "
        "what is recorded is not what was shown. Read the runs again, and export again."
    )


def undone(error: BatchError) -> str:
    """What became of a batch, a line for each reason why runs failed."""
    done, failed = len(error.receipts), len(error.failures)
    reasons: dict[str, list[str]] = {}
    for failure in error.failures:
        reasons.setdefault(reason(failure.error), []).append(failure.run_id)
    lines = [f"{_named(run_ids)}: {why}" for why, run_ids in list(reasons.items())[:_NAMED_REASONS]]
    more = len(reasons) - len(lines)
    rest = [f"and {counted(more, 'other reason')}"] if more else []
    return "\n".join([f"{done:,} of {counted(done + failed, 'run')} exported. Not exported:", *lines, *rest])


def _named(run_ids: list[str]) -> str:
    more = len(run_ids) - _NAMED_RUNS
    return ", ".join(run_ids[:_NAMED_RUNS]) + (f" and {more:,} more" if more > 0 else "")
