"""One result of a sample run: its scores, what follows from them, and what was said and done about it.

All chance comes from ``Random.random()``, the one generator whose sequence Python guarantees for a seed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import fsum
from random import Random
from typing import Any, TypeVar

from texts import AGREED, CRITICAL, HUMAN_ABOVE, HUMAN_BELOW

T = TypeVar("T")
Row = dict[str, Any]
Task = tuple[str, str, str]  # title, skill area, difficulty

MEAN_QUALITY = {"easy": 72, "medium": 67, "hard": 61, "expert": 55}  # points

# What reviewers did about a suggestion: ten equally likely outcomes each.
DECISIONS = {
    "allow": ("allow",) * 9 + ("flag_for_review",),
    "flag_for_review": ("allow",) * 6 + ("flag_for_review",) * 3 + ("escalate",),
    "escalate": ("escalate",) * 4 + ("override",) * 4 + ("allow",) * 2,
    "override": ("override",) * 8 + ("escalate",) * 2,
}


def pick(rng: Random, options: Sequence[T]) -> T:
    """One of the options, each equally likely."""
    return options[int(rng.random() * len(options))]


def normal(rng: Random, mean: float, sd: float) -> float:
    """About a normal deviate; ``fsum`` rounds once, so it is the same on every platform and Python.

    (``sum`` of floats is not: Python 3.12 changed it.)
    """
    return mean + sd * (fsum(rng.random() for _ in range(12)) - 6)


def number(tenths: int) -> int | float:
    """A score as JSON carries it: ``85`` rather than ``85.0``."""
    return tenths // 10 if tenths % 10 == 0 else tenths / 10


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def deviation_type(tenths: int) -> str:
    """The band: none up to 5 points, minor up to 15, major up to 30, else critical."""
    return next(
        (name for name, top in (("none", 50), ("minor", 150), ("major", 300)) if tenths <= top), "critical"
    )


def suggested_action(tenths: int) -> str:
    """What the system proposes; override only beyond 50 points."""
    if tenths > 500:
        return "override"
    return {"none": "allow", "minor": "flag_for_review"}.get(deviation_type(tenths), "escalate")


def make_result(
    name: str,
    submission: str,
    user: str,
    scores: tuple[int, int],
    task: Task,
    timestamp: str,
    **optional: str | None,
) -> Row:
    """One result; scores in tenths of a point (human, AI)."""
    deviation = abs(scores[0] - scores[1])
    row: Row = {
        "id": name,
        "submissionId": submission,
        "userId": user,
        "userScore": number(scores[0]),
        "aiScore": number(scores[1]),
        "deviation": number(deviation),
        "deviationType": deviation_type(deviation),
        "suggestedAction": suggested_action(deviation),
        "actionTaken": optional.get("action"),
        "taskTitle": task[0],
        "skillArea": task[1],
        "taskDifficulty": task[2],
        "timestamp": timestamp,
        "reviewer": optional.get("reviewer"),
        "notes": optional.get("notes"),
    }
    return {key: value for key, value in row.items() if value is not None}


def draw_scores(rng: Random, quality: float, bias: float = 0.0) -> tuple[int, int]:
    """Human and AI score of one submission, in tenths; one AI score in ten goes astray."""
    human = round(normal(rng, quality + bias, 4)) * 10
    astray = normal(rng, 0, 30) if rng.random() < 0.1 else 0.0
    ai = normal(rng, quality + astray, 7)
    ai_tenths = round(ai * 10) if rng.random() < 0.6 else round(ai) * 10
    return min(max(human, 0), 1000), min(max(ai_tenths, 0), 1000)


def draw_notes(rng: Random, scores: tuple[int, int], share: float) -> str | None:
    if rng.random() >= share:
        return None
    difference = scores[0] - scores[1]
    if abs(difference) > 300:
        return CRITICAL
    return pick(rng, AGREED if abs(difference) <= 50 else HUMAN_ABOVE if difference > 0 else HUMAN_BELOW)
