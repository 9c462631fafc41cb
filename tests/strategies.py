"""Hypothesis strategies for audit runs: valid by DESIGN §2, and as nasty as it allows."""

from __future__ import annotations

import json
import math
import operator
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from reference_exporter import FLAT_KEYS, RESULT_KEYS, RUN_KEYS

Record = dict[str, Any]

DIFFICULTIES = ("easy", "medium", "hard", "expert")
DEVIATION_TYPES = ("none", "minor", "major", "critical")
ACTIONS = ("allow", "flag_for_review", "escalate", "override")
STATUSES = ("completed", "failed", "running")

FRAGMENTS = (
    # what cuts cells, lines and blocks
    ",", ";", "\t", "\r", "\n", "\r\n", "|", '"', '""', "\\", "\\n", "\\u0000", "\\ud800", "/",
    "},{", "},\n    {", "}]}", "]", '"results":[', '"results": [],', '{"id":"', "\v", "\f", "\x1c", "\x85",
    "\u2028", "\u2029",
    # what a spreadsheet reads as a formula, and what stands before one
    "'", "=", "+", "-", "@", "%", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20", "=1+1", "-5", ",'", ";=",
    "|'=", " ", "\u00a0", "\ufeff", "\u200b", "\u3000", "\u2003", ", =", "\t=", "\r\n-", "''",
    # control characters and all planes
    "\x01", "\b", "\x1b", "\x1f", "\x7f", "\x9f", "é", "e\u0301", "ß", "\u202e", "漢字", "\uffff", "\ufffe",
    "\ue000", "😀", "\U0001f1e6", "\U0002f800", "\U0010ffff",
    # plain words
    "a", "Z", "0", "7", "sub", "results", "it's",
)  # fmt: skip
LOOKALIKES = (
    "", "007", "1e5", "NA", "N/A", "null", "None", "nan", "NaN", "inf", "true", "TRUE", "0", "-0", "1.0",
    "0x1F", "1_000", "2024-01-15", "12345678901234567890", "{}", "[]", '""', " padded ",
)  # fmt: skip
RUN_IDS = (
    "run-001", "007", "1e5", "NA", "null", "nan", "0", "a/b", "../up", "..", ".", "a.", "CON", "con.txt",
    "a\\b", "=1+1", "'quoted", "@me", " run", "run ", "a,b", 'a"b', "RUN-001", "run~x", "~", "-rf", "é",
    "e\u0301", "😀", "\ufeffrun", "},{", '"results":[', "%41", "a:b", "*", "x" * 64,
)  # fmt: skip
DOUBLES = (
    0.0, -0.0, 1.0, 85.0, 15.8, 0.1 + 0.2, 100 / 3, 1.005, 2.675, 0.5, 99.995, 1e-5, 1e-6, 1e-7, 1.5e-7,
    -1e-7, 5e-324, 2.2250738585072014e-308, 1e15, 1e16, 1e20, 123456789012345680000.0, 1e21,
    999999999999999900000.0, 1.2e21, 1e22, 1e23, 1e300, -1e300, 2.0**53, 2.0**53 + 2, -(2.0**63),
    1.7976931348623157e308,
)  # fmt: skip
BIG_INTS = (
    0, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64, 12345678901234567890,
    123456789012345678901234567890, -987654321098765432109876543210, 10**21, 10**30,
)  # fmt: skip

# A key known to one level is an unknown field on the other.
_REUSED_KEYS = frozenset(RESULT_KEYS) ^ frozenset(RUN_KEYS)
_EXTRA_KEYS = (
    "", "x", "extra", "Id", "ID", "id ", "result", "Results", "audit", "auditrunid", "1", "0", "__proto__",
    "constructor", "type", "run_id", "position", "result_id", "extras", "submission_id", "$ref", "a.b", "é",
    "\n",
)  # fmt: skip


def texts() -> SearchStrategy[str]:
    """Text without lone surrogates, empty to some thousand characters long."""
    return _TEXTS


def ids() -> SearchStrategy[str]:
    """Ids of results, submissions and users: some look like numbers, some like missing."""
    return st.sampled_from(("sub-001", "user-123", *LOOKALIKES)) | _TEXTS


def run_ids() -> SearchStrategy[str]:
    """Run ids of 1 to 64 characters, none of them a control character."""
    return st.sampled_from(RUN_IDS) | st.text(_characters("Cs", "Cc"), min_size=1, max_size=64)


def scores() -> SearchStrategy[float]:
    """Any finite double, and integers of any size that a double can hold roughly."""
    return st.one_of(
        st.integers(0, 100),
        st.sampled_from(DOUBLES),
        st.floats(0, 100),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(BIG_INTS),
    )


def average_deviations() -> SearchStrategy[float]:
    """Finite doubles that stay finite times 100."""
    return scores().filter(lambda score: math.isfinite(float(score) * 100))


def counts() -> SearchStrategy[int]:
    return st.integers(0, 200) | st.integers(0, 2**53)


def timestamps() -> SearchStrategy[str]:
    """RFC 3339, the years 1970 to 2100, with 0 to 12 digits of the second, at any offset."""
    return st.builds("{}{}{}".format, _MOMENTS, _FRACTIONS, _OFFSETS)


def json_values() -> SearchStrategy[Any]:
    """What an unknown field may hold: any JSON value, integers of any size, finite doubles."""
    return _JSON_VALUES


@cache
def extra_fields(level: tuple[str, ...]) -> SearchStrategy[Record]:
    """Fields unknown to the `level` (RESULT_KEYS or RUN_KEYS)."""
    taken = {*level, *FLAT_KEYS, "results"}
    keys = st.one_of(
        st.sampled_from(_EXTRA_KEYS),
        st.sampled_from(sorted(_REUSED_KEYS - taken)),
        st.text(max_size=8),
        _TEXTS,
    )
    return st.dictionaries(keys.filter(lambda key: key not in taken), _JSON_VALUES, max_size=3)


@cache
def results(*, extras: bool = True) -> SearchStrategy[Record]:
    """One result."""
    return _with_extras(_RESULTS, RESULT_KEYS, extras)


@st.composite
def runs(draw: st.DrawFn, max_results: int = 8, extras: bool = True) -> Record:
    """One native run: the header in the order of the table, extra fields, then `results`."""
    header = draw(_headers(extras))
    return header | {"results": draw(st.lists(results(extras=extras), max_size=max_results))}


@cache
def _headers(extras: bool) -> SearchStrategy[Record]:
    return _with_extras(_HEADERS, RUN_KEYS, extras)


@st.composite
def documents(draw: st.DrawFn, run: Record) -> str:
    """A JSON text of `run` in any layout. Keys may be shuffled, but extra fields keep their order."""
    ordered = _reordered(draw, run) if draw(st.booleans()) else run
    text = json.dumps(ordered, ensure_ascii=draw(st.booleans()), **draw(_LAYOUTS))
    if draw(st.booleans()):
        text = text.replace("/", "\\/")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    space = st.sampled_from(("", "\n", " ", "\r\n\t"))
    return draw(space) + text + draw(space)


@st.composite
def document_bytes(draw: st.DrawFn, run: Record) -> bytes:
    """A file of `run`: UTF-8 with or without a byte order mark."""
    return draw(documents(run)).encode(draw(st.sampled_from(("utf-8", "utf-8-sig"))))


def _characters(*excluded_categories: Any) -> SearchStrategy[str]:
    return st.characters(exclude_categories=excluded_categories)


def _optional(known: dict[str, SearchStrategy[Any]], *optional: str) -> SearchStrategy[Record]:
    """Records in the order of `known`, whose `optional` fields may also be null or absent."""
    fields = {
        key: st.one_of(st.just(_ABSENT), st.none(), field) if key in optional else field
        for key, field in known.items()
    }
    return st.fixed_dictionaries(fields).map(
        lambda record: {key: value for key, value in record.items() if value is not _ABSENT}
    )


def _with_extras(
    records: SearchStrategy[Record], level: tuple[str, ...], extras: bool
) -> SearchStrategy[Record]:
    if not extras:
        return records
    added: SearchStrategy[Record] = st.just({}) | extra_fields(level)
    return st.builds(lambda record, more: record | more, records, added)


def _reordered(draw: st.DrawFn, run: Record) -> Record:
    """`run` with its known keys, and those of its results, in any order."""
    random = Random(draw(st.integers(0, 2**16)))
    header = _shuffled({key: value for key, value in run.items() if key != "results"}, RUN_KEYS, random)
    rows = run["results"]
    if draw(st.booleans()):
        rows = [_shuffled(row, RESULT_KEYS, random) for row in rows]
    members = list(header.items())
    members.insert(draw(st.sampled_from((0, len(members) // 2, len(members)))), ("results", rows))
    return dict(members)


def _shuffled(record: Record, known: tuple[str, ...], random: Random) -> Record:
    """`record` with its keys in any order, but the unknown ones in theirs: that order is exported."""
    keys = list(record)
    random.shuffle(keys)
    unknown = (key for key in record if key not in known)
    return {key: record[key] for key in (key if key in known else next(unknown) for key in keys)}


_ABSENT = object()
_TEXTS = st.one_of(
    st.sampled_from(("Build a responsive navigation bar", "frontend", "admin-1", *LOOKALIKES)),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6).map("".join),
    st.text(_characters("Cs"), max_size=20),
    st.builds(operator.mul, st.sampled_from(FRAGMENTS), st.sampled_from((2, 3, 5, 9, 60, 2000))),
)
_MOMENTS = st.sampled_from(
    ("2024-01-15T10:00:00", "1970-01-01T00:00:00", "2000-02-29T23:59:59", "2100-12-31T23:59:59")
) | st.integers(0, 4_133_980_799).map(
    lambda seconds: (datetime(1970, 1, 1) + timedelta(0, seconds)).isoformat()
)
_FRACTIONS = st.sampled_from(("", ".0", ".000", ".123456789", ".999999999999", ".5000")) | st.text(
    "0123456789", min_size=1, max_size=12
).map(".{}".format)
_OFFSETS = st.sampled_from(("Z", "+00:00", "-00:00", "+05:30", "-23:59")) | st.builds(
    "{}{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59)
)
_JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(BIG_INTS),
        st.integers(-(10**30), 10**30),
        st.sampled_from(DOUBLES),
        st.floats(allow_nan=False, allow_infinity=False),
        _TEXTS,
    ),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(("results", "id", "userScore", "a")) | _TEXTS, children, max_size=3)
    ),
    max_leaves=6,
)
_RESULTS = _optional(
    {
        "id": ids(),
        "submissionId": ids(),
        "userId": ids(),
        "userScore": scores(),
        "aiScore": scores(),
        "deviation": scores(),
        "deviationType": st.sampled_from(DEVIATION_TYPES),
        "suggestedAction": st.sampled_from(ACTIONS),
        "actionTaken": st.sampled_from(ACTIONS),
        "taskTitle": texts(),
        "skillArea": texts(),
        "taskDifficulty": st.sampled_from(DIFFICULTIES),
        "timestamp": timestamps(),
        "reviewer": texts(),
        "notes": texts(),
    },
    "actionTaken",
    "reviewer",
    "notes",
)
_HEADERS = _optional(
    {
        "id": run_ids(),
        "reviewer": texts(),
        "startedAt": timestamps(),
        "completedAt": timestamps(),
        "taskTitle": texts(),
        "taskDifficulty": st.sampled_from(DIFFICULTIES),
        "skillArea": texts(),
        "status": st.sampled_from(STATUSES),
        "totalSubmissions": counts(),
        "averageDeviation": average_deviations(),
        "criticalFlags": counts(),
    },
    "completedAt",
    "averageDeviation",
)
_LAYOUTS: SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"separators": (",", ":")}),
    st.just({}),
    st.sampled_from((1, 2, 4, "\t", 0)).map(lambda indent: {"indent": indent}),
    st.just({"separators": (" , ", " : ")}),
    st.just({"indent": 2, "separators": (" ,", ": ")}),
)
