"""A run file as a frame of results, with json and pandas: `json_normalize RUN_FILE`."""

import json
import sys

import pandas as pd

from benchmarks.columns import CATEGORIES, COLUMNS, SCORES, TEXTS


def load_results(path: str) -> pd.DataFrame:
    with open(path, encoding="utf-8") as stream:
        run = json.load(stream)
    results = pd.json_normalize(run["results"]).reindex(columns=list(COLUMNS))
    results = results.rename(columns=COLUMNS)
    results.insert(0, "run_id", run["id"])
    results.insert(1, "position", range(len(results)))
    results["timestamp"] = pd.to_datetime(results["timestamp"], utc=True, format="ISO8601")
    return results.astype(
        {
            "run_id": "str",
            "position": "int64",
            "timestamp": "datetime64[us, UTC]",
            **dict.fromkeys(TEXTS, "str"),
            **dict.fromkeys(SCORES, "float64"),
            **{name: pd.CategoricalDtype(*kind) for name, kind in CATEGORIES.items()},
        }
    )


if __name__ == "__main__":
    print(len(load_results(sys.argv[1])))
