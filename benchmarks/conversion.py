"""Frame to CSV in one process: the prepared frame, and the clock around the conversion alone.

Every script that uses this prints one line, which the harness takes instead of the figures of
the whole process: user and system CPU seconds and wall seconds of all repetitions together.
"""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.columns import CATEGORIES, COLUMNS, SCORES, TEXTS

REPETITIONS = 20


def prepared_run(path: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The results and the header of a run file. The timestamps are text as recorded."""
    run = json.loads(Path(path).read_text(encoding="utf-8"))
    results = pd.DataFrame(run.pop("results"), columns=list(COLUMNS)).rename(columns=COLUMNS)
    results.insert(0, "run_id", run["id"])
    results.insert(1, "position", range(len(results)))
    kinds: dict[str, Any] = {
        **dict.fromkeys((*TEXTS, "run_id", "timestamp"), "str"),
        **dict.fromkeys(SCORES, "float64"),
        **{name: pd.CategoricalDtype(*kind) for name, kind in CATEGORIES.items()},
    }
    return results.astype(kinds), run


def time_conversion(convert: Callable[[Path], None], output_dir: str) -> None:
    """Write the same CSV file again and again; print what that took."""
    path = Path(output_dir, "results.csv")
    convert(path)  # once unmeasured: lazy imports and caches belong to no conversion
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(REPETITIONS):
        convert(path)
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    print(
        json.dumps(
            {
                "user": after.ru_utime - before.ru_utime,
                "system": after.ru_stime - before.ru_stime,
                "wall": ended - began,
            }
        )
    )
