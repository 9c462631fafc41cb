"""The CSV of the specification with auditkit: `frame_to_csv RUN_FILE OUT_DIR guard|plain`."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

import auditkit as ak
from auditkit.formats.csv import Csv
from auditkit.schema import RUN_FIELDS
from benchmarks.conversion import prepared_run, time_conversion

HEADER = {field.attribute: field.key for field in RUN_FIELDS}


def convert(results: pd.DataFrame, run: dict[str, Any], path: Path, formula_guard: bool) -> None:
    """Write the 21 columns of `results`, as `peers/to_csv_exact.py` does."""
    header = {attribute: run.get(key) for attribute, key in HEADER.items()}
    with path.open("wb") as file:
        Csv(formula_guard=formula_guard).write(ak.AuditRun.from_frame(results, **header), file)


if __name__ == "__main__":
    run_file, output_dir, guard = sys.argv[1:]
    results, run = prepared_run(run_file)
    time_conversion(lambda path: convert(results, run, path, guard == "guard"), output_dir)
