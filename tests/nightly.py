"""A nightly audit as its own application keeps it: its tables, two runs, and the mapping that reads them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa

MAPPING = (Path(__file__).parents[1] / "sample_data" / "nightly.toml").read_text("utf-8")
URL = 'url = "postgresql+psycopg://auditor:${NIGHTLY_PASSWORD}@localhost/nightly"'
ABSENT = (
    "action_taken",
    "notes",
    "reviewer",
    "run_reviewer",
    "run_skill_area",
    "run_task_difficulty",
    "run_task_title",
    "suggested_action",
    "task_difficulty",
    "task_title",
)
TABLES = (
    "CREATE TABLE runs (id VARCHAR(36) PRIMARY KEY, started_at TIMESTAMP, completed_at TIMESTAMP, "
    "total_submissions INTEGER, average_deviation NUMERIC(6, 2), critical_issues_count INTEGER, "
    "status VARCHAR(20))",
    "CREATE TABLE results (id {uuid} PRIMARY KEY, audit_run_id VARCHAR(36), task_id VARCHAR(36), "
    "user_id VARCHAR(36), skill_area VARCHAR(40), original_score INTEGER, new_score NUMERIC(5, 2), "
    "deviation NUMERIC(5, 2), status VARCHAR(10), timestamp TIMESTAMP)",
    "CREATE TABLE tasks (id VARCHAR(36), title VARCHAR(80))",
)
RUNS = (
    ("night-2", "2024-01-16 01:00:00", None, 1, None, 0, "running"),
    ("night-1", "2024-01-15 01:00:00", "2024-01-15 01:30:00.250000", 3, 9.5, 1, "completed"),
)
UUIDS = [str(uuid.UUID(int=number)) for number in (3, 1, 2, 9)]
RESULTS = (
    (UUIDS[0], "night-1", "task-b", "u-1", "backend", 80, 58, 22, "critical", "2024-01-15 01:02:00"),
    (UUIDS[1], "night-1", "task-a", "u-2", "frontend", 85, 84.5, 0.5, "pass", "2024-01-15 01:02:00"),
    (UUIDS[2], "night-1", "task-a", "u-3", "frontend", 50, 56, 6, "minor", "2024-01-15 01:01:00"),
    (UUIDS[3], "night-2", "task-b", "u-1", "backend", 70, 70, 0, "pass", "2024-01-16 01:01:00"),
)
TASKS = (("task-a", "Build a menu"), ("task-b", "Sort a list"))
# by hand from the rows above: ordered by timestamp, then by id
NIGHT_1 = {
    "id": "night-1",
    "startedAt": "2024-01-15T01:00:00Z",
    "completedAt": "2024-01-15T01:30:00.25Z",
    "status": "completed",
    "totalSubmissions": 3,
    "averageDeviation": 9.5,
    "criticalFlags": 1,
    "results": [
        {
            "id": UUIDS[2],
            "submissionId": "task-a",
            "userId": "u-3",
            "userScore": 50,
            "aiScore": 56,
            "deviation": 6,
            "deviationType": "minor",
            "skillArea": "frontend",
            "timestamp": "2024-01-15T01:01:00Z",
        },
        {
            "id": UUIDS[1],
            "submissionId": "task-a",
            "userId": "u-2",
            "userScore": 85,
            "aiScore": 84.5,
            "deviation": 0.5,
            "deviationType": "none",
            "skillArea": "frontend",
            "timestamp": "2024-01-15T01:02:00Z",
        },
        {
            "id": UUIDS[0],
            "submissionId": "task-b",
            "userId": "u-1",
            "userScore": 80,
            "aiScore": 58,
            "deviation": 22,
            "deviationType": "critical",
            "skillArea": "backend",
            "timestamp": "2024-01-15T01:02:00Z",
        },
    ],
}


def execute(url: str, *statements: str) -> None:
    """Run statements in one transaction."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def inserted(table: str, rows: Any) -> list[str]:
    """The statements that add rows."""
    return [f"INSERT INTO {table} VALUES ({', '.join(map(_literal, row))})" for row in rows]


def filled(url: str) -> str:
    """The URL, of a database that now holds the nightly audit."""
    kind = "VARCHAR(36)" if url.startswith(("sqlite", "mysql")) else "UUID"
    tables = [statement.replace("{uuid}", kind) for statement in TABLES]
    rows = [*inserted("runs", RUNS), *inserted("results", RESULTS), *inserted("tasks", TASKS)]
    execute(url, *tables, *rows)
    return url


def mapping(folder: Path, url: str, *changes: tuple[str, str]) -> Path:
    """The mapping of the sample data for a database, with some of its text replaced."""
    text = MAPPING.replace(URL, f'url = "{url}"')
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "nightly.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return repr(value) if isinstance(value, int | float) else f"'{value}'"
