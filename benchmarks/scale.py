"""The rows of `make bench-scale`: databases, Parquet, many processes."""

from collections.abc import Sequence

from benchmarks.data import run_folder, run_id
from benchmarks.jobs import MEGABYTE, MakeCommand, Row, Target, at_least, at_most, auditkit_export, script
from benchmarks.measure import Command
from benchmarks.scale_data import parquet_file, postgres_url, sqlite_url

MILLION = 1_000_000


def from_sqlite(name: str, *arguments: str) -> MakeCommand:
    """A script that reads a run of the embedded database."""
    return lambda divisor: script(
        name, sqlite_url(MILLION // divisor), run_id(MILLION // divisor), *arguments
    )


def from_postgres(divisor: int) -> Command:
    count = MILLION // divisor
    return auditkit_export(run_id(count), postgres_url(count), "--format", "csv")


def read_sql_from_postgres(divisor: int) -> Command:
    count = MILLION // divisor
    return script("peers.read_sql", postgres_url(count), run_id(count), "{out}")


def sqlite_to_csv(divisor: int) -> Command:
    count = MILLION // divisor
    return auditkit_export(run_id(count), sqlite_url(count), "--format", "csv")


def from_parquet(divisor: int) -> Command:
    count = MILLION // divisor
    return auditkit_export(run_id(count), parquet_file(count, 20), "--format", "csv")


def duckdb_copy(divisor: int) -> Command:
    count = MILLION // divisor
    return script("peers.duckdb_copy", parquet_file(count, 20), run_id(count), "{out}")


def batch(how: str) -> MakeCommand:
    """A batch of 20 runs of 50,000 results, timed alone: what was imported or started before stays out."""
    return lambda divisor: script(
        "ours.batch", str(run_folder(20, 50_000 // divisor)), "{out}", how, prints_times=True
    )


ROWS: Sequence[Row] = (
    Row(
        name="sqlite-frame",
        work="SQLite 1M → DataFrame",
        peer_name="pd.read_sql",
        ours=from_sqlite("ours.sql_frame"),
        peer=from_sqlite("peers.read_sql"),
        target=at_most(1),
    ),
    Row(
        name="sqlite-csv",
        work="SQLite 1M → CSV, streamed: memory",
        peer_name="pd.read_sql, no file",
        ours=sqlite_to_csv,
        peer=from_sqlite("peers.read_sql"),
        target=at_most(1 / 3, of="memory"),
    ),
    Row(
        name="postgres-csv",
        work="PostgreSQL 1M → CSV, streamed",
        peer_name="pd.read_sql + to_csv",
        ours=from_postgres,
        peer=read_sql_from_postgres,
        target=at_least(2),
        memory_limit_bytes=300 * MEGABYTE,
    ),
    Row(
        name="parquet-20m",
        work="Parquet 20M → CSV, guarded, hashed",
        peer_name="duckdb COPY",
        ours=from_parquet,
        peer=duckdb_copy,
        target=at_most(2),
        memory_limit_bytes=400 * MEGABYTE,
    ),
    Row(
        name="jobs",
        work="20 runs × 50k → CSV, jobs=2: wall",
        peer_name="ours, one process",
        ours=batch("jobs"),
        peer=batch("one"),
        target=Target(ratio="peer/ours", bound=1.5, of="wall"),
    ),
    Row(
        name="dask",
        work="the same, Dask, 2 workers: wall",
        peer_name="ours, jobs=2",
        ours=batch("dask"),
        peer=batch("jobs"),
        target=at_most(1.3, of="wall"),
    ),
)
