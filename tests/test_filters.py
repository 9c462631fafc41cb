"""Filter: what it may be asked for, which rows it holds for, and what it refuses."""

from __future__ import annotations

import calendar
import copy
import dataclasses
import json
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from records import RESULT_COLUMNS, Record, a_result, a_run, dumped, load_one, saved
from strategies import (
    ACTIONS,
    DEVIATION_TYPES,
    DIFFICULTIES,
    ids,
    run_ids,
    runs,
    scores,
    texts,
    timestamps,
)

import auditkit as ak
from auditkit.errors import InvalidOptionError

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"

NUMBERS = ("user_score", "ai_score", "deviation", "difference")
CATEGORIES = {
    "deviation_type": DEVIATION_TYPES,
    "suggested_action": ACTIONS,
    "action_taken": ACTIONS,
    "task_difficulty": DIFFICULTIES,
}
# as the columns of a results frame stand, difference behind the numbers that it compares
COLUMNS = (
    "run_id",
    "position",
    *list(RESULT_COLUMNS.values())[:5],
    "difference",
    *list(RESULT_COLUMNS.values())[5:],
)
DAY_MICROSECONDS = 86_400 * 10**6

some = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return ak.load_results(source=SAMPLES)


def frame_of(tmp_path: Path, column: str, values: Sequence[Any]) -> pd.DataFrame:
    """A results frame whose rows differ in one field: its recorded values, None for null."""
    key = next(key for key, name in RESULT_COLUMNS.items() if name == column)
    rows = [a_result(number, **{key: value}) for number, value in enumerate(values)]
    return load_one(saved(tmp_path / "run.json", dumped(a_run(rows)))).results


def held(filter: ak.Filter, frame: pd.DataFrame) -> list[int]:
    """The places of the rows that it holds for."""
    return np.flatnonzero(filter.mask(frame)).tolist()


# --- a filter in plain Python, from the specification alone -----------------------------------------------


def wanted(row: Record, run_id: str, position: int, asked: Mapping[str, Any]) -> bool:
    """Whether all that is asked of the columns holds for a recorded result."""
    values = {name: row.get(key) for key, name in RESULT_COLUMNS.items()}
    values |= {"run_id": run_id, "position": position}
    values["difference"] = float(row["userScore"]) - float(row["aiScore"])
    return all(_holds(name, values[name], wish) for name, wish in asked.items() if wish is not None)


def _holds(name: str, value: Any, wish: Any) -> bool:
    if name == "timestamp":
        start, end = wish
        at = microseconds(value)
        return (start is None or at >= microseconds(start)) and (end is None or at <= last_of(end))
    if name in (*NUMBERS, "position"):
        low, high = wish
        return (low is None or float(value) >= low) and (high is None or float(value) <= high)
    if isinstance(wish, str):
        return value == wish if name in CATEGORIES else value is not None and folded(wish) in folded(value)
    return value in wish


def microseconds(text: str) -> int:
    """Since 1970, of a day or an instant; digits past the microsecond are cut."""
    found = re.fullmatch(r"(\d+)-(\d+)-(\d+)(?:T(\d+):(\d+):(\d+)(?:\.(\d+))?(?:Z|([+-])(\d+):(\d+)))?", text)
    assert found
    date_and_clock = [int(part or 0) for part in found.groups()[:6]]
    digits, sign, hours, minutes = found.groups()[6:]
    ahead = (int(hours) * 60 + int(minutes)) * 60 * (-1 if sign == "-" else 1) if sign else 0
    seconds = calendar.timegm((*date_and_clock, 0, 0, 0)) - ahead
    return seconds * 10**6 + int(f"{digits or ''}000000"[:6])


def last_of(text: str) -> int:
    return microseconds(text) + (DAY_MICROSECONDS - 1 if "T" not in text else 0)


def folded(text: str) -> str:
    """Text by the simple case folding of Unicode: one letter for one letter."""
    return "".join(next(c for c in (a.casefold(), a.lower(), a) if len(c) == 1) for a in text)


# --- what may be asked for, for hypothesis ----------------------------------------------------------------


def conditions(rows: Sequence[tuple[Record, str, int]] = ()) -> SearchStrategy[dict[str, Any]]:
    """Conditions for up to four columns, often of values that the rows have."""
    return st.lists(st.sampled_from(COLUMNS), unique=True, max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: _condition(name, rows) for name in names})
    )


def _condition(name: str, rows: Sequence[tuple[Record, str, int]]) -> SearchStrategy[Any]:
    key = {column: key for key, column in RESULT_COLUMNS.items()}.get(name)
    known: list[Any] = [row.get(key) for row, _, _ in rows] if key else []
    if name == "run_id":
        known = [run_id for _, run_id, _ in rows]
    elif name == "position":
        known = [position for _, _, position in rows]
    elif name == "difference":
        known = [float(row["userScore"]) - float(row["aiScore"]) for row, _, _ in rows]
    present = [value for value in known if value is not None]
    if name in CATEGORIES:
        allowed = st.sampled_from(CATEGORIES[name])
        return allowed | st.lists(st.none() | allowed, max_size=4).map(tuple)
    if name in (*NUMBERS, "position"):
        finite = [float(value) for value in present if math.isfinite(value)]
        return _ranges(_of(finite) | scores().map(float), sorted)
    if name == "timestamp":
        instants = _of(present) | timestamps()
        days = (_of(present) | timestamps()).map(lambda text: text[:10])
        return _ranges(instants | days, lambda ends: sorted(ends, key=microseconds))
    other = run_ids() if name == "run_id" else ids() if name.endswith("_id") else texts()
    parts = _of(present).map(lambda text: text[: len(text) // 2 + 1].swapcase())
    contained = (parts | _of(present) | other).filter(bool)
    return contained | st.lists(st.none() | _of(present) | other, max_size=4).map(tuple)


def _of(values: Sequence[Any]) -> SearchStrategy[Any]:
    return st.sampled_from(values) if values else st.nothing()


def _ranges(ends: SearchStrategy[Any], in_order: Any) -> SearchStrategy[tuple[Any, Any]]:
    return st.one_of(
        ends.map(lambda low: (low, None)),
        ends.map(lambda high: (None, high)),
        ends.map(lambda both: (both, both)),
        st.lists(ends, min_size=2, max_size=2).map(lambda two: tuple(in_order(two))),
    )


# --- a filter as a value ----------------------------------------------------------------------------------


@some
@given(conditions())
def test_a_filter_is_the_same_again_from_its_dict_its_json_its_repr_and_its_pickle(
    asked: dict[str, Any],
) -> None:
    filter = ak.Filter(**asked)
    copies = [
        ak.Filter(**filter.to_dict()),
        ak.Filter(**json.loads(json.dumps(filter.to_dict(), allow_nan=False))),
        eval(repr(filter), {"Filter": ak.Filter}),
        pickle.loads(pickle.dumps(filter)),
        copy.deepcopy(filter),
        filter.replace(),
    ]
    for again in copies:
        assert again == filter
        assert hash(again) == hash(filter)
        assert repr(again) == repr(filter)
    assert list(filter.to_dict()) == list(filter.words()) == [name for name in COLUMNS if name in asked]
    assert bool(filter) == bool(asked)
    assert all(filter.words().values())


@some
@given(runs(extras=False), st.data())
def test_frame_and_batches_and_plain_python_agree_on_the_rows(
    folder: Path, run: Record, data: st.DataObject
) -> None:
    rows = [(row, run["id"], position) for position, row in enumerate(run["results"])]
    asked = data.draw(conditions(rows))
    filter = ak.Filter(**asked)
    expected = [wanted(*row, asked) for row in rows]
    loaded = load_one(saved(folder / "run.json", dumped(run)))
    assert filter.mask(loaded.results).tolist() == expected
    assert [held for batch in loaded.batches() for held in _in_batch(filter, batch, run["id"])] == expected
    assert filter.apply(loaded.results).position.tolist() == [at for at, yes in enumerate(expected) if yes]


def _in_batch(filter: ak.Filter, batch: pa.RecordBatch, run_id: str) -> list[bool]:
    """As one batch holds all rows of so small a run, positions count from 0."""
    beside = batch.append_column("run_id", pa.array([run_id] * len(batch), pa.string()))
    return filter.mask(beside.append_column("position", pa.array(range(len(batch)), pa.int64()))).tolist()


@some
@given(conditions(), st.data())
def test_one_and_the_same_question_is_one_and_the_same_filter(
    asked: dict[str, Any], data: st.DataObject
) -> None:
    names = data.draw(st.permutations(list(asked)))
    shuffled = {name: _otherwise(asked[name]) for name in names}
    assert ak.Filter(**shuffled) == ak.Filter(**asked)
    assert {ak.Filter(**shuffled), ak.Filter(**asked)} == {ak.Filter(**asked)}


def _otherwise(wish: Any) -> Any:
    """The same wish in other words: of a choice in another order, one of them twice."""
    if isinstance(wish, tuple) and all(isinstance(one, str | None) for one in wish) and len(wish) != 2:
        return [*reversed(wish), *wish[:1]]
    return list(wish) if isinstance(wish, tuple) else wish


def test_a_filter_that_asks_for_nothing_is_falsy_and_holds_for_everything(results: pd.DataFrame) -> None:
    for nothing in (ak.Filter(), ak.Filter(notes=None, deviation=None)):
        assert not nothing
        assert nothing == ak.Filter()
        assert (repr(nothing), nothing.to_dict(), nothing.words()) == ("Filter()", {}, {})
        assert nothing.mask(results).all()
        pd.testing.assert_frame_equal(nothing.apply(results), results)
        assert nothing.apply(pd.DataFrame({"unrelated": [1, 2]})).unrelated.tolist() == [1, 2]
    assert ak.Filter(notes=())


def test_a_filter_cannot_be_changed_but_replaced() -> None:
    filter = ak.Filter(deviation=(5, 10), notes="late")
    with pytest.raises(dataclasses.FrozenInstanceError):
        filter.conditions = ()  # type: ignore[misc]
    assert filter.replace(notes=None) == ak.Filter(deviation=(5, 10))
    assert filter.replace(deviation=(0, None), reviewer=("a",)) == ak.Filter(
        deviation=(0, None), notes="late", reviewer=("a",)
    )
    assert filter == ak.Filter(deviation=(5, 10), notes="late")


def test_a_filter_shows_what_it_was_asked_for_in_plain_values() -> None:
    class Named(StrEnum):  # its own repr() would be <Named.A: 'a'>
        A = "a"
        MINOR = "minor"

    filter = ak.Filter(
        notes=np.str_("late"),
        reviewer=[Named.A, *np.array(["b", "a", "b"])],
        deviation_type={Named.MINOR, "critical"},
        user_score=np.array([0.5, 90.0]),
        ai_score=(np.float32(1.5), np.int64(7)),
        position=(-0.0, Fraction(1, 2)),
    )
    assert repr(filter) == (
        "Filter(position=(0, 0.5), user_score=(0.5, 90), ai_score=(1.5, 7), "
        "deviation_type=('minor', 'critical'), reviewer=('a', 'b'), notes='late')"
    )


def test_a_filter_says_in_words_what_it_was_asked_for() -> None:
    filter = ak.Filter(
        deviation=(20, None),
        difference=(None, -7.5),
        user_score=(0.1 + 0.2, 50),
        deviation_type=["critical", "major"],
        action_taken=["allow", None],
        notes="späti",
        reviewer=("", None),
        skill_area=(),
        timestamp=("2024-01-15", "2024-01-15T10:15:00Z"),
    )
    assert filter.words() == {
        "user_score": "0.3 to 50",
        "deviation": "20 or more",
        "difference": "up to -7.5",
        "deviation_type": "major or critical",
        "action_taken": "allow or missing",
        "skill_area": "no value",
        "timestamp": "2024-01-15 to 2024-01-15T10:15:00Z",
        "reviewer": "empty or missing",
        "notes": "contains “späti”",
    }


# --- applied to a frame -----------------------------------------------------------------------------------


def test_apply_keeps_the_order_and_the_index_of_the_rows(results: pd.DataFrame) -> None:
    shuffled = results.sample(frac=1, random_state=3)
    expected = shuffled[(shuffled.deviation >= 20) & (shuffled.deviation <= 40)]
    assert 20 < len(expected) < len(shuffled)
    pd.testing.assert_frame_equal(ak.Filter(deviation=(20, 40)).apply(shuffled), expected)
    named = shuffled.set_index(shuffled.deviation_type.astype("str"))  # an index whose labels repeat
    applied = ak.Filter(deviation=(20, 40)).apply(named)
    assert applied.index.tolist() == expected.deviation_type.tolist()
    assert applied.submission_id.tolist() == expected.submission_id.tolist()


def test_apply_leaves_the_frame_as_it_was(results: pd.DataFrame) -> None:
    before = results.copy(deep=True)
    applied = ak.Filter(deviation=(20, None)).apply(results)
    applied["user_score"] = 0.0
    pd.testing.assert_frame_equal(results, before)


def test_all_conditions_have_to_hold(results: pd.DataFrame) -> None:
    filter = ak.Filter(
        run_id=("run-003", "run-006"),
        position=(10, 600),
        difference=(None, -10),
        deviation_type=("major", "critical"),
        action_taken=("allow", None),
        timestamp=("2024-02-01", "2024-03-06"),
    )
    expected = results[
        results.run_id.isin(["run-003", "run-006"])
        & results.position.between(10, 600)
        & (results.user_score - results.ai_score <= -10)
        & results.deviation_type.isin(["major", "critical"])
        & (results.action_taken.isna() | (results.action_taken == "allow"))
        & (results.timestamp < pd.Timestamp("2024-03-07", tz="UTC"))
        & (results.timestamp >= pd.Timestamp("2024-02-01", tz="UTC"))
    ]
    assert 0 < len(expected) < 600
    pd.testing.assert_frame_equal(filter.apply(results), expected)


def test_a_frame_need_have_no_other_columns_than_those_asked_for(results: pd.DataFrame) -> None:
    scores = results[["ai_score", "user_score"]]
    expected = (results.user_score - results.ai_score).between(10, 20)
    assert ak.Filter(difference=(10, 20)).mask(scores).tolist() == expected.tolist()


def test_an_empty_frame_stays_empty_and_keeps_its_dtypes(results: pd.DataFrame) -> None:
    none = results[:0]
    filter = ak.Filter(
        run_id="run",
        difference=(0, None),
        deviation_type="minor",
        notes=("a", None),
        timestamp=("2024-01-01", None),
    )
    assert filter.mask(none).tolist() == []
    pd.testing.assert_frame_equal(filter.apply(none), none)


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"deviation": (90, 10)},
        {"timestamp": ("2024-03-05", "2024-03-04")},
        {"timestamp": ("2024-03-05T10:00:00Z", "2024-03-05T10:30:00+01:00")},
    ],
)
def test_a_range_that_ends_before_it_begins_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match="ends before it begins"):
        ak.Filter(**given)


def test_a_difference_is_compared_as_one_reads_it() -> None:
    frame = pd.DataFrame({"user_score": [85.1, 85.1, 78.0], "ai_score": [78.0, 77.9, 85.1]})
    assert 85.1 - 78 < 7.1  # what floats make of it
    assert ak.Filter(difference=(7.1, 7.1)).mask(frame).tolist() == [True, False, False]
    assert ak.Filter(difference=(None, -7.1)).mask(frame).tolist() == [False, False, True]


def test_a_range_includes_both_its_ends(results: pd.DataFrame) -> None:
    run = results[results.run_id == "run-001"]  # its deviations are 7 47 4 9 22 0 31 6
    assert held(ak.Filter(deviation=(6, 9)), run) == [0, 3, 7]
    assert held(ak.Filter(deviation=(31, None)), run) == [1, 6]
    assert held(ak.Filter(deviation=(None, 4)), run) == [2, 5]
    assert held(ak.Filter(deviation=(22, 22)), run) == [4]
    assert held(ak.Filter(deviation=(22.0000001, 30.9)), run) == []


def test_the_difference_is_the_score_of_the_human_less_that_of_the_ai(results: pd.DataFrame) -> None:
    run = results[results.run_id == "run-001"]  # 85-78 92-45 70-74 64-55 88-66 77-77 58-89 81-75
    assert held(ak.Filter(difference=(-4, 0)), run) == [2, 5]
    assert held(ak.Filter(difference=(None, -1)), run) == [2, 6]
    assert held(ak.Filter(difference=(9, None)), run) == [1, 3, 4]


def test_floats_are_compared_as_they_are_to_the_last_digit(tmp_path: Path) -> None:
    values = [
        0.3,
        0.1 + 0.2,
        math.nextafter(0.3, 0),
        5e-324,
        0,
        -0.0,
        1.7976931348623157e308,
        2**53,
        2**53 + 2,
    ]
    frame = frame_of(tmp_path, "user_score", values)
    assert held(ak.Filter(user_score=(0.1 + 0.2, 1)), frame) == [1]
    assert held(ak.Filter(user_score=(0.3, 0.3)), frame) == [0]
    assert held(ak.Filter(user_score=(-0.0, 0)), frame) == [4, 5]
    assert held(ak.Filter(user_score=(5e-324, 0.2)), frame) == [3]
    assert held(ak.Filter(user_score=(2**53, 2**53)), frame) == [7]
    assert held(ak.Filter(user_score=(2**53 + 2, None)), frame) == [6, 8]


@pytest.mark.parametrize(
    "large", [2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 1e19, 1e300, 1.7976931348623157e308]
)
def test_ends_beyond_all_whole_numbers_of_a_machine_are_compared(results: pd.DataFrame, large: float) -> None:
    for column in ("user_score", "position", "difference"):
        for end in (large, -large):
            assert ak.Filter(**{column: (None, end)}).mask(results).all() == (end > 0)
            assert ak.Filter(**{column: (end, None)}).mask(results).all() == (end < 0)


def test_positions_are_asked_for_as_numbers(results: pd.DataFrame) -> None:
    for asked, expected in [((2, 4), [2, 3, 4]), ((1.5, 3.5), [2, 3]), ((-5, 0), [0]), ((5, 1e9), [5, 6, 7])]:
        run = results[results.run_id == "run-001"]
        assert run.position[ak.Filter(position=asked).mask(run)].tolist() == expected


@pytest.mark.parametrize(
    "value",
    [
        5,
        "5",
        "58",
        b"58",
        True,
        (),
        (5,),
        (1, 2, 3),
        (None, None),
        [],
        {1, 2},
        {1: "a", 2: "b"},
        ("1", "2"),
        (1, "2"),
        (True, None),
        (np.True_, None),
        (float("nan"), None),
        (0, float("inf")),
        (pd.NA, 5),
        (10**400, None),
        (1j, None),
        np.zeros((2, 2)),
        ((1, 2), (3, 4)),
        date(2024, 1, 15),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("column", ["user_score", "difference", "position"])
def test_what_is_no_range_of_numbers_is_refused(column: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=rf"{column}=.*is no range|is no number.*{column}"):
        ak.Filter(**{column: value})


# --- instants ---------------------------------------------------------------------------------------------

CLOCKS = [
    "2024-01-14T23:59:59.999999Z",
    "2024-01-15T00:00:00Z",
    "2024-01-15T12:00:00Z",
    "2024-01-15T23:59:59.9999999Z",
    "2024-01-16T00:00:00Z",
    "2024-01-16T01:30:00+02:00",
    "2024-01-15T22:30:00-02:00",
]


def test_a_day_is_the_whole_day_of_utc(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "timestamp", CLOCKS)
    assert held(ak.Filter(timestamp=("2024-01-15", "2024-01-15")), frame) == [1, 2, 3, 5]
    assert held(ak.Filter(timestamp=(None, "2024-01-14")), frame) == [0]
    assert held(ak.Filter(timestamp=("2024-01-16", None)), frame) == [4, 6]


def test_an_instant_is_compared_whatever_offset_it_is_written_with(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "timestamp", CLOCKS)
    for noon in ("2024-01-15T12:00:00Z", "2024-01-15T14:30:00.0+02:30", "2024-01-14T23:00:00-13:00"):
        assert held(ak.Filter(timestamp=(noon, noon)), frame) == [2]
        assert held(ak.Filter(timestamp=(None, noon)), frame) == [0, 1, 2]
    assert held(ak.Filter(timestamp=("2024-01-16T00:00:00+00:01", "2024-01-15T23:59:59.5Z")), frame) == []
    assert held(ak.Filter(timestamp=("2024-01-15T00:00:00.000001Z", "2024-01-15")), frame) == [2, 3, 5]


def test_digits_past_the_microsecond_are_cut_in_the_rows_and_in_the_filter(tmp_path: Path) -> None:
    frame = frame_of(
        tmp_path,
        "timestamp",
        [f"2024-01-15T10:00:00.{digits}Z" for digits in ("123456", "123456789", "123457")],
    )
    for end in ("2024-01-15T10:00:00.123456001Z", "2024-01-15T10:00:00.123456999999Z"):
        assert held(ak.Filter(timestamp=(end, end)), frame) == [0, 1]
        assert ak.Filter(timestamp=(end, None)).to_dict() == {"timestamp": [end, None]}


def test_days_and_instants_of_python_and_pandas_are_taken(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "timestamp", CLOCKS)
    noon = "2024-01-15T12:00:00Z"
    five = timezone(timedelta(hours=5))
    for end in (
        datetime(2024, 1, 15, 12, tzinfo=UTC),
        datetime(2024, 1, 15, 17, tzinfo=five),
        pd.Timestamp(noon),
        pd.Timestamp("2024-01-15T21:00", tz="Asia/Tokyo"),
    ):
        filter = ak.Filter(timestamp=(end, end))
        assert filter == ak.Filter(timestamp=(noon, noon))
        assert held(filter, frame) == [2]
    assert ak.Filter(timestamp=(date(2024, 1, 15), None)) == ak.Filter(timestamp=("2024-01-15", None))
    days = pd.date_range("2024-01-15", periods=2, tz="UTC")
    assert held(ak.Filter(timestamp=days), frame) == [1, 2, 3, 4, 5]  # to the first moment of the 16th
    fine = ak.Filter(timestamp=(pd.Timestamp("2024-01-15T10:00:00.123456789Z"), None))
    assert fine.to_dict() == {"timestamp": ["2024-01-15T10:00:00.123456789Z", None]}


def test_the_first_and_the_last_years_can_be_asked_for(results: pd.DataFrame) -> None:
    for asked in (
        ("0001-01-01", "9999-12-31"),
        ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    ):
        assert ak.Filter(timestamp=asked).mask(results).all()


@pytest.mark.parametrize(
    "end",
    [
        "yesterday",
        "",
        "2024",
        "2024-01",
        "2024-1-15",
        "20240115",
        "2024-W03-1",
        "2024-02-30",
        "0000-01-01",
        "0000-01-01T00:00:00Z",
        "2024-01-15T10:15:00",
        "2024-01-15 10:15:00Z",
        "2024-01-15T10:15Z",
        "2024-01-15T24:00:00Z",
        " 2024-01-15",
        "2024-01-15\n",
        "٢٠٢٤-٠١-١٥",
        2024,
        1705312800.0,
        True,
        datetime(2024, 1, 15, 12),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        pd.Timestamp("2024-01-15"),
        pd.NaT,
        np.datetime64("2024-01-15"),
        b"2024-01-15",
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_time_is_refused(end: Any) -> None:
    with pytest.raises(InvalidOptionError, match="is no time to compare timestamp with"):
        ak.Filter(timestamp=(end, None))
    with pytest.raises(InvalidOptionError, match="is no time to compare timestamp with"):
        ak.Filter(timestamp=("2024-01-15", end))


@pytest.mark.parametrize("value", ["2024-01-15", "2024-01-15T10:15:00Z", date(2024, 1, 15), (None, None), 5])
def test_what_is_no_range_of_times_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"timestamp=.* is no range.*None leaves one end open"):
        ak.Filter(timestamp=value)


# --- categories -------------------------------------------------------------------------------------------


def test_a_category_takes_one_of_its_values_or_several(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "action_taken", ["allow", None, "override", "escalate", "allow"])
    assert held(ak.Filter(action_taken="allow"), frame) == [0, 4]
    assert ak.Filter(action_taken="allow") == ak.Filter(action_taken=("allow",))
    assert held(ak.Filter(action_taken=["override", "allow"]), frame) == [0, 2, 4]
    assert held(ak.Filter(action_taken=[None]), frame) == [1]
    assert held(ak.Filter(action_taken=("escalate", None)), frame) == [1, 3]
    assert held(ak.Filter(action_taken=ACTIONS), frame) == [0, 2, 3, 4]
    assert held(ak.Filter(action_taken=()), frame) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("deviation_type", "Minor", "'Minor'.*none, minor, major, critical, or None"),
        ("deviation_type", "min", "'min'"),
        ("deviation_type", "", "''"),
        ("task_difficulty", ("easy", "simple"), "'simple'.*easy, medium, hard, expert"),
        ("action_taken", "missing", "'missing'"),
        ("action_taken", (float("nan"),), "nan"),
        ("action_taken", (pd.NA,), "NA"),
        ("suggested_action", 5, "5"),
        ("suggested_action", (["allow"],), r"\['allow'\]"),
        ("suggested_action", b"allow", "b'allow'"),
        ("suggested_action", "\ud800", "ud800"),
    ],
)
def test_a_category_is_asked_for_its_own_values_only(column: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidOptionError, match=said) as caught:
        ak.Filter(**{column: value})
    assert f"is no value of {column}" in str(caught.value)


# --- texts ------------------------------------------------------------------------------------------------

NOTES = ["Late, but sound", "late", "LATE again", "", None, "a.*b", "axxb", "50% (late)", "[a-z]"]


def test_a_text_has_to_contain_a_text_in_capitals_or_not(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "notes", NOTES)
    assert held(ak.Filter(notes="late"), frame) == [0, 1, 2, 7]
    assert held(ak.Filter(notes="LATE A"), frame) == [2]
    assert held(ak.Filter(notes=" "), frame) == [0, 2, 7]
    assert held(ak.Filter(notes="early"), frame) == []


def test_letters_that_mean_something_to_a_regex_mean_themselves(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "notes", NOTES)
    assert held(ak.Filter(notes="a.*b"), frame) == [5]
    assert held(ak.Filter(notes="[A-Z]"), frame) == [8]
    assert held(ak.Filter(notes="% ("), frame) == [7]
    for odd in (".", "^", "$", "(", ")*", "\\", "\\d", "(?i)", "[", "\\Q", "\\E", "|", "+?"):
        expected = [row for row, note in enumerate(NOTES) if note and odd in note]
        assert held(ak.Filter(notes=odd), frame) == expected, odd


def test_capitals_beyond_ascii_are_told_from_nothing_but_other_letters(tmp_path: Path) -> None:
    words = ["Café", "CAFÉ", "cafe", "cafe\u0301", "ΣΟΦΟΣ", "σοφός", "Привет", "漢字", "😀é"]
    frame = frame_of(tmp_path, "notes", words)
    assert held(ak.Filter(notes="É"), frame) == [0, 1, 8]
    assert held(ak.Filter(notes="é"), frame) == [0, 1, 8]
    assert held(ak.Filter(notes="E"), frame) == [2, 3]
    assert held(ak.Filter(notes="σοφ"), frame) == [4, 5]
    assert held(ak.Filter(notes="ПРИВЕТ"), frame) == [6]
    assert held(ak.Filter(notes="字"), frame) == [7]
    assert held(ak.Filter(notes="😀É"), frame) == [8]


def test_a_tuple_of_texts_is_a_choice_of_whole_texts(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "notes", NOTES)
    assert held(ak.Filter(notes=("late",)), frame) == [1]
    assert held(ak.Filter(notes=["late", "a.*b", "nowhere"]), frame) == [1, 5]
    assert held(ak.Filter(notes=()), frame) == []


def test_empty_and_missing_are_two_things(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "notes", NOTES)
    assert held(ak.Filter(notes=("",)), frame) == [3]
    assert held(ak.Filter(notes=(None,)), frame) == [4]
    assert held(ak.Filter(notes=("", None)), frame) == [3, 4]
    assert held(ak.Filter(notes=(None, "late")), frame) == [1, 4]
    with pytest.raises(InvalidOptionError, match=r"notes=''.*\('',\) for empty"):
        ak.Filter(notes="")


def test_what_is_missing_meets_no_condition_but_none(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "notes", [None, None, "x"])
    frame["user_score"] = [None, 1.0, 2.0]
    frame["timestamp"] = [pd.NaT, *frame.timestamp[1:]]
    assert held(ak.Filter(notes="x"), frame) == [2]
    assert held(ak.Filter(user_score=(-1e9, None)), frame) == [1, 2]
    assert held(ak.Filter(difference=(None, 1e9)), frame) == [1, 2]
    assert held(ak.Filter(timestamp=("2000-01-01", None)), frame) == [1, 2]


def test_ids_that_look_like_numbers_are_texts(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, "user_id", ["007", "7", "7.0", "NA", "nan", "1e5"])
    assert held(ak.Filter(user_id=("7",)), frame) == [1]
    assert held(ak.Filter(user_id="7"), frame) == [0, 1, 2]
    assert held(ak.Filter(user_id=("NA", "nan", None)), frame) == [3, 4]


def test_a_long_text_is_looked_for_as_it_is(tmp_path: Path) -> None:
    long = "Каждый балл with its reason; " * 400
    frame = frame_of(tmp_path, "notes", [long, long[:-1], f"x{long}x", None])
    assert held(ak.Filter(notes=long.swapcase()), frame) == [0, 2]
    assert held(ak.Filter(notes=(long,)), frame) == [0]


@pytest.mark.parametrize("value", [5, 5.5, True, b"a", ("a", 5), (b"a",), [["a"]], {"a": 1, 5: 2}, (pd.NA,)])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"is no value of notes\. Give a text, or None"):
        ak.Filter(notes=value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    for value in (text, (text,), ("a", text)):
        with pytest.raises(InvalidOptionError, match=r"ud.*lone surrogate"):
            ak.Filter(notes=value)


# --- columns that are not there, or not what they should be -----------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("deviaton", "deviation"),
        ("userScore", "user_score"),
        ("submission", "submission_id"),
        ("actionTaken", "action_taken"),
        ("note", "notes"),
        ("differnce", "difference"),
    ],
)
def test_an_unknown_column_is_named_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"no column '{name}'. Did you mean '{nearest}'"):
        ak.Filter(**{name: (1, 2)})


@pytest.mark.parametrize("name", ["extra", "zzz", "started_at", "", "conditions"])
def test_a_column_that_is_like_no_other_is_answered_with_all_there_are(name: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"no column '{name}'") as caught:
        ak.Filter(**{name: None})
    assert "Did you mean" in str(caught.value) or all(column in str(caught.value) for column in COLUMNS)


@pytest.mark.parametrize("column", [*RESULT_COLUMNS.values(), "run_id", "position"])
def test_a_frame_or_a_batch_that_lacks_the_column_is_refused(results: pd.DataFrame, column: str) -> None:
    asked: Any = "easy" if column == "task_difficulty" else "minor" if column == "deviation_type" else "allow"
    if column in (*NUMBERS, "position"):
        asked = (0, None)
    elif column == "timestamp":
        asked = ("2024-01-15", None)
    filter = ak.Filter(**{column: asked})
    batch = next(iter(ak.load_run("run-001", source=SAMPLES).batches()))
    lacking = batch.drop_columns([column]) if column in batch.schema.names else batch
    for broken in (
        results.drop(columns=column),
        results.set_index(column),
        pd.concat([results, results[[column]]], axis=1),
        lacking,
    ):
        with pytest.raises(InvalidOptionError, match=rf"column {column}\b"):
            filter.mask(broken)


def test_the_difference_needs_both_scores(results: pd.DataFrame) -> None:
    for column in ("user_score", "ai_score"):
        with pytest.raises(InvalidOptionError, match=f"column {column}"):
            ak.Filter(difference=(0, None)).apply(results.drop(columns=column))


ALL_TEXT = ak.Filter(notes="i")
ALL_NUMBERS = ak.Filter(user_score=(50, None), difference=(-20, 20), position=(1, 1200))
ALL_TIMES = ak.Filter(timestamp=("2024-02-01", "2024-03-06T12:00:00Z"))
ALL_CATEGORIES = ak.Filter(deviation_type=("minor", "major"), action_taken=("allow", None))
WHOLE_NUMBERS = ["int8", "uint8", "int16", "int64", "uint64", "Int64", "Float64", "int64[pyarrow]", "object"]


def assert_same_rows(filter: ak.Filter, frame: pd.DataFrame, like: pd.DataFrame) -> None:
    expected = held(filter, like)
    assert 0 < len(expected) < len(like)
    assert held(filter, frame) == expected


@pytest.mark.parametrize(
    "dtype", ["object", "string[python]", "string[pyarrow]", "category", pd.ArrowDtype(pa.string())], ids=str
)
def test_texts_and_categories_of_any_dtype_are_texts(results: pd.DataFrame, dtype: Any) -> None:
    assert_same_rows(ALL_TEXT, results.astype({"notes": dtype}), results)
    assert_same_rows(
        ALL_CATEGORIES, results.astype({"deviation_type": dtype, "action_taken": dtype}), results
    )
    assert_same_rows(ak.Filter(run_id=("run-001",)), results.astype({"run_id": dtype}), results)


@pytest.mark.parametrize("dtype", WHOLE_NUMBERS)
def test_scores_of_any_dtype_are_numbers_and_their_difference_never_wraps(
    results: pd.DataFrame, dtype: str
) -> None:
    whole = results.assign(
        user_score=results.user_score.round().clip(0, 100), ai_score=results.ai_score.round().clip(0, 100)
    )
    scores: dict[str, Any] = {"user_score": dtype, "ai_score": dtype}
    assert_same_rows(ALL_NUMBERS, whole.astype(scores), whole)
    signs = pd.DataFrame({"user_score": [5, 100, 0], "ai_score": [100, 5, 0]}).astype(scores)
    assert held(ak.Filter(difference=(None, -1)), signs) == [0]
    assert held(ak.Filter(difference=(95, 95)), signs) == [1]
    assert held(ak.Filter(user_score=(-300, 300)), signs) == [0, 1, 2]


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32"])
def test_narrow_floats_are_numbers(dtype: str) -> None:
    frame = pd.DataFrame({"user_score": [0.5, 60.25, 90]}).astype(dtype)  # all of them exact in each
    assert held(ak.Filter(user_score=(0.5, 60.25)), frame) == [0, 1]


@pytest.mark.parametrize("dtype", ["int16", "uint64", "Int64", "object", "int64[pyarrow]", "float64"])
def test_positions_of_any_dtype_are_numbers(results: pd.DataFrame, dtype: str) -> None:
    assert_same_rows(ak.Filter(position=(3, 900)), results.astype({"position": dtype}), results)


def test_whole_numbers_past_all_exact_doubles_can_be_compared() -> None:
    frame = pd.DataFrame({"user_score": [2**53 + 1, 2**63 - 1, 5]})
    assert held(ak.Filter(user_score=(6, None)), frame) == [0, 1]


@pytest.mark.parametrize(
    "dtype",
    [
        "datetime64[s, UTC]",
        "datetime64[ns, UTC]",
        "datetime64[us, Asia/Tokyo]",
        "datetime64[ns, America/New_York]",
        "object",
        pd.ArrowDtype(pa.timestamp("ns", "UTC")),
        pd.ArrowDtype(pa.timestamp("ms", "Asia/Tokyo")),
    ],
    ids=str,
)
def test_instants_of_any_unit_and_zone_are_instants(results: pd.DataFrame, dtype: Any) -> None:
    whole = results.assign(timestamp=results.timestamp.dt.floor("s"))
    assert_same_rows(ALL_TIMES, whole.astype({"timestamp": dtype}), whole)


def test_a_column_in_which_everything_is_missing_can_be_asked_for(results: pd.DataFrame) -> None:
    for dtype in ("object", "str", "category"):
        frame = results.assign(
            notes=pd.Series([None] * len(results), dtype=dtype),
            action_taken=pd.Series(index=results.index, dtype=dtype),
        )
        assert not ak.Filter(notes="a").mask(frame).any()
        assert not ak.Filter(notes=("a", "")).mask(frame).any()
        assert ak.Filter(notes=("a", None), action_taken=(None,)).mask(frame).all()
        assert not ak.Filter(action_taken="allow").mask(frame).any()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("user_score", ["85", "92"]),
        ("user_score", [85, "92"]),
        ("user_score", [True, False]),
        ("user_score", [True, 85]),
        ("user_score", pd.to_datetime(["2024-01-15", "2024-01-16"])),
        ("user_score", pd.Categorical(["a", "b"])),
        ("user_score", [(1, 2), (3,)]),
        ("position", [0.5, 1.0]),
        ("notes", [1, 2]),
        ("notes", [1, "a"]),
        ("notes", [b"a", b"b"]),
        ("notes", ["\ud800", "a"]),
        ("notes", pd.Categorical([1, 2])),
        ("deviation_type", [0, 1]),
        ("deviation_type", pd.Categorical([0, 1])),
        ("timestamp", ["2024-01-15T10:15:00Z", "2024-01-15T10:30:00Z"]),
        ("timestamp", pd.Categorical(["2024-01-15T10:15:00Z", "2024-01-15T10:30:00Z"])),
        ("timestamp", pd.Categorical(pd.to_datetime(["2024-01-15", "2024-01-16"], utc=True))),
        ("timestamp", pd.to_datetime(["2024-01-15", "2024-01-16"])),  # of which zone?
        ("timestamp", [datetime(2024, 1, 15), datetime(2024, 1, 16)]),
        ("timestamp", [1705312800, 1705312801]),
        ("timestamp", [date(2024, 1, 15), date(2024, 1, 16)]),
    ],
)
def test_a_column_that_holds_something_else_is_refused_in_words(column: str, values: Any) -> None:
    asked: Any = {
        "user_score": (0, None),
        "position": (0, None),
        "notes": "a",
        "deviation_type": "minor",
        "timestamp": ("2024-01-15", None),
    }[column]
    objects = isinstance(values, list)
    frame = pd.DataFrame({column: pd.Series(values, dtype="object") if objects else values})
    with pytest.raises(InvalidOptionError, match=rf"column {column} of the frame holds .*load_results"):
        ak.Filter(**{column: asked}).mask(frame)
