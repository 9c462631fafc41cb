"""A run file as a pandas frame of results, by way of polars: `polars_frame RUN_FILE`."""

import sys

import pandas as pd
import polars as pl

from benchmarks.columns import CATEGORIES, COLUMNS, SCORES

RESULT = pl.Struct({key: pl.Float64 if name in SCORES else pl.String for key, name in COLUMNS.items()})
RUN = {"id": pl.String, "results": pl.List(RESULT)}  # told, not inferred: a fifth less user time


def load_results(path: str) -> pd.DataFrame:
    results = (
        pl.read_json(path, schema=RUN)
        .select(pl.col("id").alias("run_id"), "results")
        .explode("results")
        .unnest("results")
        .rename(COLUMNS)
        .with_columns(
            pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC"),
            *(pl.col(name).cast(pl.Enum(values)) for name, (values, _) in CATEGORIES.items()),
        )
        .with_row_index("position")
        .select("run_id", pl.col("position").cast(pl.Int64), *COLUMNS.values())
    )
    return results.to_pandas()


if __name__ == "__main__":
    print(len(load_results(sys.argv[1])))
