"""Write the six sample audit runs: ``python sample_data/make_runs.py [FOLDER]``.

Standard library only. The bytes are the same on every machine and day: all chance comes from
``Random.random()``, the one generator whose sequence Python guarantees for a seed.
README.md beside this file says what each run is for.
"""

import json
import sys
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from typing import Any

from results import (
    DECISIONS,
    MEAN_QUALITY,
    Row,
    Task,
    draw_notes,
    draw_scores,
    make_result,
    normal,
    pick,
    stamp,
    suggested_action,
)
from texts import HOSTILE_RESULTS, HOSTILE_RUN, TASKS


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def task_of(area: str, difficulty: str) -> Task:
    return TASKS[area][difficulty], area, difficulty


def average_deviation(results: list[Row], decimals: int) -> int | float | None:
    """The mean deviation, rounded half up; None without results."""
    if not results:
        return None
    total = sum((Decimal(str(row["deviation"])) for row in results), Decimal(0))
    mean = (total / len(results)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return int(mean) if mean == int(mean) else float(mean)


def make_run(
    name: str,
    reviewer: str,
    window: tuple[str, str | None],
    task: Task,
    status: str,
    results: list[Row],
    /,
    decimals: int = 2,
    **other: Any,
) -> Row:
    """A run whose totals are right, unless ``other`` declares them otherwise."""
    run: Row = {
        "id": name,
        "reviewer": reviewer,
        "startedAt": window[0],
        "completedAt": window[1],
        "taskTitle": task[0],
        "taskDifficulty": task[2],
        "skillArea": task[1],
        "status": status,
        "totalSubmissions": len(results),
        "averageDeviation": average_deviation(results, decimals),
        "criticalFlags": sum(row["deviationType"] == "critical" for row in results),
    }
    if window[1] is None:
        del run["completedAt"]
    return run | other | {"results": results}


def draw_results(
    rng: Random,
    count: int,
    start: str,
    reviewers: tuple[str, ...],
    task: Task,
    undecided: float,
    first_number: int,
) -> list[Row]:
    """Results of one task, three minutes apart."""
    results = []
    for index in range(count):
        scores = draw_scores(rng, normal(rng, MEAN_QUALITY[task[2]], 12))
        suggested = suggested_action(abs(scores[0] - scores[1]))
        results.append(
            make_result(
                f"result-{index + 1}",
                f"sub-{first_number + index}",
                f"user-{100 + int(rng.random() * 900)}",
                scores,
                task,
                stamp(instant(start) + timedelta(minutes=3 * index + 2, seconds=int(rng.random() * 60))),
                action=None if rng.random() < undecided else pick(rng, DECISIONS[suggested]),
                reviewer=pick(rng, reviewers),
                notes=draw_notes(rng, scores, 0.4),
            )
        )
    return results


def run_001() -> Row:
    """The run of the specification, all eight results of it."""
    task = task_of("frontend", "medium")
    rows = (
        ("user-123", 85, 78, "allow", "Code quality exceeds AI assessment"),
        ("user-456", 92, 45, "override", "Critical deviation requires manual review"),
        ("user-789", 70, 74, "allow", None),
        ("user-234", 64, 55, "allow", "Keyboard navigation works, which the AI did not test"),
        ("user-567", 88, 66, "escalate", "AI penalised the custom grid; a second opinion is needed"),
        ("user-890", 77, 77, "allow", None),
        ("user-345", 58, 89, "escalate", "Menu cannot be closed on a phone, although every test passes"),
        ("user-678", 81, 75, "flag_for_review", "Asked the team about the unused media queries"),
    )
    results = [
        make_result(
            f"result-{n}",
            f"sub-{n:03}",
            user,
            (human * 10, ai * 10),
            task,
            stamp(instant("2024-01-15T10:00:00Z") + timedelta(minutes=15 * n)),
            action=action,
            reviewer="admin-1",
            notes=notes,
        )
        for n, (user, human, ai, action, notes) in enumerate(rows, start=1)
    ]
    return make_run(
        "run-001",
        "admin-1",
        ("2024-01-15T10:00:00Z", "2024-01-15T12:30:00Z"),
        task,
        "completed",
        results,
        decimals=1,
    )


def run_002() -> Row:
    """Still running: no completedAt, decisions open; every second open one is null, not absent."""
    task = task_of("backend", "hard")
    results = draw_results(Random(20), 20, "2024-01-22T13:00:00Z", ("admin-1", "admin-2"), task, 0.35, 2001)
    undecided = [index for index, row in enumerate(results) if "actionTaken" not in row]
    for index in undecided[::2]:
        before, after = list(results[index].items())[:8], list(results[index].items())[8:]
        results[index] = dict([*before, ("actionTaken", None), *after])
    return make_run("run-002", "admin-2", ("2024-01-22T13:00:00Z", None), task, "running", results)


def run_003() -> Row:
    """Completed, but the three declared totals are not those of the results."""
    task = task_of("data", "medium")
    results = draw_results(Random(5), 24, "2024-01-29T08:30:00Z", ("admin-1", "admin-3"), task, 0.0, 3001)
    return make_run(
        "run-003",
        "admin-3",
        ("2024-01-29T08:30:00Z", "2024-01-29T10:00:00Z"),
        task,
        "completed",
        results,
        totalSubmissions=26,
        averageDeviation=8.4,
        criticalFlags=1,
    )


def odd_stamp(moment: datetime, form: int) -> str:
    """The moment in one of five ways in which RFC 3339 allows it to be written."""
    shift = timedelta(hours=5, minutes=30) if form == 4 else timedelta(0)
    return stamp(moment + shift)[:-1] + ("Z", ".000Z", ".123456789Z", "+00:00", "+05:30")[form]


def run_004() -> Row:
    """Sound in every number, hostile in every text."""
    rng = Random(30)
    results = []
    for index, texts in enumerate(HOSTILE_RESULTS):
        moment = instant("2024-02-05T09:00:00Z") + timedelta(minutes=4 * index + 1)
        scores = draw_scores(rng, normal(rng, 64, 14))
        scores = (scores[0], scores[1] // 5 * 5)
        plain = make_result(
            f"result-{index + 1}",
            f"sub-{4001 + index}",
            f"user-{401 + index}",
            scores,
            task_of("security", "medium"),
            odd_stamp(moment, index % 5),
            action=pick(rng, DECISIONS[suggested_action(abs(scores[0] - scores[1]))]),
            reviewer="admin-1",
        )
        results.append({key: value for key, value in (plain | texts).items() if value is not None})
    return make_run(
        "run-004",
        "admin-1",
        ("2024-02-05T09:00:00Z", "2024-02-05T11:00:00Z"),
        task_of("security", "medium"),
        "completed",
        results,
        **HOSTILE_RUN,
    )


def run_005() -> Row:
    """Completed without a single submission."""
    return make_run(
        "run-005",
        "admin-2",
        ("2024-02-12T09:00:00Z", "2024-02-12T09:05:00Z"),
        task_of("devops", "expert"),
        "completed",
        [],
    )


def run_006() -> Row:
    """1,500 results in five days; reviewer-4 gives six points more than the others would."""
    rng = Random(11)
    ability = [normal(rng, 0, 9) for _ in range(300)]
    reviewers = [f"reviewer-{n}" for n, share in enumerate((4, 4, 3, 3, 3, 3), start=1) for _ in range(share)]
    results = []
    for index in range(1500):
        day, slot = divmod(index, 300)  # ten hours a day, one result every two minutes
        moment = instant("2024-03-04T08:00:00Z") + timedelta(
            days=day, seconds=slot * 120 + int(rng.random() * 120)
        )
        area = pick(rng, tuple(TASKS))
        difficulty = pick(rng, ("easy",) * 3 + ("medium",) * 4 + ("hard",) * 2 + ("expert",))
        user, reviewer = int(rng.random() * 300), pick(rng, reviewers)
        quality = normal(rng, MEAN_QUALITY[difficulty] + ability[user], 8)
        scores = draw_scores(rng, quality, bias=6.0 if reviewer == "reviewer-4" else 0.0)
        action = pick(rng, DECISIONS[suggested_action(abs(scores[0] - scores[1]))])
        results.append(
            make_result(
                f"result-{index + 1}",
                f"sub-{60001 + index}",
                f"user-{1001 + user}",
                scores,
                task_of(area, difficulty),
                stamp(moment),
                action=None if rng.random() < 0.08 else action,
                reviewer=reviewer,
                notes=draw_notes(rng, scores, 0.3),
            )
        )
    return make_run(
        "run-006",
        "admin-1",
        ("2024-03-04T08:00:00Z", "2024-03-08T18:30:00Z"),
        ("Spring calibration audit", "all", "medium"),
        "completed",
        results,
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for make in (run_001, run_002, run_003, run_004, run_005, run_006):
        run = make()
        layout: dict[str, Any] = {"separators": (",", ":")} if make is run_006 else {"indent": 2}
        text = json.dumps(run, ensure_ascii=False, allow_nan=False, **layout) + "\n"
        (folder / f"{run['id']}.json").write_bytes(text.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "runs")
