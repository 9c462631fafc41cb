"""Runs as plain objects: what a file of a run means, and what the package made of it, to be compared.

The meaning of a run is the object of its nested JSON without nulls, its doubles as float, and its unknown
fields as one compact JSON text under the key OTHERS.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import reference_exporter as reference
from reference_exporter import DOUBLES, RESULT_KEYS, RUN_KEYS, json_text

import auditkit as ak
from auditkit.formats import get_format
from auditkit.formats.base import WriteOptions

Record = dict[str, Any]

OTHERS = "(unknown fields)"
LOG = "export-log.jsonl"

# DESIGN §2: the frame column of each key, and the attribute of AuditRun.
RESULT_COLUMNS = {
    "id": "result_id",
    "submissionId": "submission_id",
    "userId": "user_id",
    "userScore": "user_score",
    "aiScore": "ai_score",
    "deviation": "deviation",
    "deviationType": "deviation_type",
    "suggestedAction": "suggested_action",
    "actionTaken": "action_taken",
    "taskTitle": "task_title",
    "skillArea": "skill_area",
    "taskDifficulty": "task_difficulty",
    "timestamp": "timestamp",
    "reviewer": "reviewer",
    "notes": "notes",
}
RUN_COLUMNS = {
    "id": "run_id",
    "reviewer": "run_reviewer",
    "startedAt": "started_at",
    "completedAt": "completed_at",
    "taskTitle": "run_task_title",
    "taskDifficulty": "run_task_difficulty",
    "skillArea": "run_skill_area",
    "status": "status",
    "totalSubmissions": "total_submissions",
    "averageDeviation": "average_deviation",
    "criticalFlags": "critical_flags",
}
RUN_ATTRIBUTES = {
    "id": "id",
    "reviewer": "reviewer",
    "startedAt": "started_at",
    "completedAt": "completed_at",
    "taskTitle": "task_title",
    "taskDifficulty": "task_difficulty",
    "skillArea": "skill_area",
    "status": "status",
    "totalSubmissions": "total_submissions",
    "averageDeviation": "average_deviation",
    "criticalFlags": "critical_flags",
}

_RUN = {
    "id": "run-001",
    "reviewer": "admin-1",
    "startedAt": "2024-01-15T10:00:00Z",
    "completedAt": "2024-01-15T12:30:00Z",
    "taskTitle": "Build a responsive navigation bar",
    "taskDifficulty": "medium",
    "skillArea": "frontend",
    "status": "completed",
    "totalSubmissions": 3,
    "averageDeviation": 7,
    "criticalFlags": 0,
}
_RESULT = {
    "userScore": 85,
    "aiScore": 78,
    "deviation": 7,
    "deviationType": "minor",
    "suggestedAction": "flag_for_review",
    "actionTaken": "allow",
    "taskTitle": "Build a responsive navigation bar",
    "skillArea": "frontend",
    "taskDifficulty": "medium",
    "timestamp": "2024-01-15T10:15:00Z",
    "reviewer": "admin-1",
    "notes": "Code quality exceeds AI assessment",
}


def a_result(number: int = 0, /, **changes: Any) -> Record:
    """A sound result, apart from the changes."""
    ids = {"id": f"result-{number}", "submissionId": f"sub-{number:03}", "userId": f"user-{number}"}
    return ids | _RESULT | changes


def a_run(results: int | Sequence[Any] = 3, /, **changes: Any) -> Record:
    """A sound run with that many results, or with these, apart from the changes."""
    rows = [a_result(number) for number in range(results)] if isinstance(results, int) else list(results)
    return _RUN | changes | {"results": rows}


def without(record: Mapping[str, Any], *keys: str) -> Record:
    """A copy that lacks these keys."""
    return {key: copy.deepcopy(value) for key, value in record.items() if key not in keys}


def flat_records(run: Mapping[str, Any]) -> list[Record]:
    """The flat records of a run, its own fields first, whatever they hold."""
    audit = {flat_key: run[key] for flat_key, key in reference.FLAT_KEYS.items() if key in run}
    return [audit | result for result in run["results"]]


def dumped(value: Any, indent: int | None = 2) -> bytes:
    """JSON; also of values that are not JSON: NaN, lone surrogates."""
    return json.dumps(value, indent=indent).encode()


def dumped_lines(values: Sequence[Any]) -> bytes:
    """JSON Lines."""
    return b"".join(dumped(value, None) + b"\n" for value in values)


def hidden_document(run: Mapping[str, Any], late: str) -> str:
    """Late keys that the end of a large file does not betray: it looks as if the results ended there."""
    text = dumped(run).decode().removesuffix("\n}")
    return f'{text}, {late}, "appendix": [\n    {{"n": 1}}\n  ]\n}}\n'


def meaning(run: Mapping[str, Any]) -> Record:
    """What a run in plain JSON values means."""
    header = _meant(run, RUN_KEYS, (*RUN_KEYS, "results"))
    return header | {"results": [_meant(result, RESULT_KEYS, RESULT_KEYS) for result in run["results"]]}


def found(run: ak.AuditRun) -> Record:
    """What a run of the package says it holds, in the same shape."""
    header = {key: getattr(run, attribute) for key, attribute in RUN_ATTRIBUTES.items()} | {OTHERS: run.extra}
    rows = [row for batch in run.batches() for row in batch.to_pylist()]
    columns = RESULT_COLUMNS | {OTHERS: "extra"}
    assert all(set(row) == set(columns.values()) for row in rows)
    results = [_present({key: row[column] for key, column in columns.items()}) for row in rows]
    return _present(header) | {"results": results}


def load_all(location: Any, **options: Any) -> list[ak.AuditRun]:
    """All runs of a source, held in memory; raises what is wrong with the first that cannot be had."""
    runs = []
    for run in ak.open_source(location, **options).load():
        if isinstance(run, Exception):
            raise run
        runs.append(run)
    return runs


def load_one(location: Any, **options: Any) -> ak.AuditRun:
    """The only run of a source."""
    (run,) = load_all(location, **options)
    return run


def meanings(location: Any, **options: Any) -> list[Record]:
    """What all runs of a source hold."""
    return [found(run) for run in load_all(location, **options)]


def outcome(location: Any, **options: Any) -> list[Record] | ak.errors.InvalidRunError:
    """What all runs of a source hold, or the error that refuses it."""
    try:
        return meanings(location, **options)
    except ak.errors.InvalidRunError as error:
        return error


def listed(location: Any, **options: Any) -> list[Record]:
    """The headers that the listing of a source gives, as meanings without results."""
    listing = ak.open_source(location, **options).listing()
    listing.failures.raise_if_any()
    return [
        _present(
            {key: getattr(header, name) for key, name in RUN_ATTRIBUTES.items()} | {OTHERS: header.extra}
        )
        for header in listing.headers
    ]


def saved(path: Path, data: bytes | str) -> Path:
    """The path, of a file that now holds these bytes."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def written(runs: ak.AuditRun | Sequence[ak.AuditRun], format: str, **options: Any) -> bytes:
    """The bytes a format makes of one run, or of several."""
    sink = io.BytesIO()
    writer: Any = get_format(format, WriteOptions(**options))
    if isinstance(runs, ak.AuditRun):
        writer.write(runs, sink)
    else:
        writer.write_selection(runs, sink)
    return sink.getvalue()


def _meant(record: Mapping[str, Any], known: Sequence[str], not_extra: Sequence[str]) -> Record:
    meant = {key: _typed(key, record[key]) for key in known if record.get(key) is not None}
    others = {key: value for key, value in record.items() if key not in not_extra}
    return meant | ({OTHERS: json_text(others)} if others else {})


def _typed(key: str, value: Any) -> Any:
    return float(value) if key in DOUBLES else value


def _present(record: Mapping[str, Any]) -> Record:
    return {key: value for key, value in record.items() if value is not None}


def exported(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name, without the log that every export is entered in."""
    if not folder.exists():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != LOG}
