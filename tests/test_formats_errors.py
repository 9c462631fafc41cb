"""Bad input is refused with one error that names every place where it breaks the table of DESIGN §2."""

from __future__ import annotations

import gzip
import json
import math
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    Record,
    a_result,
    a_run,
    dumped,
    dumped_lines,
    flat_records,
    load_all,
    load_one,
    meaning,
    meanings,
    outcome,
    saved,
    without,
    written,
)

import auditkit as ak
from auditkit.formats.json import blocks, read

InvalidRunError = ak.errors.InvalidRunError

NOON = "2024-01-15T12:00:00Z"
KEPT = 10_000  # DESIGN §2: "the first 10,000, and the total count"

TEXT_KEYS = ("id", "submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes")
SCORE_KEYS = ("userScore", "aiScore", "deviation")
CATEGORY_KEYS = ("deviationType", "suggestedAction", "actionTaken", "taskDifficulty")
OPTIONAL_KEYS = ("actionTaken", "reviewer", "notes")
REQUIRED_KEYS = tuple(key for key in (*a_result(), "id") if key not in OPTIONAL_KEYS)

# What JSON may hold and a field may not, as JSON text.
NOT_TEXT = ("5", "true", "[]", "{}", "1.5", '["a"]', '"\\ud800"', '"a\\udc00b"')
NOT_NUMBERS = (
    '"85"',
    '""',
    "true",
    "false",
    "[]",
    "{}",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1" + "0" * 400,
)
NOT_CATEGORIES = ('""', '"unknown"', '"Minor"', '"minor "', '"MEDIUM"', "5", "true", "[]", "{}")
NOT_RFC_3339 = (
    "",
    "2024-02-30T10:00:00Z",
    "2023-02-29T10:00:00Z",
    "2100-02-29T10:00:00Z",
    "2024-04-31T10:00:00Z",
    "2024-13-01T10:00:00Z",
    "2024-00-10T10:00:00Z",
    "2024-01-00T10:00:00Z",
    "2024-01-32T10:00:00Z",
    "2024-01-15T24:00:00Z",
    "2024-01-15T10:60:00Z",
    "2024-01-15T10:00:60Z",
    "2024-01-15T10:00:00",
    "2024-01-15t10:00:00Z",
    "2024-01-15T10:00:00z",
    "2024-01-15 10:00:00Z",
    "2024-01-15T10:00Z",
    "2024-01-15",
    "20240115T100000Z",
    "2024-01-15T10:00:00.Z",
    "2024-01-15T10:00:00,5Z",
    "2024-01-15T10:00:00+0100",
    "2024-01-15T10:00:00+01",
    "2024-01-15T10:00:00+24:00",
    "2024-01-15T10:00:00+01:60",
    "2024-01-15T10:00:00 Z",
    " 2024-01-15T10:00:00Z",
    "2024-01-15T10:00:00Z ",
    "2024-01-15T10:00:00Z\n",
    "+2024-01-15T10:00:00Z",
    "24-01-15T10:00:00Z",
    "12024-01-15T10:00:00Z",
    "٢٠٢٤-01-15T10:00:00Z",
    "1705312800",
    "yesterday",
)
NOT_TIMESTAMPS = (
    *map(json.dumps, NOT_RFC_3339),
    "1705312800",
    "1705312800000.0",
    "true",
    "[]",
    '"2024-01-15T10:00:00\\ud800"',
)
NOT_COUNTS = ('"3"', '""', "true", "2.5", "NaN", "1e999", "[]", "{}", str(2**63), "1e30")

BROKEN_RESULTS = [
    *((key, text) for key in TEXT_KEYS for text in NOT_TEXT),
    *((key, text) for key in SCORE_KEYS for text in NOT_NUMBERS),
    *((key, text) for key in CATEGORY_KEYS for text in NOT_CATEGORIES),
    *(("timestamp", text) for text in NOT_TIMESTAMPS),
    *((key, text) for key in REQUIRED_KEYS for text in ("null", "")),
]
BROKEN_HEADERS = [
    *((key, text) for key in ("id", "reviewer", "taskTitle", "skillArea") for text in NOT_TEXT),
    *(("averageDeviation", text) for text in NOT_NUMBERS),
    *((key, text) for key in ("taskDifficulty", "status") for text in NOT_CATEGORIES),
    *((key, text) for key in ("startedAt", "completedAt") for text in NOT_TIMESTAMPS),
    *((key, text) for key in ("totalSubmissions", "criticalFlags") for text in NOT_COUNTS),
    *(
        (key, text)
        for key in without(a_run(0), "completedAt", "averageDeviation", "results")
        for text in ("null", "")
    ),
    *(("results", text) for text in ("null", "", "5", '"[]"', "{}", "true")),
    *(("id", json.dumps(text)) for text in ("a\nb", "\0", "\x7f", "\x85", "i" * 1025)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def cut(size: int) -> None:
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        monkeypatch.setattr(read, "BLOCK_BYTES", size)

    return cut


def refusal(location: Any, **options: Any) -> ak.errors.InvalidRunError:
    """The one error about a source; it can be shown, pickled, and made a frame of."""
    with pytest.raises(InvalidRunError) as caught:
        load_all(location, **options)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.failure_count >= len(error.rows) > 0
    frame = error.failures
    assert list(frame.columns) == ["file", "run_id", "position", "field", "value", "rule"]
    assert len(frame) == len(error.rows)
    assert frame["rule"].str.strip().astype(bool).all()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.failure_count, again.rows) == (str(error), error.failure_count, error.rows)
    str(error).encode()
    return error


def opened(run: Record, folder: Path) -> ak.AuditRun:
    return load_one(saved(folder / "recorded.json", dumped(run)))


def places(error: ak.errors.InvalidRunError) -> list[tuple[str | None, int | None, str | None]]:
    """Run, row and field of every failure."""
    return [(row.run_id, row.position, row.field) for row in error.rows]


def cells(error: ak.errors.InvalidRunError) -> list[tuple[int | None, str | None]]:
    """Row and field of every failure."""
    return [(row.position, row.field) for row in error.rows]


def with_text(record: Record, key: str, text: str) -> str:
    """A record as JSON, one of its values replaced by a text, or left out where that is empty."""
    if not text:
        return json.dumps(without(record, key))
    return json.dumps(record | {key: "<here>"}).replace('"<here>"', text)


def nested(rows: list[str], header: str | None = None) -> str:
    opening = header or json.dumps(without(a_run(0), "results"))
    return f'{opening[:-1]}, "results": [{", ".join(rows)}]}}'


# The rules of the table, field by field.


@pytest.mark.parametrize("key", dict.fromkeys(key for key, _ in BROKEN_RESULTS))
def test_a_broken_value_of_a_result_is_named_with_its_run_and_row(tmp_path: Path, key: str) -> None:
    for broken_key, text in BROKEN_RESULTS:
        if broken_key != key:
            continue
        rows = [json.dumps(a_result(0)), with_text(a_result(1), key, text), json.dumps(a_result(2))]
        error = refusal(saved(tmp_path / "run.json", nested(rows)))
        assert places(error) == [("run-001", 1, key)], text
        assert error.failure_count == 1
        assert "run.json" in str(error)
        assert "run-001" in str(error)
        assert key in str(error)


@pytest.mark.parametrize("key", dict.fromkeys(key for key, _ in BROKEN_RESULTS))
def test_a_broken_value_of_a_flat_record_is_named_with_its_row(tmp_path: Path, key: str) -> None:
    for broken_key, text in BROKEN_RESULTS:
        if broken_key != key:
            continue
        records = flat_records(a_run(3))
        rows = [json.dumps(records[0]), with_text(records[1], key, text), json.dumps(records[2])]
        array = refusal(saved(tmp_path / "flat.json", f"[{', '.join(rows)}]"))
        assert cells(array) == [(1, key)], text
        lines = refusal(saved(tmp_path / "flat.jsonl", "\n".join(rows) + "\n"))
        assert cells(lines) == [(1, key)], text


@pytest.mark.parametrize("key", dict.fromkeys(key for key, _ in BROKEN_HEADERS))
def test_a_broken_value_of_a_header_is_named_with_its_run(tmp_path: Path, key: str) -> None:
    for broken_key, text in BROKEN_HEADERS:
        if broken_key != key:
            continue
        path = saved(tmp_path / "run.json", with_text(a_run(1), key, text))
        error = refusal(path)
        assert cells(error) == [(None, key)], text
        assert "run.json" in str(error)
        if key != "id":
            assert error.rows[0].run_id == "run-001"
        with pytest.raises(InvalidRunError):
            ak.list_available_runs(source=path)


@pytest.mark.parametrize(
    "key", ["startedAt", "status", "totalSubmissions", "averageDeviation", "criticalFlags"]
)
def test_a_broken_value_of_the_run_in_flat_records_is_named(tmp_path: Path, key: str) -> None:
    audit_key = "audit" + key[0].upper() + key[1:]
    for broken_key, text in BROKEN_HEADERS:
        if broken_key != key:
            continue
        rows = [with_text(record, audit_key, text) for record in flat_records(a_run(2))]
        for name, data in (("flat.json", f"[{', '.join(rows)}]"), ("flat.jsonl", "\n".join(rows) + "\n")):
            error = refusal(saved(tmp_path / name, data))
            assert {row.field for row in error.rows} <= {key, audit_key}, text


@pytest.mark.parametrize("key", ["startedAt", "timestamp"])
@pytest.mark.parametrize(
    "stamp",
    [
        "2024-02-29T00:00:00Z",
        "2000-02-29T23:59:59.999999999999Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2024-01-15T10:00:00-00:00",
        "2024-01-15T10:00:00.1+23:59",
    ],
)
def test_a_timestamp_of_rfc_3339_is_accepted(tmp_path: Path, key: str, stamp: str) -> None:
    run = a_run(2, startedAt=stamp) if key == "startedAt" else a_run([a_result(0, timestamp=stamp)])
    assert meanings(saved(tmp_path / "run.json", dumped(run))) == [meaning(run)]


def test_missing_null_and_absent_are_one_fact_for_optional_fields(tmp_path: Path) -> None:
    rows = [a_result(0, **dict.fromkeys(OPTIONAL_KEYS)), without(a_result(1), *OPTIONAL_KEYS)]
    run = a_run(rows, completedAt=None, averageDeviation=None)
    bare = without(run, "completedAt", "averageDeviation")
    one = load_one(saved(tmp_path / "null.json", dumped(run)))
    assert one == load_one(saved(tmp_path / "absent.json", dumped(bare)))
    assert one.results[["action_taken", "reviewer", "notes"]].isna().all(axis=None)


@pytest.mark.parametrize("text", ["3.0", "3e0", "0.3e1", "-0", "3"])
def test_a_count_may_be_written_as_any_whole_number(tmp_path: Path, text: str) -> None:
    path = saved(tmp_path / "run.json", with_text(a_run(1), "totalSubmissions", text))
    assert load_one(path).total_submissions == int(float(text))
    assert ak.load_runs(source=path)["total_submissions"].to_list() == [int(float(text))]


# One error, every failure.


def test_one_error_names_every_failure_of_header_and_results(tmp_path: Path) -> None:
    rows = [
        a_result(0, userScore="85", timestamp="soon"),
        a_result(1),
        a_result(2, deviationType="huge", notes=5),
        without(a_result(3), "id", "taskTitle"),
        a_result(4, timestamp="2024-02-30T00:00:00Z"),
    ]
    run = a_run(rows, status="done", startedAt="never")
    error = refusal(saved(tmp_path / "run.json", dumped(without(run, "skillArea"))))
    expected = {
        ("run-001", None, "status"),
        ("run-001", None, "startedAt"),
        ("run-001", None, "skillArea"),
        ("run-001", 0, "userScore"),
        ("run-001", 0, "timestamp"),
        ("run-001", 2, "deviationType"),
        ("run-001", 2, "notes"),
        ("run-001", 3, "id"),
        ("run-001", 3, "taskTitle"),
        ("run-001", 4, "timestamp"),
    }
    assert sorted(places(error), key=str) == sorted(expected, key=str)
    assert error.failure_count == len(expected)
    by_place = {(row.position, row.field): row for row in error.rows}
    assert "85" in str(by_place[0, "userScore"].value)
    assert "huge" in str(by_place[2, "deviationType"].value)
    assert "critical" in by_place[2, "deviationType"].rule, "the rule says what is allowed"
    assert "2024-02-30" in str(by_place[4, "timestamp"].value)
    assert by_place[3, "id"].value is None


@pytest.mark.parametrize("layout", ["nested", "nested, results first", "flat", "lines"])
@pytest.mark.parametrize("unknown", [{}, {"x": 1}], ids=["known", "unknown"])
def test_failures_in_every_block_are_named_with_their_row(
    tmp_path: Path, cut_at: Callable[[int], None], layout: str, unknown: Record
) -> None:
    broken = {3: {"timestamp": "soon"}, 47: {"timestamp": "late"}, 48: {"aiScore": None}}
    broken |= {90: {"actionTaken": "maybe"}, 91: {"timestamp": "2024-13-01T00:00:00Z"}, 99: {"userId": 9}}
    run = a_run([a_result(n, **unknown, **broken.get(n, {})) for n in range(100)])
    data = {
        "nested": dumped(run),
        "nested, results first": dumped({"results": run["results"]} | run),
        "flat": dumped(flat_records(run)),
        "lines": dumped_lines(flat_records(run)),
    }[layout]
    path = saved(tmp_path / "run.json", data)
    for size in (700, 5000, 1 << 20):
        cut_at(size)
        error = refusal(path)
        assert cells(error) == [(n, *change) for n, change in broken.items()], size


def test_rows_behind_something_that_is_no_object_keep_their_number(
    tmp_path: Path, cut_at: Callable[[int], None]
) -> None:
    rows: list[Any] = [a_result(n) for n in range(60)]
    rows[2], rows[3], rows[20], rows[55] = None, 5, [], a_result(55, aiScore="x")
    path = saved(tmp_path / "run.json", dumped(a_run(rows)))
    for size in (1500, 1 << 20):
        cut_at(size)
        error = refusal(path)
        assert [row.position for row in error.rows] == [2, 3, 20, 55], size
        assert error.rows[3].field == "aiScore"


def test_failures_of_flat_records_are_named_with_their_own_run_and_the_row_in_it(
    tmp_path: Path, cut_at: Callable[[int], None]
) -> None:
    group = [
        a_run(40, id="first"),
        a_run([a_result(0), a_result(1, userScore="x")], id="second"),
        a_run([*(a_result(n) for n in range(30)), a_result(30, timestamp="soon")], id="third"),
    ]
    records = [record for run in group for record in flat_records(run)]
    expected = [("second", 1, "userScore"), ("third", 30, "timestamp")]
    array = saved(tmp_path / "flat.json", dumped(records))
    lines = saved(tmp_path / "flat.jsonl", dumped_lines(records))
    for size in (900, 1 << 20):
        cut_at(size)
        assert places(refusal(array)) == expected
        assert places(refusal(lines)) == expected


def test_failures_of_a_csv_are_named_with_their_own_run_and_the_row_in_it(tmp_path: Path) -> None:
    group = [opened(a_run(count, id=f"run-{count}"), tmp_path) for count in (40, 2)]
    lines = written(group, "csv").decode().splitlines(keepends=True)
    lines[11] = lines[11].replace(",85,", ",lots,")
    lines[42] = lines[42].replace("2024-01-15T10:15:00Z", "2024-02-30T10:15:00Z")
    error = refusal(saved(tmp_path / "runs.csv", "".join(lines)))
    assert places(error) == [("run-40", 10, "User Score"), ("run-2", 1, "Timestamp")]
    assert "lots" in str(error.rows[0].value)


def test_failures_far_behind_in_a_csv_keep_their_row(tmp_path: Path) -> None:
    made = opened(a_run([a_result(n, notes="n" * 90) for n in range(9000)]), tmp_path)
    text = written(made, "csv").decode()
    lines = text.splitlines(keepends=True)
    assert len(text) > 2 << 20
    lines[8001] = lines[8001].replace(",85,", ",lots,")
    assert cells(refusal(saved(tmp_path / "run.csv", "".join(lines)))) == [(8000, "User Score")]


@pytest.mark.parametrize("form", ["flat", "lines", "csv"])
def test_a_broken_row_does_not_hide_what_is_wrong_with_the_run(tmp_path: Path, form: str) -> None:
    run = a_run([a_result(0), a_result(1, userScore="lots"), a_result(2)])
    if form == "csv":
        text = written(load_one(saved(tmp_path / "run.json", dumped(a_run(3)))), "csv").decode()
        head, one, two, three, _ = text.split("\n")
        data = "\n".join([head, one, two.replace(",85,", ",lots,"), three, ""]).replace("completed", "done")
    else:
        records = [record | {"auditStatus": "done"} for record in flat_records(run)]
        data = (dumped if form == "flat" else dumped_lines)(records).decode()
    error = refusal(saved(tmp_path / "run", data))
    named = {(row.position, str(row.field)) for row in error.rows}
    assert (1, "User Score" if form == "csv" else "userScore") in named
    assert any("status" in field.lower() for _, field in named), named


def test_every_run_of_a_file_is_read_for_its_failures(tmp_path: Path) -> None:
    group = [a_run([a_result(0, aiScore=None)], id="a"), a_run(1, id="b"), a_run(1, id="c", status="x")]
    expected = [("a", 0, "aiScore"), ("c", None, "status")]
    for data in (dumped(group), dumped(group, None), dumped_lines(group)):
        assert places(refusal(saved(tmp_path / "runs.json", data))) == expected


@pytest.mark.parametrize("form", ["nested", "lines", "csv"])
def test_of_many_failures_the_first_10_000_are_kept_and_all_are_counted(tmp_path: Path, form: str) -> None:
    count = KEPT + 1234
    run = a_run([a_result(n, deviation="x") for n in range(count)])
    if form == "csv":
        made = load_one(saved(tmp_path / "run.json", dumped(a_run(count), None)))
        data = written(made, "csv").replace(b",7,minor", b",x,minor")
    else:
        data = {
            "nested": lambda: dumped(run, None),
            "lines": lambda: dumped_lines(flat_records(run)),
        }[form]()
    error = refusal(saved(tmp_path / "run", data))
    assert error.failure_count == count
    assert len(error.rows) == len(error.failures) == KEPT
    assert [row.position for row in error.rows] == list(range(KEPT))
    assert f"{count - 1:,}" in str(error)


def test_the_message_names_the_first_failure_and_counts_the_others(tmp_path: Path) -> None:
    rows = [a_result(0, userScore="first"), a_result(1, userScore="second")]
    text = str(refusal(saved(tmp_path / "run.json", dumped(a_run(rows)))))
    assert re.search(r"run\.json.*run-001.*0.*userScore.*first", text)
    assert "second" not in text
    assert "1 more" in text


# Values that are no JSON, or only just.


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"\\ud800"', '["\\udfff"]', '{"\\ud83d": 1}']
)
@pytest.mark.parametrize("level", ["header", "late header", "result", "flat", "lines"])
def test_what_is_no_json_is_refused_in_unknown_fields_too(tmp_path: Path, level: str, text: str) -> None:
    odd = with_text(a_result(1), "x", text)
    header = without(a_run(0), "results")
    record = flat_records(a_run(1))[0]
    data = {
        "header": nested([json.dumps(a_result(0))], with_text(header, "x", text)),
        "late header": f'{json.dumps(a_run(1))[:-1]}, "x": {text}}}',
        "result": nested([json.dumps(a_result(0)), odd]),
        "flat": f"[{with_text(record, 'x', text)}]",
        "lines": with_text(record, "x", text),
    }[level]
    error = refusal(saved(tmp_path / "run.json", data))
    assert "x" in {row.field for row in error.rows} or "JSON" in str(error)


@pytest.mark.parametrize("level", ["header", "result"])
def test_a_lone_surrogate_in_a_key_is_refused(tmp_path: Path, level: str) -> None:
    run = a_run(1, x=1) if level == "header" else a_run([a_result(0, x=1)])
    for key in ("\\ud800", "a\\udfffb"):
        refusal(saved(tmp_path / "run.json", json.dumps(run).replace('"x"', f'"{key}"')))


def test_surrogate_pairs_are_one_character(tmp_path: Path) -> None:
    rows = [a_result(0, notes="😀", x="\U0010ffff", **{"😀": 1})]
    run = a_run(rows, id="😀", y="😀")
    assert b"\\ud83d\\ude00" in dumped(run)
    assert meanings(saved(tmp_path / "run.json", dumped(run))) == [meaning(run)]


@pytest.mark.parametrize("place", ["id", "reviewer", "unknown", "note", "key"])
def test_bytes_that_are_no_utf_8_are_refused(tmp_path: Path, place: str) -> None:
    run = a_run([a_result(0, notes="<note>", x="<x>")], id="<id>", reviewer="<reviewer>", unknown="<unknown>")
    mark = b'"x"' if place == "key" else f"<{place}>".encode()
    text = dumped(run)
    assert mark in text
    for junk in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"):
        broken = text.replace(mark, b'"a' + junk + b'b"' if place == "key" else junk)
        error = refusal(saved(tmp_path / "run.json", broken))
        assert re.search("utf-?8|not whole JSON|decode|surrogate", str(error), re.IGNORECASE)


@pytest.mark.parametrize("form", ["nested", "flat", "lines", "csv"])
def test_a_byte_order_mark_is_accepted(tmp_path: Path, form: str) -> None:
    run = a_run(2)
    made = load_one(saved(tmp_path / "run.json", dumped(run)))
    format = {"lines": "jsonl", "csv": "csv"}.get(form, "json")
    plain = written(made, format, **({"flatten_results": True} if form == "flat" else {}))
    expected = meanings(saved(tmp_path / "plain", plain))
    assert meanings(saved(tmp_path / "marked", b"\xef\xbb\xbf" + plain)) == expected
    assert ak.list_available_runs(source=tmp_path / "marked") == ["run-001"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "latin-1"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    data = json.dumps(a_run([a_result(0, notes="é+ä")]), ensure_ascii=False).encode(encoding)
    refusal(saved(tmp_path / "run.json", data))


@pytest.mark.parametrize("control", ["\n", "\t", "\0", "\x1f", "\r"], ids=repr)
def test_a_control_character_must_be_escaped(tmp_path: Path, control: str) -> None:
    for run in (a_run([a_result(0, notes="<>")]), a_run([a_result(0, x="<>")]), a_run(1, x="<>")):
        text = json.dumps(run).replace("<>", control)
        refusal(saved(tmp_path / "run.json", text))


@pytest.mark.parametrize(
    "text", ["'a'", "undefined", "01", "1.", ".5", "+1", "0x1F", "1_000", "1e", "--1", "tru", "None", "True"]
)
def test_what_only_looks_like_json_is_refused(tmp_path: Path, text: str) -> None:
    for key in ("userScore", "x"):
        refusal(saved(tmp_path / "run.json", nested([with_text(a_result(0), key, text)])))
    for key in ("averageDeviation", "x"):
        refusal(saved(tmp_path / "run.json", with_text(a_run(1), key, text)))


DEEP = {
    "lists": ("[" * 10_000, "]" * 10_000),
    "objects": ('{"a":' * 10_000 + "1", "}" * 10_000),
    "lists without an end": ("[" * 10_000, ""),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("place", ["alone", "header", "late header", "result", "score", "flat", "lines"])
def test_ten_thousand_levels_are_refused_and_nothing_worse(tmp_path: Path, name: str, place: str) -> None:
    text = "".join(DEEP[name])
    record = flat_records(a_run(1))[0]
    data = {
        "alone": text,
        "header": nested([json.dumps(a_result(0))], with_text(without(a_run(0), "results"), "x", text)),
        "late header": f'{json.dumps(a_run(1))[:-1]}, "x": {text}}}',
        "result": nested([json.dumps(a_result(0)), with_text(a_result(1), "x", text)]),
        "score": nested([with_text(a_result(0), "userScore", text)]),
        "flat": f"[{with_text(record, 'x', text)}]",
        "lines": with_text(record, "x", text),
    }[place]
    path = saved(tmp_path / "run.json", data)
    error = refusal(path)
    assert len(str(error)) < 2000
    assert ak.load_failures(source=path)["file"].to_list()


def test_a_message_about_a_huge_value_is_short(tmp_path: Path) -> None:
    rows = [
        a_result(0, userScore="x" * 1_000_000),
        a_result(1, deviationType=["y" * 1_000_000]),
        a_result(2, aiScore=10**4000),
    ]
    error = refusal(saved(tmp_path / "run.json", dumped(a_run(rows, status="z" * 1_000_000))))
    assert error.failure_count == 4
    assert len(str(error)) < 1000
    assert all(len(str(row.value)) < 300 for row in error.rows)


@pytest.mark.parametrize("digits", [400, 4299, 4301, 50_000])
def test_an_integer_of_any_length_is_no_score(tmp_path: Path, digits: int) -> None:
    for key in ("userScore", "averageDeviation", "totalSubmissions"):
        long = "9" * digits
        text = (
            with_text(a_run(1), key, long)
            if key != "userScore"
            else nested([json.dumps(a_result(0)), with_text(a_result(1), key, long)])
        )
        error = refusal(saved(tmp_path / "run.json", text))
        assert len(str(error)) < 1000


# Keys that stand twice.


def test_of_two_equal_keys_in_a_result_the_last_counts(tmp_path: Path) -> None:
    text = nested(['{"userScore": "x", "id": "first", "x": 1, ' + json.dumps(a_result(0) | {"x": 2})[1:]])
    assert meanings(saved(tmp_path / "run.json", text)) == [meaning(json.loads(text))]
    records = flat_records(a_run(1))
    line = '{"auditRunId": 5, "notes": 5, ' + json.dumps(records[0])[1:]
    (flat,) = meanings(saved(tmp_path / "flat.jsonl", line))
    assert flat["id"] == "run-001"
    assert flat["results"] == meaning(a_run(1))["results"]


def doubled(place: str) -> str:
    run = json.dumps(a_run(2, note={"a": 1}))
    one = json.dumps(a_result(0))
    record = json.dumps(flat_records(a_run(1))[0])
    return {
        "a header key before the results": run.replace('"status"', '"reviewer": "again", "status"'),
        "the id": run.replace('"status"', '"id": "run-001", "status"'),
        "the same value": run.replace('"status"', '"status": "completed", "status"'),
        "a header key behind the results": run[:-1] + ', "status": "failed"}',
        "two keys behind the results": run[:-1] + ', "z": 1, "z": 1}',
        "an unknown header key": run.replace('"note": {', '"note": 1, "note": {'),
        "inside an unknown header field": run.replace('"a": 1', '"a": 1, "a": 1'),
        "results": run[:-1] + ', "results": []}',
        "a key of a result": nested([one, one[:-1] + ', "notes": "again"}']),
        "an unknown key of a result": nested([one[:-1] + ', "x": 1, "x": 2}']),
        "inside an unknown field of a result": nested([one[:-1] + ', "x": [{"a": 1, "a": 1}]}']),
        "written with an escape": nested([one[:-1] + ', "\\u006eotes": "again"}']),
        "a flat record": f'[{record[:-1]}, "notes": "again"}}]',
        "a json line": f'{record[:-1]}, "auditRunId": "run-001"}}\n',
    }[place]


@pytest.mark.parametrize(
    "place",
    [
        "a header key before the results",
        "the id",
        "the same value",
        "a header key behind the results",
        "two keys behind the results",
        "an unknown header key",
        "inside an unknown header field",
        "results",
        "a key of a result",
        "an unknown key of a result",
        "inside an unknown field of a result",
        "written with an escape",
        "a flat record",
        "a json line",
    ],
)
def test_a_key_that_stands_twice_is_refused_when_strict_and_counts_last_otherwise(
    tmp_path: Path, place: str
) -> None:
    text = doubled(place)
    path = saved(tmp_path / "run.json", text)
    if place not in ("a flat record", "a json line"):
        assert meanings(path) == [meaning(json.loads(text))]
    else:
        assert len(load_one(path).results) == 1
    error = refusal(path, strict=True)
    assert "twice" in error.rows[0].rule
    assert error.failure_count == 1
    with pytest.raises(InvalidRunError):
        ak.list_available_runs(source=ak.open_source(path, strict=True))


def test_strict_reading_of_sound_files_gives_the_same(tmp_path: Path, cut_at: Callable[[int], None]) -> None:
    rows = [a_result(n, notes="},{" * n, x=[{"a": n}, {"a": n}, 1.50, 10**30]) for n in range(20)]
    run = a_run(rows, y={"results": [{}, {}]})
    path = saved(tmp_path / "run.json", dumped(run))
    for size in (100, 2000, 1 << 20):
        cut_at(size)
        assert meanings(path, strict=True) == [meaning(run)]


def test_strict_failures_are_counted_once_wherever_blocks_end(
    tmp_path: Path, cut_at: Callable[[int], None]
) -> None:
    rows = [json.dumps(a_result(n, x=[{"b": "},{"}, {}])) for n in range(30)]
    for n in (3, 4, 29):
        rows[n] = rows[n].replace('"notes":', '"notes": "first", "notes":')
    path = saved(tmp_path / "run.json", nested(rows))
    for size in (50, 777, 3000, 1 << 20):
        cut_at(size)
        error = refusal(path, strict=True)
        assert places(error) == [("run-001", n, "notes") for n in (3, 4, 29)], size
        assert error.failure_count == 3


# Files that are no runs.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n\t\n",
        b"\xef\xbb\xbf",
        b"hello",
        b"null",
        b"5",
        b'"text"',
        b"{",
        b"[",
        b"{}",
        b"[{}]",
        b"[5]",
        b"[[]]",
        b"[{}, {}]",
        b'{"results": []}',
        b'{"id": "run-001"}',
        b'[{"auditRunId": "a"}]',
        b'{"auditRunId": "a"}',
        bytes(range(256)) * 40,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"%PDF-1.7\n",
        b"SQLite format 3\0" + bytes(84),
        bytes(5000),
        b"<html></html>",
        b"id,score\n1,2\n",
    ],
    ids=lambda data: repr(data[:14]),
)
def test_a_file_that_is_no_run_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    for name in ("run.json", "run.csv", "run.dat"):
        error = refusal(saved(tmp_path / name, data))
        assert name in str(error)


BEGINNINGS = (b"", b"{", b"[", b'{"id":', b"PAR1", b"Audit Run ID,", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(BEGINNINGS))
def test_random_bytes_are_refused_and_nothing_worse(folder: Path, data: bytes, start: bytes) -> None:
    path = saved(folder / "random.json", start + data)
    if path.read_bytes().strip() != b"[]":
        with pytest.raises(InvalidRunError):
            load_all(path)


# Compression.


PACKED = {
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("codec", PACKED)
def test_a_compressed_file_cut_off_at_any_byte_is_refused(tmp_path: Path, codec: str) -> None:
    packed = PACKED[codec](dumped(a_run([a_result(0), a_result(1, notes="other")])))
    for cut in range(len(packed)):
        with pytest.raises(InvalidRunError):
            load_all(saved(tmp_path / "run.json.gz", packed[:cut]))


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("form", ["lines", "csv", "runs"])
def test_compressed_lines_cut_off_anywhere_are_refused(tmp_path: Path, codec: str, form: str) -> None:
    """Unlike those of a plain file, whose lines may end anywhere, nothing is lost unnoticed."""
    run = a_run([a_result(n, notes=f"note {n}") for n in range(200)])
    made = load_one(saved(tmp_path / "run.json", dumped(run)))
    data = {
        "lines": lambda: written(made, "jsonl"),
        "csv": lambda: written(made, "csv"),
        "runs": lambda: dumped_lines([run | {"id": f"run-{n}"} for n in range(5)]),
    }[form]()
    packed = PACKED[codec](data)
    for cut in [*range(2, len(packed), len(packed) // 25), *range(len(packed) - 12, len(packed))]:
        refusal(saved(tmp_path / "run.gz", packed[:cut]))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_gzip_file_is_refused_thanks_to_its_checksum(folder: Path, data: st.DataObject) -> None:
    run = a_run([a_result(n, notes=f"note {n}") for n in range(5)])
    packed = bytearray(gzip.compress(dumped(run)))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    path = saved(folder / "damaged.gz", bytes(packed))
    got = outcome(path)
    if isinstance(got, list):
        # the header of 10 bytes and a few bits of padding say nothing of the data
        assert got == [meaning(run)]
    else:
        assert "damaged.gz" in str(got)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_damaged_zstd_file_is_refused_or_read_but_nothing_worse(folder: Path, data: st.DataObject) -> None:
    packed = bytearray(PACKED["zstd"](dumped(a_run(5))))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    got = outcome(saved(folder / "damaged.zst", bytes(packed)))
    assert isinstance(got, list) or "damaged.zst" in str(got)


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("split", [1, 100, 1000, 40_000, 70_000])
def test_a_file_of_several_compressed_members_is_read_to_its_end(
    tmp_path: Path, codec: str, split: int
) -> None:
    """RFC 1952, 2.2: a gzip file is a series of members; RFC 8878, 3: the same of zstd frames."""
    run = a_run([a_result(n, notes=f"note {n}") for n in range(200)])
    text = dumped(run)
    assert len(text) > 70_000
    packed = PACKED[codec](text[:split]) + PACKED[codec](text[split:])
    assert meanings(saved(tmp_path / "run.json.gz", packed)) == [meaning(run)]


@pytest.mark.parametrize("codec", PACKED)
def test_json_lines_appended_as_a_second_member_are_not_lost(tmp_path: Path, codec: str) -> None:
    parts = [dumped_lines([a_run(2, id=name)]) for name in ("a", "b", "c")]
    path = saved(tmp_path / "runs.jsonl.gz", b"".join(map(PACKED[codec], parts)))
    assert ak.list_available_runs(source=path) == ["a", "b", "c"]


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("content", ["spaces", "a run", "lines", "csv", "nothing"])
def test_a_bomb_is_refused_at_the_limit(tmp_path: Path, codec: str, content: str) -> None:
    big = a_run([a_result(0, notes="x" * 3_000_000)])
    made = load_one(saved(tmp_path / "run.json", dumped(big)))
    data = {
        "spaces": b"{" + b" " * 3_000_000,
        "a run": dumped(a_run(6000)),
        "lines": written(made, "jsonl"),
        "csv": written(made, "csv"),
        "nothing": bytes(3_000_000),
    }[content]
    path = saved(tmp_path / "run.gz", PACKED[codec](data))
    error = refusal(path, max_uncompressed_bytes=200_000)
    if content != "nothing":
        assert "max_uncompressed_bytes" in str(error)
        assert "200,000" in str(error)
    if content not in ("spaces", "nothing"):
        assert len(load_all(path, max_uncompressed_bytes=len(data))) == 1
        refusal(path, max_uncompressed_bytes=len(data) - 1)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    packer = zlib.compressobj(6, wbits=31)
    block = b" " * (1 << 24)
    data = b"".join([packer.compress(b"{"), *(packer.compress(block) for _ in range(8)), packer.flush()])
    assert len(data) < 200_000
    path = saved(tmp_path / "bomb.json.gz", data)
    error = refusal(path, max_uncompressed_bytes=50_000_000)
    assert "50,000,000" in str(error)


def test_a_packed_file_inside_a_packed_file_is_no_run(tmp_path: Path) -> None:
    refusal(saved(tmp_path / "run.json.gz.gz", gzip.compress(gzip.compress(dumped(a_run(1))))))


# CSV.


def csv_text(tmp_path: Path, run: Record | None = None, **options: Any) -> str:
    made = load_one(saved(tmp_path / "source.json", dumped(a_run(3) if run is None else run)))
    return written(made, "csv", **options).decode()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Submission ID,", "", "Submission ID"),
        ("Submission ID", "Submission", "Submission ID"),
        ("Notes", "notes", "Notes"),
        ("Notes", "Timestamp", "Notes"),
        ("Audit Completed", "Audit Completed,More", "More"),
        ("Audit Status,", "", "Audit Status"),
        (",Audit Completed", "", "Audit Completed"),
    ],
)
def test_a_csv_with_other_columns_is_refused_with_their_names(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    text = csv_text(tmp_path)
    assert old in text
    error = refusal(saved(tmp_path / "run.csv", text.replace(old, new, 1)))
    assert named in str(error)
    assert error.failure_count == 1


def test_the_columns_of_a_csv_may_be_in_another_order(tmp_path: Path) -> None:
    text = csv_text(tmp_path)
    expected = meanings(saved(tmp_path / "run.csv", text))
    rows = [line.split(",") for line in text.splitlines()]
    turned = "".join(",".join([row[0], *row[:0:-1]]) + "\n" for row in rows)
    assert meanings(saved(tmp_path / "run.csv", turned)) == expected


def test_a_csv_that_a_spreadsheet_saved_again_is_read(tmp_path: Path) -> None:
    """LibreOffice, "quote all text cells", and Windows line ends: other bytes, the same cells."""
    text = csv_text(tmp_path)
    expected = meanings(saved(tmp_path / "run.csv", text))
    quoted = "".join(
        ",".join(cell if cell.isdecimal() else f'"{cell}"' for cell in line.split(",")) + "\r\n"
        for line in text.splitlines()
    )
    assert meanings(saved(tmp_path / "run.csv", "\ufeff" + quoted)) == expected


@pytest.mark.parametrize("change", [-1, -20, 1])
def test_csv_rows_of_the_wrong_length_are_each_named(tmp_path: Path, change: int) -> None:
    lines = csv_text(tmp_path, a_run(6)).splitlines()
    for n in (2, 5):
        cells = lines[n].split(",")
        lines[n] = ",".join(cells[:change] if change < 0 else [*cells, "more"])
    error = refusal(saved(tmp_path / "run.csv", "\n".join(lines) + "\n"))
    assert error.failure_count == 2
    assert "21" in error.rows[0].rule
    shown = " ".join(f"{row.position} {row.field} {row.rule}" for row in error.rows)
    assert re.search(r"\b[123]\b", shown), "the place of the first"


NOT_TEXT_AT_ALL = b'"x": "\xff", "x": 1, '  # of two members of one name the second counts


@pytest.mark.parametrize(
    ("form", "key"),
    [
        *(("nested", key) for key in ("reviewer", "submissionId", "appendix")),
        *(("results first", key) for key in ("reviewer", "submissionId", "appendix")),
        *(("flat", key) for key in ("auditStatus", "submissionId", "appendix")),
        *(("lines", key) for key in ("auditStatus", "submissionId", "appendix")),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_even_where_a_later_member_covers_them(
    tmp_path: Path, form: str, key: str
) -> None:
    run = a_run([a_result(0), a_result(1, appendix=0)], appendix=0)
    data = {
        "nested": dumped(run),
        "results first": dumped({"results": run["results"]} | run),
        "flat": dumped(flat_records(without(run, "appendix"))),
        "lines": dumped_lines(flat_records(without(run, "appendix"))),
    }[form]
    meanings(saved(tmp_path / "run.json", data))
    place = data.rindex(f'"{key}"'.encode())
    error = refusal(saved(tmp_path / "run.json", data[:place] + NOT_TEXT_AT_ALL + data[place:]))
    assert "not UTF-8" in str(error) or "is not JSON" in str(error)


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "x",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e999",
        "1_000",
        "1 000",
        "0x10",
        "85,5",
        "'85",
        "=85",
        "true",
        "null",
        "١٢",
        "85%",
        "--5",
        "1e",
        ".",
    ],
)
def test_a_csv_cell_that_is_no_number_is_named(tmp_path: Path, cell: str) -> None:
    lines = csv_text(tmp_path).splitlines(keepends=True)
    lines[2] = lines[2].replace(",85,", f',"{cell}",')
    error = refusal(saved(tmp_path / "run.csv", "".join(lines)))
    assert cells(error) == [(1, "User Score")]


@pytest.mark.parametrize(
    ("cell", "score"),
    [
        ("+5", 5.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("-.5e+1", -5.0),
        ("00", 0.0),
        ("12345678901234567890", 1.2345678901234567e19),
    ],
)
def test_a_number_is_read_alike_whatever_stands_in_the_other_rows(
    tmp_path: Path, cell: str, score: float
) -> None:
    """A block in which all are numbers is read another way than one that holds a failure."""
    lines = csv_text(tmp_path).splitlines(keepends=True)
    lines[2] = lines[2].replace(",85,", f",{cell},")
    (run,) = meanings(saved(tmp_path / "run.csv", "".join(lines)))
    assert run["results"][1]["userScore"] == score
    lines[3] = lines[3].replace(",85,", ",x,")
    assert cells(refusal(saved(tmp_path / "run.csv", "".join(lines)))) == [(2, "User Score")]


@pytest.mark.parametrize("cell", ["x", "2.5", "nan", "1_0", "9223372036854775808", "1e30", "true"])
def test_a_csv_cell_that_is_no_count_is_named(tmp_path: Path, cell: str) -> None:
    text = csv_text(tmp_path, a_run(2, criticalFlags=77)).replace(",77,", f",{cell},")
    error = refusal(saved(tmp_path / "run.csv", text))
    assert {row.field for row in error.rows} == {"Critical Flags"}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (",minor,", ",huge,", "Deviation Type"),
        (",minor,", ",,", "Deviation Type"),
        (",flag_for_review,", ",Flag,", "Suggested Action"),
        (",allow,", ",maybe,", "Action Taken"),
        (",medium,", ",,", "Difficulty"),
        ("2024-01-15T10:15:00Z", "15/01/2024 10:15", "Timestamp"),
        ("2024-01-15T10:15:00Z", "", "Timestamp"),
    ],
)
def test_a_csv_cell_that_breaks_the_table_is_named(tmp_path: Path, old: str, new: str, field: str) -> None:
    lines = csv_text(tmp_path).splitlines(keepends=True)
    assert old in lines[3]
    lines[3] = lines[3].replace(old, new)
    assert cells(refusal(saved(tmp_path / "run.csv", "".join(lines)))) == [(2, field)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",completed,", ",failed,"),
        (",3,7,0,", ",4,7,0,"),
        (",3,7,0,", ",3,7,1,"),
        (",3,7,0,", ",3,7.5,0,"),
        (",3,7,0,", ",3,,0,"),
        ("2024-01-15T10:00:00Z", "2024-01-15T10:00:01Z"),
        ("2024-01-15T12:30:00Z", ""),
    ],
)
def test_csv_rows_that_disagree_about_their_run_are_refused(tmp_path: Path, old: str, new: str) -> None:
    for n in (1, 2, 3):
        lines = csv_text(tmp_path).splitlines(keepends=True)
        assert old in lines[n]
        lines[n] = lines[n].replace(old, new)
        error = refusal(saved(tmp_path / "run.csv", "".join(lines)))
        assert {row.run_id for row in error.rows} == {"run-001"}


@pytest.mark.parametrize("key", ["auditStatus", "auditReviewer", "auditCompletedAt", "auditAverageDeviation"])
def test_flat_records_that_disagree_about_their_run_are_refused(tmp_path: Path, key: str) -> None:
    changed = {"auditStatus": "failed", "auditAverageDeviation": 8, "auditCompletedAt": None}
    for n in (0, 1, 2):
        records = flat_records(a_run(3))
        records[n][key] = changed.get(key, "somebody else")
        for data in (dumped(records), dumped_lines(records)):
            error = refusal(saved(tmp_path / "flat", data))
            assert {row.run_id for row in error.rows} == {"run-001"}


@pytest.mark.parametrize("form", ["flat", "lines", "csv"])
def test_rows_of_a_run_that_do_not_stand_together_are_refused(tmp_path: Path, form: str) -> None:
    group = [a_run(2, id="a"), a_run(1, id="b")]
    if form == "csv":
        made = [load_one(saved(tmp_path / "r.json", dumped(run))) for run in group]
        head, *rows = written(made, "csv").decode().splitlines(keepends=True)
        data = "".join([head, rows[0], rows[2], rows[1]]).encode()
    else:
        rows = [record for run in group for record in flat_records(run)]
        data = (dumped if form == "flat" else dumped_lines)([rows[0], rows[2], rows[1]])
    error = refusal(saved(tmp_path / "runs", data))
    assert "a" in {row.run_id for row in error.rows}


@pytest.mark.parametrize("size", [9_000_000])
def test_a_csv_cell_larger_than_a_block_is_read(tmp_path: Path, size: int) -> None:
    notes = ["before", 'a,"b"\n' * (size // 6), "after"]
    run = a_run([a_result(n, notes=note) for n, note in enumerate(notes)])
    text = csv_text(tmp_path, run)
    assert load_one(saved(tmp_path / "run.csv", text)).results["notes"].to_list() == notes


def test_a_large_csv_cell_far_behind_does_not_double_the_rows_before_it(tmp_path: Path) -> None:
    rows = [a_result(n, notes=f"note {n} " + "x" * 200) for n in range(9000)]
    rows[8500]["notes"] = "big" * 1_000_000
    rows[8999]["notes"] = "bigger" * 2_000_000
    made = load_one(saved(tmp_path / "run.json", dumped(a_run(rows), None)))
    again = load_one(saved(tmp_path / "run.csv", written(made, "csv")))
    assert again.results["notes"].to_list() == [row["notes"] for row in rows]


@pytest.mark.parametrize("include_metadata", [True, False])
def test_a_csv_cut_off_inside_a_row_is_refused(tmp_path: Path, include_metadata: bool) -> None:
    rows = [a_result(0, notes='two\nlines, and "quotes"'), a_result(1, notes="the last words")]
    text = csv_text(tmp_path, a_run(rows), include_metadata=include_metadata)
    start = text.rindex("run-001")
    whole_rows = {start: 1}
    unnoticed = []
    for cut in (*range(text.index("\n") + 2, start - 60, 5), *range(start - 60, len(text) - 1)):
        try:
            (run,) = load_all(saved(tmp_path / "run.csv", text[:cut]))
        except InvalidRunError:
            assert cut not in whole_rows
            continue
        if cut not in whole_rows:
            unnoticed.append(text[:cut][-20:])
        else:
            assert len(run.results) == whole_rows[cut]
    assert unnoticed == []


def test_a_csv_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    text = csv_text(tmp_path, a_run([a_result(0), a_result(1, notes="a,b"), a_result(2)]))
    assert '"a,b"' in text
    refusal(saved(tmp_path / "run.csv", text.replace('"a,b"', '"a,b')))


@pytest.mark.parametrize("junk", [b"\xff", b"\xed\xa0\x80", b"\xc3("])
def test_a_csv_that_is_no_utf_8_is_refused(tmp_path: Path, junk: bytes) -> None:
    data = csv_text(tmp_path, a_run([a_result(0, notes="<>")])).encode().replace(b"<>", junk)
    refusal(saved(tmp_path / "run.csv", data))
    for column in ("Audit Run ID", "Notes"):
        renamed = csv_text(tmp_path).encode().replace(column.encode(), column.encode() + junk, 1)
        refusal(saved(tmp_path / "run.csv", renamed))


def test_a_csv_row_of_the_wrong_length_is_told_of_also_where_it_is_no_utf_8(tmp_path: Path) -> None:
    lines = csv_text(tmp_path).encode().splitlines(keepends=True)
    for short in (b"run-001,\xff\n", b"\xff\n", b"\xff" + lines[2][:-30] + b"\n"):
        error = refusal(saved(tmp_path / "run.csv", b"".join([lines[0], lines[1], short, lines[3]])))
        assert error.failure_count == 1


def test_the_header_line_of_a_csv_alone_is_a_file_without_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.csv", csv_text(tmp_path, a_run(0)))
    assert load_all(path) == []
    assert ak.list_available_runs(source=path) == []


# Parquet.


def parquet_bytes(tmp_path: Path, run: Record | None = None) -> bytes:
    made = load_one(saved(tmp_path / "source.json", dumped(a_run(3) if run is None else run)))
    return written(made, "parquet")


def changed(tmp_path: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    table = pq.read_table(pa.BufferReader(parquet_bytes(tmp_path)))
    path = tmp_path / "run.parquet"
    pq.write_table(change(table), path)
    return path


def set_column(name: str, values: list[Any], kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))


def test_a_parquet_file_of_others_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    refusal(tmp_path / "other.parquet")
    refusal(changed(tmp_path, lambda table: table.replace_schema_metadata(None)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda table: table.drop_columns(["user_score"]), "user_score"),
        (lambda table: table.drop_columns(["run_id"]), "run_id"),
        (set_column("user_score", ["1", "2", "3"], pa.string()), "user_score"),
        (set_column("timestamp", [1, 2, 3], pa.int64()), "timestamp"),
    ],
)
def test_a_parquet_file_without_a_column_of_ours_is_refused_by_its_name(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], named: str
) -> None:
    assert named in {row.field for row in refusal(changed(tmp_path, change)).rows}


@pytest.mark.parametrize(
    ("column", "values", "kind", "key"),
    [
        ("user_score", [1.0, math.nan, 3.0], pa.float64(), "userScore"),
        ("ai_score", [1.0, math.inf, 3.0], pa.float64(), "aiScore"),
        ("deviation", [1.0, None, 3.0], pa.float64(), "deviation"),
        ("deviation_type", ["none", "huge", "none"], pa.string(), "deviationType"),
        ("action_taken", [None, "", "allow"], pa.string(), "actionTaken"),
        ("task_difficulty", ["easy", None, "hard"], pa.string(), "taskDifficulty"),
        ("timestamp", [NOON, "2024-02-30T10:00:00Z", NOON], pa.string(), "timestamp"),
        ("task_title", ["a", None, "b"], pa.string(), "taskTitle"),
    ],
)
def test_a_parquet_value_that_breaks_the_table_is_named(
    tmp_path: Path, column: str, values: list[Any], kind: pa.DataType, key: str
) -> None:
    error = refusal(changed(tmp_path, set_column(column, values, kind)))
    assert places(error) == [("run-001", 1, key)]


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"{}",
        b"[]",
        b"[5]",
        b"not json",
        b"\xff",
        b'[{"id": 5}]',
        b'[{"reviewer": "a"}]',
        b'[{"id": "run-001"}]',
        b'[{"id": "another"}]',
        b"null",
        b'{"id": "run-001"}',
    ],
)
def test_a_parquet_file_whose_run_headers_are_broken_is_refused(tmp_path: Path, headers: bytes) -> None:
    path = changed(tmp_path, lambda table: table.replace_schema_metadata({b"auditkit.runs": headers}))
    refusal(path)


def test_a_parquet_file_whose_unknown_fields_are_no_json_is_refused(tmp_path: Path) -> None:
    for text in ("not json", "[1]", '{"a": NaN}', '{"a": 1'):
        refusal(changed(tmp_path, set_column("extra", [None, text, None], pa.string())))


def test_a_parquet_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    data = parquet_bytes(tmp_path)
    for cut in [*range(4, len(data), len(data) // 40), *range(len(data) - 12, len(data))]:
        path = saved(tmp_path / "run.parquet", data[:cut])
        refusal(path)
        with pytest.raises(InvalidRunError):
            ak.list_available_runs(source=path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_is_refused_or_read_but_nothing_worse(
    folder: Path, data: st.DataObject
) -> None:
    damaged = bytearray(parquet_bytes(folder))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    got = outcome(saved(folder / "damaged.parquet", bytes(damaged)))
    assert isinstance(got, list) or "damaged.parquet" in str(got)


def test_a_count_with_hundreds_of_zeros_in_front_is_not_cut(tmp_path: Path) -> None:
    text = csv_text(tmp_path, a_run(2, totalSubmissions=7777))
    assert text.count(",7777,") == 2
    path = saved(tmp_path / "run.csv", text.replace(",7777,", "," + "0" * 500 + "85,"))
    assert load_one(path).total_submissions == 85
