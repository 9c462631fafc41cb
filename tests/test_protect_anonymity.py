"""k-anonymity: the smallest group of rows, counted by hand and by a counter of tuples."""

from __future__ import annotations

from collections import Counter
from dataclasses import FrozenInstanceError
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auditkit as ak
from auditkit.errors import InvalidOptionError
from auditkit.protect.anonymity import SmallestGroup, k_anonymity

# Eleven made-up patients: pairs, one triple and nobody alone in birth, gender and place.
PATIENTS = pd.DataFrame(
    [
        ("1965", "m", "021", "cough"),
        ("1965", "m", "021", "fever"),
        ("1964", "f", "022", "fever"),
        ("1964", "f", "022", "cough"),
        ("1964", "m", "022", "fever"),
        ("1964", "m", "022", "cough"),
        ("1964", "m", "022", "pain"),
        ("1967", "m", "021", "fever"),
        ("1967", "m", "021", "fever"),
        ("1967", "f", "021", "pain"),
        ("1967", "f", "021", "rash"),
    ],
    columns=["birth", "gender", "place", "illness"],
)


def test_the_smallest_group_is_found_with_its_values() -> None:
    found = k_anonymity(PATIENTS, ["birth", "gender", "place"])
    assert found == SmallestGroup(
        k=2, group={"birth": "1965", "gender": "m", "place": "021"}, groups=5, alone=0
    )
    assert int(found) == 2


def test_a_row_that_stands_alone_makes_it_one() -> None:
    found = k_anonymity(PATIENTS, ["birth", "gender", "illness"])
    assert found.group == {"birth": "1965", "gender": "m", "illness": "cough"}
    assert (found.k, found.groups, found.alone) == (1, 10, 9)


def test_one_column_may_be_named_alone_and_twice_is_once() -> None:
    expected = SmallestGroup(k=4, group={"gender": "f"}, groups=2, alone=0)
    assert k_anonymity(PATIENTS, "gender") == k_anonymity(PATIENTS, ["gender", "gender"]) == expected


def test_missing_is_a_value_of_its_own_however_it_is_spelt() -> None:
    frame = pd.DataFrame({"a": ["x", None, float("nan"), "x", pd.NA], "b": [1, 1, 1, 1, 1]}, dtype=object)
    assert k_anonymity(frame, ["a", "b"]) == SmallestGroup(k=2, group={"a": "x", "b": 1}, groups=2, alone=0)
    assert k_anonymity(frame.drop(index=[1, 2]), ["a"]) == SmallestGroup(
        k=1, group={"a": None}, groups=2, alone=1
    )


def test_levels_that_do_not_occur_are_no_groups() -> None:
    levels = pd.CategoricalDtype(["easy", "medium", "hard", "expert"], ordered=True)
    frame = pd.DataFrame({"a": pd.Series(["hard", "easy", "hard"], dtype=levels), "b": [1, 1, 1]})
    assert k_anonymity(frame, ["a", "b"]) == SmallestGroup(
        k=1, group={"a": "easy", "b": 1}, groups=2, alone=1
    )
    missing = pd.DataFrame({"a": pd.Series([None, "easy", None], dtype=levels)})
    assert k_anonymity(missing, ["a"]) == SmallestGroup(k=1, group={"a": "easy"}, groups=2, alone=1)


def test_instants_and_numbers_are_values_too() -> None:
    instants = pd.to_datetime(["2024-01-15", "2024-01-16", "2024-01-15"], utc=True)
    found = k_anonymity(pd.DataFrame({"at": instants, "score": [0.0, 1.5, -0.0]}), ["at", "score"])
    assert found == SmallestGroup(
        k=1, group={"at": pd.Timestamp("2024-01-16", tz="UTC"), "score": 1.5}, groups=2, alone=1
    )


def test_no_rows_are_no_group() -> None:
    empty = SmallestGroup(k=0, group={}, groups=0, alone=0)
    assert k_anonymity(PATIENTS.iloc[:0], ["birth"]) == empty
    assert int(empty) == 0


def test_results_as_they_are_loaded_serve() -> None:
    results = ak.load_results(source="sample_data/runs")
    found = k_anonymity(results, ["skill_area", "task_difficulty", "action_taken"])
    counted = Counter(
        tuple(None if pd.isna(value) else value for value in row)
        for row in results[["skill_area", "task_difficulty", "action_taken"]].itertuples(index=False)
    )
    assert (found.k, found.groups) == (min(counted.values()), len(counted))


@pytest.mark.parametrize("columns", [[], (), ["absent"], ["birth", "absent"]])
def test_no_column_and_an_unknown_one_are_refused(columns: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"No columns are given|needs one column absent"):
        k_anonymity(PATIENTS, columns)
    twice = pd.concat([PATIENTS, PATIENTS], axis=1)
    with pytest.raises(InvalidOptionError, match="needs one column birth"):
        k_anonymity(twice, ["birth"])


def test_the_answer_cannot_be_changed() -> None:
    found = k_anonymity(PATIENTS, ["birth"])
    with pytest.raises(FrozenInstanceError):
        found.k = 99  # type: ignore[misc]


VALUES = st.sampled_from(["a", "b", "", "nan", "None", None])
ROWS = st.lists(st.tuples(VALUES, VALUES, st.integers(0, 2)), max_size=30)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True), st.booleans())
def test_it_agrees_with_a_counter_of_tuples(
    rows: list[tuple[Any, ...]], columns: list[str], categories: bool
) -> None:
    frame = pd.DataFrame(rows, columns=["x", "y", "z"]).astype({"x": "str", "y": object})
    if categories:
        frame = frame.astype({"x": pd.CategoricalDtype(["b", "never", "a", "", "nan", "None"])})
    frame.index = frame.index[::-1]
    counted = Counter(tuple(row["xyz".index(name)] for name in columns) for row in rows)
    found = k_anonymity(frame, columns)
    assert int(found) == min(counted.values(), default=0)
    assert (found.groups, found.alone) == (len(counted), sum(n == 1 for n in counted.values()))
    if rows:
        first = next(values for values, n in counted.items() if n == found.k)  # in the order of the rows
        assert found.group == dict(zip(columns, first, strict=True))


def test_the_control_that_forgets_missing_values_disagrees() -> None:
    """A plain groupby leaves out the rows with a missing value: here the only one that stands alone."""
    frame = pd.DataFrame({"a": ["x", "x", None]})
    assert frame.groupby("a").size().min() == 2
    assert k_anonymity(frame, ["a"]).k == 1
