"""The CSV of the specification with auditkit: `frame_to_csv RUN_FILE OUT_DIR frame|guard|plain`.

`frame` starts from the DataFrame each time; `guard` and `plain` from a run made of it beforehand, as
the polars peer does with its frame, so that only the writing is measured.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

import auditkit as ak
from auditkit.formats.csv import Csv
from auditkit.schema import RUN_FIELDS
from benchmarks.conversion import prepared_run, time_conversion

HEADER = {field.attribute: field.key for field in RUN_FIELDS}


def run_of(results: pd.DataFrame, run: dict[str, Any]) -> ak.AuditRun:
    """The frame as a run: checked, and turned into Arrow batches."""
    return ak.AuditRun.from_frame(results, **{name: run.get(key) for name, key in HEADER.items()})


def write(run: ak.AuditRun, path: Path, formula_guard: bool) -> None:
    """Write the 21 columns, as `peers/to_csv_exact.py` does."""
    with path.open("wb") as file:
        Csv(formula_guard=formula_guard).write(run, file)


if __name__ == "__main__":
    run_file, output_dir, wanted = sys.argv[1:]
    results, record = prepared_run(run_file)
    if wanted == "frame":
        time_conversion(lambda path: write(run_of(results, record), path, True), output_dir)
    else:
        made = run_of(results, record)
        time_conversion(lambda path: write(made, path, wanted == "guard"), output_dir)
