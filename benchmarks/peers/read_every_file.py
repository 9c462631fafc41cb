"""Every run file of a folder, with `json.load`: `read_every_file FOLDER ids|frame`."""

import json
import sys
from pathlib import Path

HEADER = (
    *("id", "reviewer", "startedAt", "completedAt", "taskTitle", "taskDifficulty", "skillArea"),
    *("status", "totalSubmissions", "averageDeviation", "criticalFlags"),
)


def headers(folder: str) -> list[dict[str, object]]:
    """The headers of all runs; only one run is held at a time."""
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        with path.open(encoding="utf-8") as stream:
            run = json.load(stream)
        found.append({key: run[key] for key in HEADER})
    return found


if __name__ == "__main__":
    folder, wanted = sys.argv[1:]
    if wanted == "ids":
        print(len([header["id"] for header in headers(folder)]))
    else:
        import pandas as pd

        frame = pd.DataFrame(headers(folder))
        for name in ("startedAt", "completedAt"):
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
        print(len(frame))
