"""`polars.write_csv` of the 21 columns, made beforehand: `polars_write_csv RUN_FILE OUT_DIR`.

Only the writing is measured. Its numbers are floats, so it writes `85.0`: quicker than exact.
"""

import sys

import polars as pl

from benchmarks.columns import CSV_SCORES
from benchmarks.conversion import prepared_run, time_conversion
from benchmarks.peers.to_csv_exact import csv_frame

if __name__ == "__main__":
    run_file, output_dir = sys.argv[1:]
    frame = pl.from_pandas(csv_frame(*prepared_run(run_file)))
    frame = frame.with_columns(pl.col(*CSV_SCORES).cast(pl.Float64))
    time_conversion(frame.write_csv, output_dir)
