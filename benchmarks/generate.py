"""Made-up run files: `python -m benchmarks.generate run FILE RUN_ID RESULTS`.

The same id and number of results always give the same bytes.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEED = 20240115
CHUNK = 50_000
STARTED_AT = "2024-01-15T10:00:00"
ACTIONS = ("allow", "flag_for_review", "escalate", "override")
DEVIATION_TYPES = ("none", "minor", "major", "critical")
FIRST_TENTHS = (50, 150, 300)  # of minor, major, critical: 5, 15 and 30 points
TASK = {
    "taskTitle": "Responsive navigation bar",
    "taskDifficulty": "medium",
    "skillArea": "frontend",
}
OPENINGS = ("Reviewed twice", "Score agreed", "Layout breaks on phones", "Checked by hand")
ENDINGS = ("no change made", "sent to the team lead", "see ticket", "keyboard focus lost")
FOREIGN = ("Größe prüfen", "très bon travail", "评分偏高", "проверено", "ok 👍")


def write_run(path: Path, identifier: str, results: int, seed: int = SEED) -> None:
    """Write one native run file, in pieces, so that its size does not matter."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(pieces(identifier, results, seed))
    os.replace(part, path)


def write_folder(folder: Path, files: int, results: int) -> None:
    """Write many run files; the folder's own time says that it is whole."""
    folder.mkdir(exist_ok=True)
    os.utime(folder, (0, 0))
    for number in range(files):
        write_run(folder / f"run-{number:05}.json", f"bench-{number:05}", results, SEED + number)
    os.utime(folder)


def pieces(identifier: str, results: int, seed: int) -> Iterator[str]:
    """The compact JSON text of a run. Scores are drawn first: the totals stand before the rows."""
    random = np.random.default_rng(seed)
    users = _whole(random.integers(0, 1001, results), random.random(results) < 0.7)
    errors = random.normal(0, 150, results).astype(int)
    ais = _whole((users + errors).clip(0, 1000), random.random(results) < 0.4)
    deviations = np.abs(users - ais)
    types = np.searchsorted(FIRST_TENTHS, deviations, side="right")
    times = np.datetime64(STARTED_AT) + np.arange(1, results + 1)
    header = {
        "id": identifier,
        "reviewer": "admin-1",
        "startedAt": f"{STARTED_AT}Z",
        "completedAt": f"{times[-1] + 60}Z",
        **TASK,
        "status": "completed",
        "totalSubmissions": results,
        "averageDeviation": int(deviations.sum()) / (10 * results),
        "criticalFlags": int((types == 3).sum()),
    }
    yield f'{_json(header)[:-1]},"results":['
    notes = _notes(random, min(results, 20_000))
    for start in range(0, results, CHUNK):
        rows = slice(start, start + CHUNK)
        count = len(users[rows])
        noted, which = random.random(count) < 0.6, random.integers(0, len(notes), count)
        columns = (
            *(np.arange(start + 1, start + count + 1), users[rows], ais[rows]),
            *(deviations[rows], types[rows], times[rows].astype(str)),
            *(random.integers(0, limit, count) for limit in (40_000, 6, 6)),
            np.where(noted, which, -1),
        )
        values = zip(*(column.tolist() for column in columns), strict=True)
        text = ",".join(_result(notes, *row) for row in values)
        yield text if start == 0 else f",{text}"
    yield "]}\n"


def _whole(tenths: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Scores in tenths of a point, the chosen ones cut to whole points."""
    return tenths - tenths % 10 * chosen


def _result(
    notes: list[str],
    number: int,
    user_tenths: int,
    ai_tenths: int,
    deviation_tenths: int,
    kind: int,
    time: str,
    user: int,
    action: int,
    reviewer: int,
    note: int,
) -> str:
    """One result as compact JSON. Two in six have no action taken, one in six no reviewer."""
    taken = f'"actionTaken":"{ACTIONS[action]}",' if action < len(ACTIONS) else ""
    by = f',"reviewer":"admin-{reviewer}"' if reviewer else ""
    said = f',"notes":{notes[note]}' if note >= 0 else ""
    return (
        f'{{"id":"result-{number}","submissionId":"sub-{number:07}","userId":"user-{user}",'
        f'"userScore":{_points(user_tenths)},"aiScore":{_points(ai_tenths)},'
        f'"deviation":{_points(deviation_tenths)},"deviationType":"{DEVIATION_TYPES[kind]}",'
        f'"suggestedAction":"{ACTIONS[kind]}",{taken}'
        f'"taskTitle":"{TASK["taskTitle"]}","skillArea":"{TASK["skillArea"]}",'
        f'"taskDifficulty":"{TASK["taskDifficulty"]}","timestamp":"{time}Z"{by}{said}}}'
    )


def _points(tenths: int) -> str:
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth}" if tenth else f"{whole}"


def _notes(random: np.random.Generator, count: int) -> list[str]:
    """Different notes as JSON text; the shares are those the README names."""
    notes = []
    for number, (comma, quote, newline, foreign, formula) in enumerate(random.random((count, 5))):
        opening, ending = OPENINGS[number % 4], ENDINGS[number // 4 % 4]
        note = f"{opening}{', ' if comma < 0.30 else ' - '}{ending} {number}"
        if quote < 0.03:
            note = note.replace(ending, f'"{ending}"')
        if newline < 0.02:
            note += "\nsecond line"
        if foreign < 0.05:
            note += f" {FOREIGN[number % len(FOREIGN)]}"
        if formula < 0.005:
            note = f"{'=-'[number % 2]}{note}"
        notes.append(_json(note))
    return notes


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", path, identifier, results]:
            write_run(Path(path), identifier, int(results))
        case ["folder", path, files, results]:
            write_folder(Path(path), int(files), int(results))
        case _:
            sys.exit(__doc__)
