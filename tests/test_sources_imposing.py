"""What drivers give, in the one declared schema: types that differ, and values that cannot be one."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from records import a_result

from auditkit.formats.problems import Problems
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, result_schema
from auditkit.sources.imposing import imposed, imposed_column, recorded_values

COUNT = next(field for field in RUN_FIELDS if field.kind == "count")
FIELDS = {field.column: field for field in RESULT_FIELDS}
SOUND = {field.column: a_result(1).get(field.key) for field in RESULT_FIELDS}


def a_batch(**columns: Any) -> pa.Table:
    """Sound rows, with some columns as given."""
    count = len(next(iter(columns.values()))) if columns else 1
    return pa.table({name: columns.get(name, [value] * count) for name, value in SOUND.items()})


def column_of(name: str, given: Any, **options: Any) -> tuple[list[Any], list[tuple[int | None, str]]]:
    """What becomes of a column, and the rows and rules of what is no value of its field."""
    problems = Problems("there")
    batch = imposed(a_batch(**{name: given}), problems, 100, **options)
    assert batch.schema == result_schema()
    return batch.column(name).to_pylist(), [(row.position, row.rule) for row in problems.rows]


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("user_score", pa.array([85, 0], pa.int16()), [85.0, 0.0]),
        ("user_score", pa.array([Decimal("85.50"), Decimal("0")]), [85.5, 0.0]),
        ("user_score", pa.array(["85.50", "1e1"]), [85.5, 10.0]),
        ("user_score", pa.array([0.5, 1], pa.float32()), [0.5, 1.0]),
        ("user_id", pa.array([7, 2**62]), ["7", str(2**62)]),
        ("user_id", pa.array(["007", ""], pa.large_string()), ["007", ""]),
        ("user_id", pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        ("deviation_type", pa.array(["minor", "none"]).dictionary_encode(), ["minor", "none"]),
        ("notes", pa.nulls(2), [None, None]),
        ("timestamp", pa.array(["2024-01-15T10:00:00.000+02:00"] * 2), ["2024-01-15T10:00:00.000+02:00"] * 2),
    ],
)
def test_types_that_differ_become_the_declared_one(name: str, given: Any, wanted: list[Any]) -> None:
    assert column_of(name, given) == (wanted, [])


def test_uuids_become_their_text() -> None:
    one = uuid.UUID("12345678-1234-5678-1234-567812345678")
    given = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes], pa.binary(16)))
    assert column_of("result_id", given) == ([str(one)], [])


@pytest.mark.parametrize(
    ("unit", "instant", "text"),
    [
        ("s", datetime(2024, 1, 15, 10, tzinfo=UTC), "2024-01-15T10:00:00Z"),
        ("us", datetime(2024, 1, 15, 10, 0, 10, tzinfo=UTC), "2024-01-15T10:00:10Z"),
        ("us", datetime(2024, 1, 15, 10, 0, 0, 120000, tzinfo=UTC), "2024-01-15T10:00:00.12Z"),
        ("ns", datetime(2024, 1, 15, 10, 0, 0, 1, tzinfo=UTC), "2024-01-15T10:00:00.000001Z"),
    ],
)
def test_an_instant_becomes_text_in_utc_whatever_its_zone_is_called(
    unit: str, instant: datetime, text: str
) -> None:
    for zone in ("UTC", "Etc/UTC", "Europe/Berlin"):
        given = pa.array([instant], pa.timestamp(unit, zone))
        assert column_of("timestamp", given) == ([text], [])
    there = instant.astimezone(timezone(timedelta(hours=-5)))
    assert recorded_values(FIELDS["timestamp"], [there, "x"])[0].to_pylist() == [text, "x"]


def test_an_instant_without_a_zone_is_refused_unless_its_zone_is_said() -> None:
    given = pa.array([datetime(2024, 1, 15, 10), datetime(2024, 1, 15, 11)], pa.timestamp("us"))
    _, failures = column_of("timestamp", given)
    assert [row for row, _ in failures] == [100, 101]
    assert "without a time zone" in failures[0][1]
    assert column_of("timestamp", given, naive_utc=True) == (
        ["2024-01-15T10:00:00Z", "2024-01-15T11:00:00Z"],
        [],
    )


@pytest.mark.parametrize(
    ("name", "given", "rows"),
    [
        ("user_score", pa.array([True, False]), [100, 101]),
        ("user_score", pa.array(["85", "eighty"]), [101]),
        ("user_score", pa.array([1.0, float("nan")]), [101]),
        ("user_score", pa.array([None, 1.0]), [100]),
        ("user_id", pa.array([1.5, 2.0]), [100, 101]),
        ("user_id", pa.array([b"a", b"b"]), [100, 101]),
        ("deviation_type", pa.array(["pass", "none"]), [100]),
        ("timestamp", pa.array(["yesterday", "2024-01-15T10:00:00Z"]), [100]),
        ("timestamp", pa.array([datetime(2024, 1, 15).date()] * 2), [100, 101]),
    ],
)
def test_every_value_that_is_none_of_its_field_is_told_once(name: str, given: Any, rows: list[int]) -> None:
    _, failures = column_of(name, given)
    assert [row for row, _ in failures] == rows


@pytest.mark.parametrize(
    "value", [2.75, Decimal("2.75"), Decimal("99999999999999999999"), 2**63, math.inf, Decimal("NaN"), "1e30"]
)
def test_counts_are_whole_numbers_of_64_bits_and_never_cut(value: Any) -> None:
    made, refused = recorded_values(COUNT, [3, value, Decimal("4.0"), 5.0, "6", None])
    assert made.to_pylist() == [3, None, 4, 5, 6, None]
    assert refused == [(1, value, "not a whole number of 64 bits")]


@pytest.mark.parametrize("given", [pa.array([2.75, 2.0]), pa.array([2**64 - 1, 2], pa.uint64())])
def test_columns_of_counts_are_not_cut_either(given: pa.Array) -> None:
    problems = Problems("there")
    assert imposed_column(COUNT, given, problems, 0).to_pylist() == [None, 2]
    assert [row.rule for row in problems.rows] == ["not a whole number of 64 bits"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime.max, "infinity"),
        (datetime.min, "infinity"),
        (datetime.max.replace(tzinfo=UTC), "infinity"),
        (datetime(1, 1, 1, 0, 0, 1, tzinfo=timezone(timedelta(hours=5))), "before the year 1"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))), "after the year 9999"),
    ],
)
def test_instants_that_are_none_are_refused(value: datetime, said: str) -> None:
    made, ((row, _, rule),) = recorded_values(FIELDS["timestamp"], [value], naive_utc=True)
    assert (made.to_pylist(), row) == ([None], 0)
    assert said in rule


@pytest.mark.parametrize("text", ["1_0", "\u0663", " 5 ", "nan", "inf", "0x10", "", "1e", "."])
def test_a_text_is_a_number_only_in_plain_digits(text: str) -> None:
    _, failures = column_of("user_score", pa.array([text, "-1.5e1", ".5", "5."]))
    assert failures == [(100, "not a number")]


def test_a_missing_value_beside_a_wrong_one_is_told_too() -> None:
    _, failures = column_of("user_score", pa.array(["eighty", None, "7"]))
    assert failures == [(100, "not a number"), (101, "a required field is missing")]


def test_what_a_source_does_not_carry_is_missing_and_no_failure() -> None:
    problems = Problems("there")
    given = a_batch().drop_columns(["task_title", "notes"])
    batch = imposed(given, problems, absent=["task_title", "notes"])
    assert (batch.column("task_title").to_pylist(), problems.count) == ([None], 0)


def test_some_columns_are_enough_where_only_they_are_wanted() -> None:
    problems = Problems("there")
    batch = imposed(
        pa.table({"user_id": ["a"], "deviation": [1]}), problems, columns=["deviation", "user_id"]
    )
    assert batch.to_pydict() == {"user_id": ["a"], "deviation": [1.0]}
    assert not problems


def test_unknown_fields_have_to_be_the_text_of_an_object() -> None:
    problems = Problems("there")
    given = a_batch().append_column("extra", pa.array(["[1]"]))
    imposed(given, problems)
    assert [row.rule for row in problems.rows] == ["not the JSON text of an object"]
