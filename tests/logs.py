"""Exports with their log, logs made by hand, and calls of the system that fail."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import judge
import pandas as pd
import pytest
from children import DAY
from judge import LOG, START, sha256

import auditkit as ak
from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, Published, publish

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
RUN_001 = f"audit-run-run-001-{DAY}.csv"
SECOND = f"audit-run-run-001-{DAY}-2.csv"
NAME = f"audit-run-a-{DAY}.csv"

DTYPES = {
    "seq": "int64", "time": "datetime64[us, UTC]", "event": "str", "actor": "str", "path": "str",
    "format": "str", "run_ids": "object", "rows": "str", "bytes": "Int64", "sha256": "str",
    "plain_sha256": "str", "source": "str", "filter": "object", "options": "object", "seconds": "float64",
    "reused": "boolean", "error": "str", "begin": "Int64", "version": "str", "hash": "str",
}  # fmt: skip


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def export(folder: Path, run_id: str = "run-001", **options: Any) -> ak.ExportReceipt:
    return ak.export_audit_run(run_id, "csv", source=SAMPLES, output_dir=folder, **options)


def put(folder: Path, data: bytes = b"new\n", name: str = NAME, **options: Any) -> Published:
    """A file of these bytes, published with the log of its folder."""
    draft = Draft(folder=folder, name=name, write=lambda sink: sink.write(data))
    (done,) = publish([draft], log=ExportLog(path=folder / LOG), **options)
    assert isinstance(done, Published), done
    return done


def entries(folder: Path) -> list[dict[str, Any]]:
    """What the log says; its chain is whole."""
    log = judge.read_log(folder / LOG)
    assert (log.breaks, log.torn) == ([], b"")
    return log.records


def told(folder: Path) -> list[tuple[Any, ...]]:
    """Event, path and, of a line that settles one, the number of that line."""
    return [
        (one["event"], one.get("path"), *([one["begin"]] if "begin" in one else []))
        for one in entries(folder)
    ]


def written(folder: Path, *records: dict[str, Any], tail: bytes = b"") -> None:
    """A log with these records, made by hand."""
    lines: list[bytes] = []
    for record in records:
        lines.append(judge.line(record, len(lines) + 1, sha256(lines[-1]) if lines else START))
    (folder / LOG).write_bytes(b"".join(lines) + tail)


def begun(data: bytes = b"old\n", path: str = NAME, left: int = 1, **more: Any) -> dict[str, Any]:
    """A line that begins an export."""
    return {"event": "begin", "path": path, "bytes": len(data), "sha256": sha256(data), "open": left, **more}


@contextlib.contextmanager
def struck(call: str, number: int, error: BaseException) -> Iterator[None]:
    """After the n-th call of that name, Ctrl-C or an error comes."""
    real, calls = getattr(os, call), iter(range(1, 10_000))

    def interrupted(*arguments: Any) -> Any:
        outcome = real(*arguments)
        if next(calls) == number:
            raise error
        return outcome

    with replaced(**{call: interrupted}):
        yield


@contextlib.contextmanager
def replaced(**calls: Any) -> Iterator[None]:
    """Other functions in the place of some of `os`."""
    with pytest.MonkeyPatch.context() as patched:
        for name, call in calls.items():
            patched.setattr(os, name, call)
        yield


@contextlib.contextmanager
def watched_syncs() -> Iterator[list[str]]:
    """The paths that are synced meanwhile."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    with replaced(fsync=fsync):
        yield synced
