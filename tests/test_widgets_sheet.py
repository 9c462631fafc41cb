"""Sheet: rows by place, in any order, narrowed by conditions, as texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import a_result, a_run, dumped, saved
from strategies import results as some_results

import auditkit as ak
from auditkit.errors import InvalidOptionError
from auditkit.filters import FILTER_FIELDS
from auditkit.widgets.sheet import Sheet, signed

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
COLUMNS = tuple(FILTER_FIELDS)
CATEGORIES = {
    "deviation_type": ["none", "minor", "major", "critical"],
    "suggested_action": ["allow", "flag_for_review", "escalate", "override"],
    "action_taken": ["allow", "flag_for_review", "escalate", "override"],
    "task_difficulty": ["easy", "medium", "hard", "expert"],
}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return ak.load_results(source=SAMPLES)


def frame_of(folder: Path, *rows: dict[str, Any]) -> pd.DataFrame:
    """A results frame of these results, read from a file."""
    return ak.load_results(source=saved(folder / "run.json", dumped(a_run(list(rows)))))


def sheet_of(frame: pd.DataFrame) -> Sheet:
    return Sheet(frame, FILTER_FIELDS)


def everything(sheet: Sheet) -> np.ndarray:
    return np.arange(len(sheet))


def differences(frame: pd.DataFrame) -> pd.Series:
    """To ten decimals; as they are where no decimals are left."""
    raw = frame.user_score - frame.ai_score
    return raw.where(raw.abs() > 1e9, raw.clip(-1e9, 1e9).round(10))


def values_of(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column as plain values that Python can compare; None where missing."""
    column = differences(frame) if name == "difference" else frame[name]
    values = [None if pd.isna(value) else value for value in column]
    rank = {value: at for at, value in enumerate(CATEGORIES.get(name, []))}
    return [value if value is None else rank.get(value, value) for value in values]


def sorted_by_hand(frame: pd.DataFrame, name: str, descending: bool) -> list[int]:
    """Places sorted by Python's own stable sort, missing ones last."""
    values = values_of(frame, name)
    there = [place for place, value in enumerate(values) if value is not None]
    missing = [place for place, value in enumerate(values) if value is None]
    return [*sorted(there, key=lambda place: values[place], reverse=descending), *missing]


# --- orders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_sorts_stably_with_missing_values_last(
    results: pd.DataFrame, name: str, descending: bool
) -> None:
    order = sheet_of(results).order(name, descending)
    assert order.tolist() == sorted_by_hand(results, name, descending)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_sorts_as_pandas_sorts_it(results: pd.DataFrame, name: str, descending: bool) -> None:
    frame = results.assign(difference=(results.user_score - results.ai_score).round(10))
    expected = frame.sort_values(name, ascending=not descending, kind="stable").index
    assert sheet_of(results).order(name, descending).tolist() == expected.to_list()


def test_categories_sort_in_the_order_of_the_table_not_of_the_alphabet(tmp_path: Path) -> None:
    kinds = ["minor", "critical", "none", "major", "none"]
    frame = frame_of(tmp_path, *(a_result(n, deviationType=kind) for n, kind in enumerate(kinds)))
    assert sheet_of(frame).order("deviation_type", False).tolist() == [2, 4, 0, 3, 1]
    assert sheet_of(frame).order("deviation_type", True).tolist() == [1, 3, 0, 2, 4]


def test_differences_sort_with_their_sign(tmp_path: Path) -> None:
    scores = [(50, 50), (10, 90), (90, 10), (50, 57.5)]
    frame = frame_of(tmp_path, *(a_result(n, userScore=u, aiScore=a) for n, (u, a) in enumerate(scores)))
    assert sheet_of(frame).order("difference", True).tolist() == [2, 0, 3, 1]


def test_missing_decisions_stand_last_in_both_directions(tmp_path: Path) -> None:
    taken = [None, "override", "allow", None]
    frame = frame_of(tmp_path, *(a_result(n, actionTaken=action) for n, action in enumerate(taken)))
    assert sheet_of(frame).order("action_taken", False).tolist() == [2, 1, 0, 3]
    assert sheet_of(frame).order("action_taken", True).tolist() == [1, 2, 0, 3]


@given(rows=st.lists(some_results(), max_size=8), name=st.sampled_from(COLUMNS), descending=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_results_sort_stably(
    rows: list[dict[str, Any]], name: str, descending: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame = frame_of(tmp_path_factory.mktemp("run"), *rows)
    assert sheet_of(frame).order(name, descending).tolist() == sorted_by_hand(frame, name, descending)


# --- conditions -----------------------------------------------------------------------------------------


def test_a_mask_is_that_of_the_filter(results: pd.DataFrame) -> None:
    filter = ak.Filter(difference=(-20, -5.5), action_taken=("allow", None), notes="a", reviewer=(None, "x"))
    expected = filter.mask(results)
    assert sheet_of(results).mask(dict(filter.conditions)).tolist() == expected.tolist()


def test_no_condition_takes_every_row(results: pd.DataFrame) -> None:
    assert sheet_of(results).mask({}).all()


def test_a_mask_may_be_changed_without_changing_the_next(results: pd.DataFrame) -> None:
    sheet, filter = sheet_of(results), ak.Filter(deviation=(50, None))
    first = sheet.mask(dict(filter.conditions))
    count = first.sum()
    first[:] = True
    assert sheet.mask(dict(filter.conditions)).sum() == count == (results.deviation >= 50).sum()


def test_what_was_worked_out_is_kept_and_does_not_pile_up(results: pd.DataFrame) -> None:
    sheet = sheet_of(results)
    assert sheet.order("notes", True) is sheet.order("notes", True)
    for name in COLUMNS:
        for descending in (False, True):
            sheet.order(name, descending)
    for low in range(100):
        sheet.mask(dict(ak.Filter(deviation=(low, None)).conditions))
    stores = [store for store in vars(sheet).values() if isinstance(store, dict)]
    kept = [array for store in stores for array in store.values() if isinstance(array, np.ndarray)]
    assert 0 < len(kept) <= 24


# --- texts ----------------------------------------------------------------------------------------------


def test_cells_are_the_values_as_they_are_recorded(tmp_path: Path) -> None:
    row = a_result(
        7, userScore=85.10, aiScore=78, deviation=7.1, timestamp="2024-01-15T15:45:00.250+05:30", notes=" a\n"
    )
    sheet = sheet_of(frame_of(tmp_path, row))
    (cells,) = sheet.cells(everything(sheet), COLUMNS)
    assert dict(zip(COLUMNS, cells, strict=True)) == {
        "run_id": "run-001",
        "position": "0",
        "result_id": "result-7",
        "submission_id": "sub-007",
        "user_id": "user-7",
        "user_score": "85.1",
        "ai_score": "78",
        "difference": "+7.1",
        "deviation": "7.1",
        "deviation_type": "minor",
        "suggested_action": "flag_for_review",
        "action_taken": "allow",
        "task_title": "Build a responsive navigation bar",
        "skill_area": "frontend",
        "task_difficulty": "medium",
        "timestamp": "2024-01-15 10:15:00.25Z",
        "reviewer": "admin-1",
        "notes": " a\n",
    }


def test_a_missing_value_is_none_and_an_empty_text_is_empty(tmp_path: Path) -> None:
    rows = [a_result(0, notes=None, actionTaken=None), a_result(1, notes="", reviewer="")]
    sheet = sheet_of(frame_of(tmp_path, *rows))
    names = ["notes", "action_taken", "reviewer"]
    assert sheet.cells(everything(sheet), names) == [[None, None, "admin-1"], ["", "allow", ""]]
    assert [sheet.text("notes", place) for place in (0, 1)] == [None, ""]


def test_long_texts_are_cut_in_cells_and_whole_where_all_is_asked_for(tmp_path: Path) -> None:
    note = "漢" * 201
    sheet = sheet_of(frame_of(tmp_path, a_result(0, notes=note), a_result(1, notes=note[:200])))
    assert sheet.cells(everything(sheet), ["notes"]) == [["漢" * 200 + "…"], [note[:200]]]
    assert sheet.cells(everything(sheet), ["notes"], letters=None) == [[note], [note[:200]]]
    assert sheet.text("notes", 0) == note


def test_cells_come_in_the_order_asked_for(results: pd.DataFrame) -> None:
    places = np.array([1579, 0, 700])
    expected = [[results.submission_id[place]] for place in places]
    assert sheet_of(results).cells(places, ["submission_id"]) == expected
    assert sheet_of(results).cells(places[:0], ["submission_id"]) == []


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (7.0, "+7"),
        (-3.5, "-3.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e300, "+1e+300"),
        (float("inf"), "+inf"),
    ],
)
def test_a_difference_has_its_sign(difference: float, text: str) -> None:
    assert signed(difference) == text


def test_a_difference_has_no_noise(tmp_path: Path) -> None:
    sheet = sheet_of(frame_of(tmp_path, a_result(0, userScore=85.1, aiScore=78, deviation=7.1)))
    assert 85.1 - 78 != 7.1  # 7.099999999999994
    assert sheet.text("difference", 0) == "+7.1"


def test_the_difference_is_user_minus_ai(tmp_path: Path) -> None:
    sheet = sheet_of(frame_of(tmp_path, a_result(0, userScore=60, aiScore=80, deviation=20)))
    assert sheet.text("difference", 0) == "-20"


# --- values ---------------------------------------------------------------------------------------------


def test_the_values_of_a_text_are_sorted_with_missing_last(tmp_path: Path) -> None:
    reviewers = ["b", None, "a", "", "b"]
    frame = frame_of(tmp_path, *(a_result(n, reviewer=one) for n, one in enumerate(reviewers)))
    assert sheet_of(frame).values("reviewer", 50) == ["", "a", "b", None]
    assert sheet_of(frame).values("reviewer", 3) is None


def test_the_values_of_a_category_are_those_of_the_table(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, a_result(0), a_result(1, actionTaken=None))
    assert sheet_of(frame).values("deviation_type", 1) == CATEGORIES["deviation_type"]
    assert sheet_of(frame).values("action_taken", 1) == [*CATEGORIES["action_taken"], None]


# --- frames of others -----------------------------------------------------------------------------------


def test_columns_that_are_not_there_are_left_out(results: pd.DataFrame) -> None:
    sheet = sheet_of(results[["notes", "user_score", "deviation"]])
    assert list(sheet.fields) == ["user_score", "deviation", "notes"]


def test_a_difference_needs_both_scores(results: pd.DataFrame) -> None:
    assert "difference" in sheet_of(results[["user_score", "ai_score"]]).fields
    assert "difference" not in sheet_of(results.drop(columns="ai_score")).fields


def test_other_dtypes_of_the_same_values_do(results: pd.DataFrame) -> None:
    head = results.head(20)
    other = head.astype(
        {"notes": object, "deviation_type": object, "user_score": "Float64", "position": "Int32"}
    )
    ours, theirs = sheet_of(head), sheet_of(other)
    assert theirs.cells(everything(theirs), COLUMNS) == ours.cells(everything(ours), COLUMNS)
    for name in COLUMNS:
        assert theirs.order(name, True).tolist() == ours.order(name, True).tolist()


def test_a_column_of_another_type_is_named(results: pd.DataFrame) -> None:
    sheet = sheet_of(results.assign(deviation="much"))
    with pytest.raises(InvalidOptionError, match=r"deviation of the frame .* Take it from load_results"):
        sheet.order("deviation", True)


def test_an_empty_frame_has_no_rows_and_all_columns(results: pd.DataFrame) -> None:
    sheet = sheet_of(results.head(0))
    assert len(sheet) == 0
    assert list(sheet.fields) == list(COLUMNS)
    for name in COLUMNS:
        assert sheet.order(name, True).tolist() == []
    assert sheet.cells(everything(sheet), COLUMNS) == []


def test_whoever_edits_the_frame_does_not_edit_what_is_shown(results: pd.DataFrame) -> None:
    mine = results.head(3).copy()
    sheet = sheet_of(mine)
    before = sheet.cells(everything(sheet), ["deviation", "notes"])
    mine.loc[0, "deviation"] = 99.0
    mine["notes"] = "edited"
    assert sheet.cells(everything(sheet), ["deviation", "notes"]) == before
