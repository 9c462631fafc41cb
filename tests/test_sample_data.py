"""The sample runs are what sample_data/README.md says: measured here from the JSON alone."""

import json
import os
import re
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev, variance
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "sample_data"
NAMES = [f"run-00{n}" for n in range(1, 7)]
README = (FOLDER / "README.md").read_text(encoding="utf-8")

RUN_TEXTS = [
    "id",
    "reviewer",
    "startedAt",
    "completedAt",
    "taskTitle",
    "taskDifficulty",
    "skillArea",
    "status",
]
RUN_KEYS = [*RUN_TEXTS, "totalSubmissions", "averageDeviation", "criticalFlags", "results"]
RESULT_KEYS = ["id", "submissionId", "userId", "userScore", "aiScore", "deviation", "deviationType"]
RESULT_KEYS += ["suggestedAction", "actionTaken", "taskTitle", "skillArea", "taskDifficulty", "timestamp"]
RESULT_KEYS += ["reviewer", "notes"]
TEXT_KEYS = {"id", "submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes"}
OPTIONAL = {"actionTaken", "reviewer", "notes"}
ACTIONS = ["allow", "flag_for_review", "escalate", "override"]
BANDS = ["none", "minor", "major", "critical"]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
    return dict(pairs)


def load(name: str) -> dict[str, Any]:
    text = (FOLDER / "runs" / f"{name}.json").read_bytes().decode("utf-8")
    return json.loads(
        text, parse_float=Decimal, parse_constant=refuse_constant, object_pairs_hook=without_duplicates
    )


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in texts_of(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_of(part)]
    return [value] if isinstance(value, str) else []


def differences(run: dict[str, Any], keep: Any = lambda row: True) -> list[Decimal]:
    return [Decimal(row["userScore"] - row["aiScore"]) for row in run["results"] if keep(row)]


def totals(run: dict[str, Any]) -> tuple[int, Decimal | None, int]:
    results = run["results"]
    average = Decimal(sum(row["deviation"] for row in results)) / len(results) if results else None
    return len(results), average, sum(row["deviationType"] == "critical" for row in results)


def test_regenerating_gives_the_committed_bytes_in_any_time_zone_and_locale(tmp_path: Path) -> None:
    environment = {**os.environ, "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
    command = [sys.executable, "-B", "-E", "-S", str(FOLDER / "make_runs.py"), str(tmp_path / "runs")]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)  # -S: nothing but the standard library
    made = {path.name: path.read_bytes() for path in (tmp_path / "runs").iterdir()}
    committed = {path.name: path.read_bytes() for path in (FOLDER / "runs").iterdir()}
    assert sorted(made) == sorted(committed) == [f"{name}.json" for name in NAMES]
    assert [name for name in made if made[name] != committed[name]] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_small_named_by_its_run_and_ends_with_one_lf(name: str) -> None:
    content = (FOLDER / "runs" / f"{name}.json").read_bytes()
    assert len(content) < 700_000
    assert content.endswith(b"}\n")
    assert b"\r" not in content
    assert content.count(b"\n") == 1 if name == "run-006" else content.startswith(b'{\n  "id": "')
    assert load(name)["id"] == name


@pytest.mark.parametrize("name", NAMES)
def test_every_run_header_has_its_fields_in_the_order_of_the_design(name: str) -> None:
    run = load(name)
    absent = {"completedAt"} if name == "run-002" else set()
    known = [key for key in run if key in RUN_KEYS]
    assert known == [key for key in RUN_KEYS if key not in absent]
    assert all(isinstance(run[key], str) for key in RUN_TEXTS if key not in absent)
    assert type(run["totalSubmissions"]) is int
    assert type(run["criticalFlags"]) is int
    assert run["taskDifficulty"] in ("easy", "medium", "hard", "expert")
    assert run["status"] == ("running" if name == "run-002" else "completed")


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_its_fields_with_allowed_values(name: str) -> None:
    for row in load(name)["results"]:
        assert [key for key in row if key in RESULT_KEYS] == [key for key in RESULT_KEYS if key in row]
        assert set(RESULT_KEYS) - set(row) <= OPTIONAL
        assert row["suggestedAction"] in ACTIONS
        assert row.get("actionTaken") in [None, *ACTIONS]
        assert row["taskDifficulty"] in ("easy", "medium", "hard", "expert")
        for key in ("id", "submissionId", "userId", "taskTitle", "skillArea", "timestamp"):
            assert isinstance(row[key], str)
            assert row[key]


@pytest.mark.parametrize("name", NAMES)
def test_no_text_holds_a_lone_surrogate(name: str) -> None:
    for text in texts_of(load(name)):
        text.encode("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_in_their_run(name: str) -> None:
    results = load(name)["results"]
    for key in ("id", "submissionId"):
        assert len({row[key] for row in results}) == len(results)


@pytest.mark.parametrize("name", NAMES)
def test_scores_lie_between_0_and_100_and_the_deviation_is_exact(name: str) -> None:
    for row in load(name)["results"]:
        assert 0 <= row["userScore"] <= 100
        assert 0 <= row["aiScore"] <= 100
        assert row["deviation"] == abs(Decimal(row["userScore"]) - Decimal(row["aiScore"]))
        assert all(row[key] * 10 == int(row[key] * 10) for key in ("userScore", "aiScore", "deviation"))


@pytest.mark.parametrize("name", NAMES)
def test_deviation_types_and_suggestions_follow_the_bands(name: str) -> None:
    for row in load(name)["results"]:
        assert row["deviationType"] == BANDS[bisect_left([5, 15, 30], row["deviation"])]
        assert row["suggestedAction"] == (
            "override" if row["deviation"] > 50 else ACTIONS[min(BANDS.index(row["deviationType"]), 2)]
        )


@pytest.mark.parametrize("name", NAMES)
def test_timestamps_increase_inside_the_window_of_the_run(name: str) -> None:
    run = load(name)
    stamps = [run["startedAt"], *(row["timestamp"] for row in run["results"])]
    stamps += [run["completedAt"]] if "completedAt" in run else []
    assert all(RFC_3339.fullmatch(stamp) for stamp in stamps)
    moments = [datetime.fromisoformat(stamp).astimezone(UTC) for stamp in stamps]
    assert all(earlier < later for earlier, later in pairwise(moments))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("run-003", "run-005")])
def test_declared_totals_are_right_to_their_last_digit(name: str) -> None:
    run = load(name)
    count, average, critical = totals(run)
    declared = Decimal(run["averageDeviation"])
    half_a_digit = Decimal(5).scaleb(declared.as_tuple().exponent - 1)
    assert (run["totalSubmissions"], run["criticalFlags"]) == (count, critical)
    assert average is not None
    assert -half_a_digit <= average - declared < half_a_digit  # half up
    assert declared.as_tuple().exponent == (-1 if name == "run-001" else -2)


def test_run_001_is_the_run_of_the_specification() -> None:
    run = load("run-001")
    assert {key: run[key] for key in RUN_KEYS[:-1]} == {
        "id": "run-001",
        "reviewer": "admin-1",
        "startedAt": "2024-01-15T10:00:00Z",
        "completedAt": "2024-01-15T12:30:00Z",
        "taskTitle": "Build a responsive navigation bar",
        "taskDifficulty": "medium",
        "skillArea": "frontend",
        "status": "completed",
        "totalSubmissions": 8,
        "averageDeviation": Decimal("15.8"),
        "criticalFlags": 2,
    }
    first, second = run["results"][:2]
    assert first == {
        "id": "result-1",
        "submissionId": "sub-001",
        "userId": "user-123",
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
    assert second == first | {
        "id": "result-2",
        "submissionId": "sub-002",
        "userId": "user-456",
        "userScore": 92,
        "aiScore": 45,
        "deviation": 47,
        "deviationType": "critical",
        "suggestedAction": "escalate",
        "actionTaken": "override",
        "timestamp": "2024-01-15T10:30:00Z",
        "notes": "Critical deviation requires manual review",
    }


def test_run_001_is_decided_throughout_and_shows_every_deviation_type() -> None:
    run = load("run-001")
    assert [row["deviation"] for row in run["results"]] == [7, 47, 4, 9, 22, 0, 31, 6]
    assert all(row["actionTaken"] in ACTIONS for row in run["results"])
    assert {row["deviationType"] for row in run["results"]} == set(BANDS)
    assert totals(run) == (8, Decimal("15.75"), 2)


def test_run_002_is_running_with_open_decisions_absent_or_null() -> None:
    run = load("run-002")
    assert "completedAt" not in run
    absent = sum("actionTaken" not in row for row in run["results"])
    null = sum(row.get("actionTaken", "") is None for row in run["results"])
    assert (len(run["results"]), absent, null) == (20, 3, 3)
    assert "Of 20 results 6 have no `actionTaken`: 3 lack the key, 3 hold `null`" in README
    assert f"The average so far ({run['averageDeviation']}) and the one critical flag" in README
    assert run["criticalFlags"] == 1


def test_run_003_declares_three_wrong_totals() -> None:
    run = load("run-003")
    count, average, critical = totals(run)
    assert average is not None
    assert count == 24
    assert run["totalSubmissions"] != count
    assert abs(run["averageDeviation"] - average) > 1
    assert run["criticalFlags"] != critical
    assert all(row["actionTaken"] in ACTIONS for row in run["results"])
    assert f"| totalSubmissions | {run['totalSubmissions']} | {count} |" in README
    assert f"| averageDeviation | {run['averageDeviation']} | {average:.2f} |" in README
    assert f"| criticalFlags | {run['criticalFlags']} | {critical} |" in README


HOSTILE_NOTES = [
    "",
    '=HYPERLINK("http://example.invalid","click")',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "%0A",
    "\uff1d1\uff0b1",
    "'=1+1",
    "<img src=x onerror=alert(1)>",
    '"results":[',
]
HOSTILE_PARTS = {
    "a line feed": r"\n",
    "a carriage return and line feed": r"\r\n",
    "a lone carriage return": r"\r(?!\n)",
    "other line ends": r"[\u0085\u2028\u2029]",
    "a tab": r"\t",
    "a pipe": r"\|",
    "a comma and a semicolon": r"(?s),.*;",
    "doubled quotes": '""',
    "a leading apostrophe": r"^'\w",
    "blanks before a formula": r"^[ \u00a0\u200b\u3000\ufeff]+=",
    "a formula after each separator": r"(?s);=.*\t\+.*\n-.*\|@.*,'=.*\r=",
    "two objects side by side": r"\},\{",
    "results inside a text": r'"results":\[',
    "a script": "<script>alert",
    "a family joined by ZWJ": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "a flag": "\U0001f1e9\U0001f1ea",
    "a skin tone": "\U0001f44d\U0001f3fd",
    "Arabic": r"[\u0621-\u064a]{3}",
    "Hebrew": r"[\u05d0-\u05ea]{3}",
    "an override of direction": "\u202e",
    "stacked combining marks": r"[\u0300-\u036f]{3}",
    "NUL": "\x00",
    "ESC": "\x1b",
    "DEL": "\x7f",
    "the last code point": "\U0010ffff",
    "backslashes": r"C:\\new\\table",
    "a path out of the folder": r"^\.\./",
}


@pytest.mark.parametrize("notes", HOSTILE_NOTES)
def test_run_004_has_the_hostile_notes(notes: str) -> None:
    assert [row.get("notes") for row in load("run-004")["results"]].count(notes) == 1


@pytest.mark.parametrize("what", HOSTILE_PARTS)
def test_run_004_holds_in_its_texts(what: str) -> None:
    run = load("run-004")
    assert any(
        re.search(HOSTILE_PARTS[what], row[key]) for row in run["results"] for key in row if key in TEXT_KEYS
    )


def test_run_004_is_hostile_in_ids_titles_reviewers_skill_areas_and_its_header() -> None:
    run = load("run-004")
    assert {"007", "7", "1e5", "NA", "null", "TRUE", "%0A"} <= {row["id"] for row in run["results"]}
    assert {"1e5", "01e5", "-0", "1.0", "2024-01-15"} <= {row["submissionId"] for row in run["results"]}
    assert {"NA", "null", "jose\u0301", "jos\u00e9"} <= {row["userId"] for row in run["results"]}
    for key in ("taskTitle", "reviewer", "skillArea"):
        assert any(re.match(r"[=@]", row.get(key, "")) for row in run["results"]), key
    assert run["reviewer"].startswith("=HYPERLINK(")
    assert "\n" in run["taskTitle"]


def test_run_004_tells_missing_from_empty() -> None:
    results = load("run-004")["results"]
    count = {key: Counter(row.get(key, "absent") for row in results) for key in ("notes", "reviewer")}
    assert (count["notes"][""], count["notes"]["absent"]) == (1, 1)
    assert (count["reviewer"][""], count["reviewer"]["absent"]) == (1, 1)


def test_run_004_has_one_note_of_10_kb_in_one_line() -> None:
    lengths = [len(row.get("notes", "").encode()) for row in load("run-004")["results"]]
    assert sorted(lengths)[-1] == 10_240
    assert sorted(lengths)[-2] < 200
    assert load("run-004")["results"][lengths.index(10_240)]["notes"].isascii()
    assert load("run-004")["results"][lengths.index(10_240)]["notes"].isprintable()


def test_run_004_has_unknown_fields_of_every_kind() -> None:
    run = load("run-004")
    unknown = [{key: row[key] for key in row if key not in RESULT_KEYS} for row in run["results"]]
    nested, flat = [extra for extra in unknown if extra]
    assert [row["id"] for row in nested["rubric"]["results"]] == ["x", "y"]
    assert flat["traceId"] == 12345678901234567890
    assert (flat["weight"], str(flat["weight"])) == (1, "1.0")
    assert flat["rate"] == Decimal("1e-7")
    assert [key for key in run if key not in RUN_KEYS] == ["pipeline"]
    assert run["pipeline"]["results"] == [{"id": "inner"}]
    assert list(run)[-2:] == ["pipeline", "results"]
    assert not any(key.startswith("audit") for row in run["results"] for key in row)


def test_run_004_writes_its_timestamps_in_five_forms() -> None:
    endings = Counter(row["timestamp"][19:] for row in load("run-004")["results"])
    assert set(endings) == {"Z", ".000Z", ".123456789Z", "+00:00", "+05:30"}


@pytest.mark.parametrize("name", ["run-001", "run-004"])
def test_floats_subtract_exactly_in_small_runs(name: str) -> None:
    for row in load(name)["results"]:
        assert abs(float(row["userScore"]) - float(row["aiScore"])) == float(row["deviation"])


def test_run_005_is_empty() -> None:
    run = load("run-005")
    assert (run["status"], run["results"]) == ("completed", [])
    assert (run["totalSubmissions"], run["averageDeviation"], run["criticalFlags"]) == (0, None, 0)


def test_run_006_has_the_promised_size_and_variety() -> None:
    run = load("run-006")
    results = run["results"]
    users = Counter(row["userId"] for row in results)
    assert len(results) == 1500
    assert {row["reviewer"] for row in results} == {f"reviewer-{n}" for n in range(1, 7)}
    assert {row["skillArea"] for row in results} == {"frontend", "backend", "data", "devops", "security"}
    assert {row["taskDifficulty"] for row in results} == {"easy", "medium", "hard", "expert"}
    assert {row["deviationType"] for row in results} == set(BANDS)
    assert {row["suggestedAction"] for row in results} == {row.get("actionTaken") for row in results} - {None}
    assert 290 <= len(users) <= 300
    assert max(users.values()) > 5
    assert len({row["taskTitle"] for row in results}) == 20
    assert all(isinstance(row["userScore"], int) for row in results)
    assert 0.4 < mean(isinstance(row["aiScore"], int) for row in results) < 0.6
    first, last = (datetime.fromisoformat(results[index]["timestamp"]) for index in (0, -1))
    assert timedelta(days=4) < last - first < timedelta(days=5)


def test_run_006_has_undecided_results_notes_and_misleading_cuts_as_the_readme_says() -> None:
    results = load("run-006")["results"]
    users = len({row["userId"] for row in results})
    undecided = sum("actionTaken" not in row for row in results)
    notes = [row["notes"] for row in results if "notes" in row]
    cuts = sum("},{" in text for text in notes)
    assert 0.06 < undecided / 1500 < 0.10
    assert 0.25 < len(notes) / 1500 < 0.35
    flat = " ".join(README.split())
    assert f"{users} users, six reviewers" in flat
    assert f"{undecided} results are undecided, {len(notes)} have notes; {cuts} notes hold `}},{{`" in flat
    inexact = sum(
        abs(float(row["userScore"]) - float(row["aiScore"])) != float(row["deviation"]) for row in results
    )
    assert f"does in {inexact} results of run-006" in flat


def test_run_006_has_reviewer_4_six_points_above_the_others() -> None:
    run = load("run-006")
    biased = differences(run, lambda row: row["reviewer"] == "reviewer-4")
    others = differences(run, lambda row: row["reviewer"] != "reviewer-4")
    bias = mean(biased) - mean(others)
    error = (variance(biased) / len(biased) + variance(others) / len(others)).sqrt()
    assert Decimal("5.5") < bias < Decimal("6.5")
    assert Decimal("5.5") < median(biased) - median(others) < Decimal("6.5")
    t = Decimal("1.967")  # Student, 97.5 %, about 320 degrees of freedom (Welch)
    assert (
        f"lies {bias:.2f} points above the others "
        f"(95 % interval {bias - t * error:.2f} to {bias + t * error:.2f}, unequal variances)"
    ) in README


def test_run_006_has_no_other_reviewer_far_from_the_ai() -> None:
    run = load("run-006")
    for reviewer in ("reviewer-1", "reviewer-2", "reviewer-3", "reviewer-5", "reviewer-6"):
        assert abs(mean(differences(run, lambda row, who=reviewer: row["reviewer"] == who))) < 1


@pytest.mark.parametrize("label", [f"reviewer-{n}" for n in range(1, 7)] + ["all but reviewer-4", "all"])
def test_the_reviewer_table_of_the_readme_is_measured(label: str) -> None:
    def keep(row: dict[str, Any]) -> bool:
        return label == "all" or (
            row["reviewer"] != "reviewer-4" if " " in label else row["reviewer"] == label
        )

    values = differences(load("run-006"), keep)
    spread = f"{stdev(values):.2f} | {mean(map(abs, values)):.2f}"
    assert f"| {label} | {len(values)} | {mean(values):+.2f} | {spread} |" in README.splitlines()


def test_the_other_tables_of_the_readme_are_measured() -> None:
    for name in NAMES:
        size = (FOLDER / "runs" / f"{name}.json").stat().st_size
        assert f"| `runs/{name}.json` | {len(load(name)['results']):,} | {size:,} |" in README
    bands = Counter(row["deviationType"] for row in load("run-006")["results"])
    for band in BANDS:
        assert f"| {band} | {bands[band]} |" in README.splitlines()
