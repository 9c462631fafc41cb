"""Where a run disagrees with itself: every rule on runs made by hand, and silence about sound ones."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import reference_exporter as reference
from hypothesis import given, settings
from records import a_result, a_run, dumped, load_one, saved, without
from strategies import runs

import auditkit as ak

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
COLUMNS = ["rule", "where", "recorded", "recomputed", "severity"]

Row = tuple[str, str, str | None, str | None, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("findings")


@pytest.fixture
def findings(folder: Path) -> Any:
    """The findings of a run, as tuples; None where nothing is recorded or recomputed."""

    def of(run: dict[str, Any], rows: Any = None) -> list[Row]:
        loaded = load_one(saved(folder / "run.json", dumped(run)))
        return tuples(loaded.findings() if rows is None else loaded.select(rows).findings())

    return of


def tuples(frame: pd.DataFrame) -> list[Row]:
    assert list(frame.columns) == COLUMNS
    return [
        tuple(None if pd.isna(cell) else cell for cell in row)  # type: ignore[misc]
        for row in frame.itertuples(index=False)
    ]


def sound(*deviations: float, **changes: Any) -> dict[str, Any]:
    """A run of results with those deviations, and totals that are right but for the changes."""
    rows = [
        a_result(number, userScore=50 + deviation, aiScore=50, deviation=deviation)
        for number, deviation in enumerate(deviations)
    ]
    average = sum(deviations) / len(deviations) if deviations else None
    totals = {"totalSubmissions": len(rows), "averageDeviation": average, "criticalFlags": 0}
    return a_run(rows, **totals | changes)


# --- a sound run ----------------------------------------------------------------------------------------


def test_a_sound_run_has_no_findings_in_the_same_columns_and_dtypes(findings: Any, folder: Path) -> None:
    empty = load_one(saved(folder / "run.json", dumped(sound(1, 2, 3)))).findings()
    full = load_one(saved(folder / "run.json", dumped(sound(1, 2, 3, totalSubmissions=9)))).findings()
    assert (len(empty), len(full)) == (0, 1)
    assert list(empty.columns) == list(full.columns) == COLUMNS
    assert empty.dtypes.equals(full.dtypes)
    assert [str(empty[column].dtype) for column in COLUMNS[:4]] == ["str"] * 4
    assert empty.severity.cat.ordered
    assert list(empty.severity.cat.categories) == ["info", "warning", "error"]


def test_the_sample_of_the_specification_is_sound() -> None:
    assert tuples(ak.load_run("run-001", source=SAMPLES).findings()) == []


def test_the_samples_have_the_findings_that_their_readme_promises() -> None:
    # run-003: 24 results, two of them critical; mean deviation 8.9
    counts = {
        n: ak.load_run(f"run-00{n}", source=SAMPLES).findings().rule.value_counts().to_dict() for n in (3, 5)
    }
    assert counts[3] == {"total_submissions": 1, "average_deviation": 1, "critical_flags": 1}
    assert counts[5] == {"empty_run": 1}


# --- totals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [0, 2, 4, -3, 2**53 + 1])
def test_a_wrong_number_of_submissions_is_an_error(findings: Any, declared: int) -> None:
    run = sound(1, 2, 3, totalSubmissions=declared)
    assert findings(run) == [("total_submissions", "run.totalSubmissions", str(declared), "3", "error")]


def test_critical_flags_count_the_results_of_that_type(findings: Any) -> None:
    run = sound(30, 40, 5)
    for row, kind in zip(run["results"], ("critical", "critical", "major"), strict=True):
        row["deviationType"] = kind
    assert findings(run | {"criticalFlags": 2}) == []
    for declared in (0, 1, 3):
        finding = ("critical_flags", "run.criticalFlags", str(declared), "2", "error")
        assert findings(run | {"criticalFlags": declared}) == [finding]


@pytest.mark.parametrize(
    ("deviations", "declared"),
    [
        ((7, 7, 7), 7),
        ((15, 16, 16.25), 15.75),  # 47.25 / 3
        ((15, 16, 16.25), 15.8),  # half of its last decimal away
        ((15, 16, 16.25), 15.7),
        ((15, 16, 16.25), 16),
        ((1, 2), 1.5),
        ((1, 2), 1),  # a half is within a whole number's tolerance, up and down
        ((1, 2), 2),
        ((10, 10, 11), 10.333),
        ((10, 10, 11), 10.33),
        ((10, 10, 11), 10.3),
        ((10, 10, 11), 10),
        ((10, 10, 11), 31 / 3),
        ((12.345, 12.345), 12.345),
        ((12.344, 12.346), 12.345),
        ((12.3454, 12.3454), 12.345),
        ((0.1, 0.2), 0.15),
        ((0.1, 0.2, 0.3), 0.2),
        ((0.1,) * 10, 0.1),
        ((0, 0), 0),
        ((0.0000001, 0.0000001), 1e-7),
        ((20.4, 19.6), 2e1),
    ],
)
def test_an_average_is_right_within_half_of_its_last_decimal(
    findings: Any, deviations: tuple[float, ...], declared: float
) -> None:
    assert findings(sound(*deviations, averageDeviation=declared)) == []


@pytest.mark.parametrize(
    ("deviations", "declared", "mean"),
    [
        ((7, 7, 7), 7.1, 7),
        ((7, 7, 7), 8, 7),
        ((15, 16, 16.25), 15.6, 15.75),
        ((15, 16.49), 15.8, 15.745),
        ((1, 2.1), 1, 1.55),
        ((15, 16, 16.25), 15.9, 15.75),
        ((15, 16, 16.25), 15.74, 15.75),
        ((15, 16, 16.25), 15.76, 15.75),
        ((15, 16, 16.25), 15.7501, 15.75),
        ((10, 10, 11), 10.334, 31 / 3),
        ((10, 10, 11), 10.34, 31 / 3),
        ((12.345, 12.345), 12.346, 12.345),
        ((12.345, 12.345), 12.344, 12.345),
        ((12.345, 12.345), 12.34567, 12.345),
        ((1, 2), 0, 1.5),
        ((1, 2), 3, 1.5),
        ((1, 2), -1.5, 1.5),
        ((0, 0), 0.001, 0),
    ],
)
def test_an_average_that_is_further_away_is_an_error(
    findings: Any, deviations: tuple[float, ...], declared: float, mean: float
) -> None:
    (finding,) = findings(sound(*deviations, averageDeviation=declared))
    rule, where, recorded, recomputed, severity = finding
    assert (rule, where, severity) == ("average_deviation", "run.averageDeviation", "error")
    assert float(recorded) == declared
    assert float(recomputed) == pytest.approx(mean, abs=0.005)


def test_an_average_that_is_missing_is_an_error_unless_there_is_nothing_to_average(findings: Any) -> None:
    for record in (sound(1, 2, averageDeviation=None), without(sound(1, 2), "averageDeviation")):
        assert findings(record) == [("average_deviation", "run.averageDeviation", None, "1.5", "error")]
    assert [row[0] for row in findings(without(sound(), "averageDeviation"))] == ["empty_run"]


def test_an_average_of_nothing_is_an_error(findings: Any) -> None:
    rows = findings(sound(averageDeviation=7.5))
    assert ("average_deviation", "run.averageDeviation", "7.5", None, "error") in rows


def test_an_empty_run_is_told_and_no_more(findings: Any) -> None:
    assert findings(sound()) == [("empty_run", "run", None, None, "info")]


# --- results --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "ai", "deviation"),
    [
        (85, 78, 7),
        (78, 85, 7),
        (50, 50, 0),
        (85.1, 78, 7.1),  # 85.1 - 78 is 7.099999999999994 in doubles
        (85.1, 78, 7.099999999999994),
        (0.3, 0.1, 0.2),
        (100, 0, 100),
        (1e-7, 0, 1e-7),
        (33.333333333, 0, 33.3333333334),  # beyond what a score can mean
    ],
)
def test_a_deviation_is_the_distance_of_the_scores_whatever_the_noise_of_doubles(
    findings: Any, user: float, ai: float, deviation: float
) -> None:
    row = a_result(0, userScore=user, aiScore=ai, deviation=deviation)
    assert findings(a_run([row], totalSubmissions=1, averageDeviation=deviation)) == []


@pytest.mark.parametrize(
    ("user", "ai", "deviation", "recorded", "right"),
    [
        (85, 78, 8, "8", "7"),
        (85, 78, -7, "-7", "7"),
        (78, 85, -7, "-7", "7"),
        (85.1, 78, 7.2, "7.2", "7.1"),
        (85.1, 78, 7, "7", "7.1"),
        (85.1, 78, 7.1001, "7.1001", "7.1"),
        (50, 50, 0.01, "0.01", "0"),
        (100, 0, 0, "0", "100"),
    ],
)
def test_any_other_deviation_is_an_error(
    findings: Any, user: float, ai: float, deviation: float, recorded: str, right: str
) -> None:
    row = a_result(0, userScore=user, aiScore=ai, deviation=deviation)
    run = a_run([row], totalSubmissions=1, averageDeviation=deviation)
    assert findings(run) == [("deviation", "results[0].deviation", recorded, right, "error")]


def test_scores_outside_0_to_100_are_errors_each_at_its_place(findings: Any) -> None:
    rows = [
        a_result(0, userScore=0, aiScore=100, deviation=100),
        a_result(1, userScore=-0.5, aiScore=100, deviation=100.5),
        a_result(2, userScore=100.25, aiScore=0, deviation=100.25),
        a_result(3, userScore=101, aiScore=-1, deviation=102),
        a_result(4, userScore=100, aiScore=0, deviation=100),
        a_result(5, userScore=-0.0, aiScore=-0.0, deviation=0),
    ]
    run = a_run(rows, totalSubmissions=6, averageDeviation=502.75 / 6)
    assert findings(run) == [
        ("score_range", "results[1].userScore", "-0.5", "0-100", "error"),
        ("score_range", "results[2].userScore", "100.25", "0-100", "error"),
        ("score_range", "results[3].userScore", "101", "0-100", "error"),
        ("score_range", "results[3].aiScore", "-1", "0-100", "error"),
    ]


@pytest.mark.parametrize(
    ("key", "rule"), [("id", "duplicate_result_id"), ("submissionId", "duplicate_submission_id")]
)
def test_an_id_that_stands_again_is_an_error_at_every_place_but_the_first(
    findings: Any, key: str, rule: str
) -> None:
    run = sound(1, 1, 1, 1, 1)
    for row, text in zip(run["results"], ("a", "b", "a", "A", "a"), strict=True):
        row[key] = text
    rows = findings(run)
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [
        (rule, f"results[2].{key}", "a", "error"),
        (rule, f"results[4].{key}", "a", "error"),
    ]
    assert all("results[0]" in row[3] for row in rows)


def test_ids_that_only_look_alike_are_different(findings: Any) -> None:
    run = sound(1, 1, 1, 1, 1, 1)
    for row, text in zip(run["results"], ("7", "007", "7.0", " 7", "", "e\u0301"), strict=True):
        row["id"] = row["submissionId"] = text
    assert findings(run) == []


def test_a_user_may_submit_twice(findings: Any) -> None:
    run = sound(1, 1)
    for row in run["results"]:
        row["userId"] = "user-1"
    assert findings(run) == []


# --- times ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "completed", "fault"),
    [
        ("2024-01-15T10:00:00Z", "2024-01-15T12:30:00Z", False),
        ("2024-01-15T10:00:00Z", "2024-01-15T10:00:00Z", False),
        ("2024-01-15T10:00:00Z", "2024-01-15T09:59:59.999999Z", True),
        ("2024-01-15T10:00:00Z", "2024-01-15T11:00:00+01:00", False),  # the same instant
        ("2024-01-15T10:00:00Z", "2024-01-15T10:59:59+01:00", True),
        ("2024-01-15T23:30:00-05:00", "2024-01-16T04:30:00Z", False),  # the same instant
        ("2024-01-15T10:00:00.1234567Z", "2024-01-15T10:00:00.1234561Z", False),  # alike to the microsecond
    ],
)
def test_a_run_cannot_be_completed_before_it_started(
    findings: Any, started: str, completed: str, fault: bool
) -> None:
    rows = findings(sound(startedAt=started, completedAt=completed))
    finding = ("completed_before_started", "run.completedAt", completed, started, "error")
    assert rows == [("empty_run", "run", None, None, "info"), *([finding] if fault else [])]


@pytest.mark.parametrize(
    ("stamp", "outside"),
    [
        ("2024-01-15T10:00:00Z", False),
        ("2024-01-15T12:30:00Z", False),
        ("2024-01-15T12:30:00.000000Z", False),
        ("2024-01-15T15:00:00+02:30", False),
        ("2024-01-15T05:00:00-05:00", False),
        ("2024-01-15T09:59:59.999999Z", True),
        ("2024-01-15T12:30:00.000001Z", True),
        ("2024-01-15T10:30:00+02:00", True),
        ("1970-01-01T00:00:00Z", True),
        ("9999-12-31T23:59:59Z", True),
        ("0001-01-01T00:00:00Z", True),
    ],
)
def test_a_result_outside_the_window_of_its_run_is_a_warning(
    findings: Any, stamp: str, outside: bool
) -> None:
    run = sound(1, 1, 1)
    run["results"][1]["timestamp"] = stamp
    window = "2024-01-15T10:00:00Z to 2024-01-15T12:30:00Z"
    finding = ("outside_window", "results[1].timestamp", stamp, window, "warning")
    assert findings(run) == ([finding] if outside else [])


# --- decisions, and runs that are not done ----------------------------------------------------------------


def test_a_decision_that_is_missing_is_a_warning(findings: Any) -> None:
    run = sound(1, 1, 1)
    run["results"][0]["actionTaken"] = None
    del run["results"][2]["actionTaken"]
    assert findings(run) == [
        ("decision_missing", "results[0].actionTaken", None, None, "warning"),
        ("decision_missing", "results[2].actionTaken", None, None, "warning"),
    ]


def test_in_a_running_run_an_open_decision_is_only_told(findings: Any) -> None:
    run = without(sound(1, 1, status="running"), "completedAt")
    del run["results"][1]["actionTaken"]
    assert findings(run) == [("decision_missing", "results[1].actionTaken", None, None, "info")]


def test_a_running_run_has_an_open_window(findings: Any) -> None:
    run = without(sound(1, 1, status="running"), "completedAt")
    run["results"][0]["timestamp"] = "2030-01-01T00:00:00Z"
    assert findings(run) == []
    run["results"][0]["timestamp"] = "2024-01-15T09:00:00Z"
    (finding,) = findings(run)
    assert finding[:3] == ("outside_window", "results[0].timestamp", "2024-01-15T09:00:00Z")


# --- several at once ------------------------------------------------------------------------------------


def test_what_concerns_the_run_comes_first_then_the_results_in_their_order(findings: Any) -> None:
    run = sound(1, 2, 3, 4, totalSubmissions=9, criticalFlags=9, averageDeviation=99)
    run["completedAt"] = "2024-01-15T09:00:00Z"
    run["results"][3] |= {"userScore": 200, "deviation": 5, "actionTaken": None}
    run["results"][1]["id"] = run["results"][0]["id"]
    rows = findings(run)
    places = [row[1].partition(".")[0] for row in rows]
    assert places[:4] == ["run"] * 4
    assert places[4:] == sorted(places[4:])
    assert {row[0] for row in rows} == {
        "total_submissions",
        "critical_flags",
        "average_deviation",
        "completed_before_started",
        "outside_window",
        "duplicate_result_id",
        "deviation",
        "score_range",
        "decision_missing",
    }


def test_the_order_of_the_results_changes_the_places_only(findings: Any) -> None:
    run = sound(*(0.1 * number for number in range(200)), averageDeviation=9.95)  # 0.1 * 199 / 2
    assert findings(run) == []
    for number in (3, 50, 199):
        run["results"][number]["deviation"] += 1
        run["results"][number]["actionTaken"] = None
    by_id = {f"results[{place}]": row["id"] for place, row in enumerate(run["results"])}
    expected = {(row[0], by_id.get(row[1].partition(".")[0]), row[2], row[3]) for row in findings(run)}
    assert len(expected) == 6 + 1  # three deviations, three decisions, one average
    for seed in range(3):
        random.Random(seed).shuffle(run["results"])
        by_id = {f"results[{place}]": row["id"] for place, row in enumerate(run["results"])}
        assert {
            (row[0], by_id.get(row[1].partition(".")[0]), row[2], row[3]) for row in findings(run)
        } == expected


def test_findings_over_many_blocks_name_the_places_in_the_whole_run(folder: Path) -> None:
    run = sound(*[5] * 4000)
    for number in (0, 1700, 3999):
        run["results"][number]["actionTaken"] = None
        run["results"][number]["notes"] = "x" * 400_000
    run["results"][3999]["submissionId"] = run["results"][2]["submissionId"]
    loaded = load_one(saved(folder / "large.json", dumped(run)))
    assert len(list(loaded.batches())) > 1
    assert [(row[0], row[1], row[3]) for row in tuples(loaded.findings())] == [
        ("decision_missing", "results[0].actionTaken", None),
        ("decision_missing", "results[1700].actionTaken", None),
        ("duplicate_submission_id", "results[3999].submissionId", "first in results[2]"),
        ("decision_missing", "results[3999].actionTaken", None),
    ]


# --- selections -----------------------------------------------------------------------------------------


def test_in_a_selection_places_are_those_of_the_whole_run(findings: Any) -> None:
    run = sound(1, 2, 3, 4, 5, 6)
    for number in (2, 5):
        del run["results"][number]["actionTaken"]
    run["results"][5]["submissionId"] = run["results"][2]["submissionId"]
    rows = findings(run, [1, 2, 5])
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("decision_missing", "results[2].actionTaken", None),
        ("duplicate_submission_id", "results[5].submissionId", "first in results[2]"),
        ("decision_missing", "results[5].actionTaken", None),
    ]


def test_a_selection_is_not_measured_against_the_totals_of_the_whole_run(findings: Any) -> None:
    run = sound(1, 2, 30)
    assert findings(run, [0, 2]) == []
    assert findings(run, []) in ([], [("empty_run", "run", None, None, "info")])


# --- what a file could not carry ----------------------------------------------------------------------------


def test_rules_about_absent_fields_are_left_out(folder: Path) -> None:
    run = sound(1, 2, totalSubmissions=9, averageDeviation=9, criticalFlags=9)
    run["results"][1]["id"] = run["results"][0]["id"]
    path = saved(folder / "run.csv", reference.csv(run, include_metadata=False))
    assert tuples(load_one(path).findings()) == []
    path = saved(folder / "run.csv", reference.csv(run))
    rules = [row[0] for row in tuples(load_one(path).findings())]
    assert rules == ["total_submissions", "critical_flags", "average_deviation"]  # a CSV has no result ids


def test_decisions_that_a_source_cannot_carry_are_not_missed(folder: Path) -> None:
    rows = [without(row, "actionTaken") for row in sound(1, 2)["results"]]
    run = load_one(saved(folder / "run.json", dumped(sound(1, 2) | {"results": rows})))
    assert len(run.findings()) == 2
    mapped = dataclasses.replace(run, absent_fields=("action_taken",))  # as a database without that column
    assert len(mapped.findings()) == 0


# --- whatever comes -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(runs(extras=False))
def test_no_run_that_can_be_loaded_is_too_odd_to_be_examined(folder: Path, run: dict[str, Any]) -> None:
    rows = tuples(load_one(saved(folder / "any.json", dumped(run))).findings())
    critical = sum(row["deviationType"] == "critical" for row in run["results"])
    assert any(row[0] == "critical_flags" for row in rows) == (run["criticalFlags"] != critical)
    assert any(row[0] == "total_submissions" for row in rows) == (
        run["totalSubmissions"] != len(run["results"])
    )
    undecided = [n for n, row in enumerate(run["results"]) if row.get("actionTaken") is None]
    assert [row[1] for row in rows if row[0] == "decision_missing"] == [
        f"results[{n}].actionTaken" for n in undecided
    ]


def test_the_largest_numbers_are_examined_without_a_warning(findings: Any) -> None:
    large = 1.7e308
    rows = [a_result(n, userScore=large, aiScore=-large, deviation=large) for n in range(3)]
    found = findings(a_run(rows, averageDeviation=large))
    assert [row[1] for row in found if row[0] == "score_range"] == [
        f"results[{n}].{key}" for n in range(3) for key in ("userScore", "aiScore")
    ]
