"""The CSV of the specification with auditkit: `frame_to_csv RUN_FILE OUT_DIR guard|plain`."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.conversion import prepared_run, time_conversion


def convert(results: pd.DataFrame, run: dict[str, Any], path: Path, formula_guard: bool) -> None:
    """Write the 21 columns of `results`, as `peers/to_csv_exact.py` does."""
    raise NotImplementedError("name auditkit's function from a frame to CSV here")


if __name__ == "__main__":
    run_file, output_dir, guard = sys.argv[1:]
    results, run = prepared_run(run_file)
    time_conversion(lambda path: convert(results, run, path, guard == "guard"), output_dir)
