"""The one table of fields: what a run and a result hold, and what each is called in every format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "number", "count", "category", "timestamp"]

DEVIATION_TYPES = ("none", "minor", "major", "critical")
ACTIONS = ("allow", "flag_for_review", "escalate", "override")
DIFFICULTIES = ("easy", "medium", "hard", "expert")
STATUSES = ("completed", "failed", "running")

RUN_ID = "run_id"
POSITION = "position"
EXTRA = "extra"
"""Column of the unknown extra fields: JSON text, an object, or missing."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a run or of a result, under all its names.

    `key` is the JSON key, `column` the frame column, `label` the CSV header, `audit_key` the key of a
    run's field in a flat record, `attribute` its name on `AuditRun`.
    """

    key: str
    column: str
    kind: Kind
    required: bool = True
    label: str | None = None
    audit_key: str | None = None
    attribute: str = ""
    allowed: tuple[str, ...] = ()
    ordered: bool = False


RESULT_FIELDS = (
    Field(key="id", column="result_id", kind="text"),
    Field(key="submissionId", column="submission_id", kind="text", label="Submission ID"),
    Field(key="userId", column="user_id", kind="text", label="User ID"),
    Field(key="userScore", column="user_score", kind="number", label="User Score"),
    Field(key="aiScore", column="ai_score", kind="number", label="AI Score"),
    Field(key="deviation", column="deviation", kind="number", label="Deviation"),
    Field(
        key="deviationType",
        column="deviation_type",
        kind="category",
        label="Deviation Type",
        allowed=DEVIATION_TYPES,
        ordered=True,
    ),
    Field(
        key="suggestedAction",
        column="suggested_action",
        kind="category",
        label="Suggested Action",
        allowed=ACTIONS,
    ),
    Field(
        key="actionTaken",
        column="action_taken",
        kind="category",
        required=False,
        label="Action Taken",
        allowed=ACTIONS,
    ),
    Field(key="taskTitle", column="task_title", kind="text", label="Task Title"),
    Field(key="skillArea", column="skill_area", kind="text", label="Skill Area"),
    Field(
        key="taskDifficulty",
        column="task_difficulty",
        kind="category",
        label="Difficulty",
        allowed=DIFFICULTIES,
        ordered=True,
    ),
    Field(key="timestamp", column="timestamp", kind="timestamp", label="Timestamp"),
    Field(key="reviewer", column="reviewer", kind="text", required=False, label="Reviewer"),
    Field(key="notes", column="notes", kind="text", required=False, label="Notes"),
)

RUN_FIELDS = (
    Field(key="id", column=RUN_ID, kind="text", label="Audit Run ID", audit_key="auditRunId", attribute="id"),
    Field(
        key="reviewer",
        column="run_reviewer",
        kind="text",
        audit_key="auditReviewer",
        attribute="reviewer",
    ),
    Field(
        key="startedAt",
        column="started_at",
        kind="timestamp",
        label="Audit Started",
        audit_key="auditStartedAt",
        attribute="started_at",
    ),
    Field(
        key="completedAt",
        column="completed_at",
        kind="timestamp",
        required=False,
        label="Audit Completed",
        audit_key="auditCompletedAt",
        attribute="completed_at",
    ),
    Field(key="taskTitle", column="run_task_title", kind="text", attribute="task_title"),
    Field(
        key="taskDifficulty",
        column="run_task_difficulty",
        kind="category",
        allowed=DIFFICULTIES,
        ordered=True,
        attribute="task_difficulty",
    ),
    Field(key="skillArea", column="run_skill_area", kind="text", attribute="skill_area"),
    Field(
        key="status",
        column="status",
        kind="category",
        label="Audit Status",
        audit_key="auditStatus",
        allowed=STATUSES,
        attribute="status",
    ),
    Field(
        key="totalSubmissions",
        column="total_submissions",
        kind="count",
        label="Total Submissions",
        audit_key="auditTotalSubmissions",
        attribute="total_submissions",
    ),
    Field(
        key="averageDeviation",
        column="average_deviation",
        kind="number",
        required=False,
        label="Average Deviation",
        audit_key="auditAverageDeviation",
        attribute="average_deviation",
    ),
    Field(
        key="criticalFlags",
        column="critical_flags",
        kind="count",
        label="Critical Flags",
        audit_key="auditCriticalFlags",
        attribute="critical_flags",
    ),
)

DIFFERENCE = Field(key="difference", column="difference", kind="number", label="Difference")
"""User score - AI score, points, signed: derived, so no format holds it."""
DIFFERENCE_DECIMALS = 10
"""A difference is rounded to as many: decimals of scores subtract to floats a little beside theirs."""

RESULTS_KEY = "results"
RESULT_KEYS = frozenset(field.key for field in RESULT_FIELDS)
RUN_KEYS = frozenset(field.key for field in RUN_FIELDS)

_AUDIT_ORDER = (
    "auditRunId",
    "auditReviewer",
    "auditStartedAt",
    "auditCompletedAt",
    "auditStatus",
    "auditTotalSubmissions",
    "auditAverageDeviation",
    "auditCriticalFlags",
)
_BY_COLUMN = {field.column: field for field in (*RUN_FIELDS, *RESULT_FIELDS)}


def _carried(field: Field, name: str | None) -> Field:
    """A field under the name that a format has for it; of a run's fields a row must give the id alone."""
    required = field.required and (field in RESULT_FIELDS or field.column == RUN_ID)
    return replace(field, key=name or field.key, required=required)


_BY_AUDIT_KEY = {field.audit_key: field for field in RUN_FIELDS}
AUDIT_FIELDS = tuple(_carried(_BY_AUDIT_KEY[key], key) for key in _AUDIT_ORDER)
"""The fields of a run that a flat record carries, in the order of the specification, under those keys."""
AUDIT_KEYS = frozenset(_AUDIT_ORDER)

_CSV_ORDER = (
    RUN_ID,
    "submission_id",
    "user_id",
    "task_title",
    "skill_area",
    "task_difficulty",
    "user_score",
    "ai_score",
    "deviation",
    "deviation_type",
    "suggested_action",
    "action_taken",
    "reviewer",
    "timestamp",
    "notes",
    "status",
    "total_submissions",
    "average_deviation",
    "critical_flags",
    "started_at",
    "completed_at",
)
CSV_FIELDS = tuple(_carried(_BY_COLUMN[column], _BY_COLUMN[column].label) for column in _CSV_ORDER)
"""The 21 columns of the CSV, in the order of the specification, under their headers."""
CSV_RUN_FIELDS = CSV_FIELDS[15:]
"""The six columns that `include_metadata=False` drops."""
CSV_RESULT_FIELDS = CSV_FIELDS[1:15]

_ARROW_TYPES = {
    "text": "string",
    "category": "string",
    "timestamp": "string",
    "number": "float64",
    "count": "int64",
}


def schema_of(fields: tuple[Field, ...]) -> pa.Schema:
    """The Arrow schema of some fields, in their order, then `extra`."""
    import pyarrow as pa

    columns = [pa.field(f.column, arrow_type(f), nullable=not f.required) for f in fields]
    return pa.schema([*columns, pa.field(EXTRA, pa.string())])


@cache
def result_schema() -> pa.Schema:
    """The declared schema of every batch: the result fields in table order, then `extra`.

    Categories and timestamps are text here, as recorded; they turn into pandas categories and
    `datetime64[us, UTC]` at the pandas door.
    """
    return schema_of(RESULT_FIELDS)


def arrow_type(field: Field) -> pa.DataType:
    """The Arrow type in which a field travels."""
    import pyarrow as pa

    return pa.type_for_alias(_ARROW_TYPES[field.kind])
