"""The findings of a bag once more, from the files that can be read, against its `findings.csv`."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from auditkit.evidence.bag import shown
from auditkit.evidence.contents import FINDING_COLUMNS, finding_lines
from auditkit.evidence.reread import Reread

if TYPE_CHECKING:
    from auditkit.findings import Finding
    from auditkit.run import RunHeader

# What a rule looks at, where a file may lack it: then nothing can tell what the rule found.
_LOOKS_AT = {
    "total_submissions": ("total_submissions",),
    "critical_flags": ("critical_flags",),
    "average_deviation": ("average_deviation",),
    "completed_before_started": ("started_at", "completed_at"),
    "duplicate_result_id": ("result_id",),
    "duplicate_submission_id": ("submission_id",),
    "outside_window": ("started_at", "completed_at"),
    "decision_missing": ("status", "action_taken"),
}
NEEDED = (
    "result_id", "submission_id", "user_score", "ai_score", "deviation", "deviation_type", "action_taken",
    "timestamp",
)  # fmt: skip
"""The columns that all rules together look at."""

_HEADER = (",".join(FINDING_COLUMNS) + "\n").encode("ascii")
_RECORD = re.compile(rb'(?P<run>"(?:[^"]|"")*"|[^",\n]*),(?P<rule>[a-z_]+),')
_LONGEST = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Refound:
    """The findings of one run.

    Attributes
    ----------
    lines : dict of str to bytes
        By rule, a digest of the lines that `findings.csv` has to have.
    untold : set of str
        The rules that look at something that no file carries.
    perhaps : set of str
        Those that look at a field without a single value: they were left out, if the run as it came
        could not carry it, and no file tells that.
    """

    run: bytes
    lines: dict[str, bytes]
    untold: set[str]
    perhaps: set[str]


def refound(file: Reread, header: RunHeader, guard: bool) -> Refound:
    """What the rules find in a file that was read with the columns that they need."""
    from auditkit.findings import find

    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for finding in find(header, file.batches):
        by_rule[finding.rule].append(finding)
    untold = {rule for rule, names in _LOOKS_AT.items() if {*names} & {*header.absent_fields}}
    if file.format == "csv":
        untold.add("average_deviation")  # it is rounded there
    return Refound(
        run=_run_cell(header.id, guard),
        lines={rule: _digest(finding_lines(header.id, found, guard)) for rule, found in by_rule.items()},
        untold=untold,
        perhaps={rule for rule in by_rule if _without_value(rule, file, header)},
    )


@dataclass
class Found:
    """What stands in a `findings.csv`: for each run, by rule, its lines hashed; and what fits nothing."""

    runs: dict[bytes, dict[str, Any]]
    strange: str | None = None
    unknown: bytes | None = None


def found(file: BinaryIO, runs: Iterable[bytes]) -> Found:
    """The lines of a `findings.csv`, read once through; those of other runs than these are not kept.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    seen = Found({run: defaultdict(hashlib.blake2b) for run in runs})
    records = _records(file)
    if next(records, b"") != _HEADER:
        seen.strange = "has another header"
    for record in records:
        match = _RECORD.match(record)
        if match is None:
            seen.strange = seen.strange or f"has a line that is no finding: {_name(record[:80])}"
        elif match["run"] in seen.runs:
            seen.runs[match["run"]][match["rule"].decode("ascii")].update(record)
        else:
            seen.unknown = seen.unknown or match["run"]
    return seen


def differences(seen: Found, expected: list[Refound], all_known: bool) -> Iterator[str]:
    """What is wrong with a `findings.csv`; `all_known` if every run of the bag could be read."""
    if seen.strange is not None:
        yield seen.strange
    if seen.unknown is not None and all_known:
        yield f"names a run that is not in the bag: {_name(seen.unknown)}"
    for run in expected:
        own = {rule: digest.digest() for rule, digest in seen.runs[run.run].items()}
        rules = sorted(rule for rule in own.keys() | run.lines.keys() if _differs(rule, own, run))
        if rules:
            yield f"does not say of {_name(run.run)} what its files give: {', '.join(rules)}"


def _differs(rule: str, own: Mapping[str, bytes], run: Refound) -> bool:
    left_out = rule in run.untold or (rule in run.perhaps and rule not in own)
    return not left_out and own.get(rule) != run.lines.get(rule)


def _without_value(rule: str, file: Reread, header: RunHeader) -> bool:
    if rule == "average_deviation":
        return header.average_deviation is None
    columns = {"decision_missing": "action_taken", "duplicate_submission_id": "submission_id"}
    if rule not in columns:
        return False
    return not any(any(batch.column(columns[rule]).to_pylist()) for batch in file.batches)


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Lines; line ends inside of quotes do not count."""
    pieces, quotes, size = [], 0, 0
    while piece := file.readline(_LONGEST):
        pieces.append(piece)
        quotes += piece.count(b'"')
        size += len(piece)
        if quotes % 2 == 0 or size >= _LONGEST:
            yield b"".join(pieces)
            pieces, quotes, size = [], 0, 0
    if pieces:
        yield b"".join(pieces)


def _run_cell(run_id: str, guard: bool) -> bytes:
    import pyarrow as pa

    from auditkit.formats.text import csv_cells

    return str(csv_cells(pa.array([run_id], pa.string()), guard)[0].as_py()).encode()


def _name(cell: bytes) -> str:
    return shown(cell.decode("utf-8", "replace"))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()
