"""The table of rows: what is compared with what, and what we aim at."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.data import ROOT, run_file, run_folder, run_id
from benchmarks.measure import Command

MEGABYTE = 1_000_000
PYTHON = sys.executable

# Makes a command and the data it needs; takes the number all sizes are divided by.
MakeCommand = Callable[[int], Command]


@dataclass(frozen=True, kw_only=True)
class Target:
    """An aim for a ratio of two costs.

    `peer/ours` says how many times cheaper we are (at least `bound`), `ours/peer` what share of
    the peer's cost we take (at most `bound`). What is compared is CPU time, peak memory or wall time.
    """

    ratio: Literal["peer/ours", "ours/peer"]
    bound: float
    of: Literal["cpu", "memory", "wall"] = "cpu"

    def met_by(self, seen: float) -> bool:
        return seen >= self.bound if self.ratio == "peer/ours" else seen <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.ratio == 'peer/ours' else '≤'} {self.bound:.3g}×"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    work: str
    peer_name: str
    ours: MakeCommand
    peer: MakeCommand
    target: Target | None = None
    memory_limit_bytes: int | None = None
    same_bytes: bool = False  # both sides must have written the same files
    peer_may_fail: bool = False


def script(name: str, *arguments: str, prints_times: bool = False) -> Command:
    """One of the small Python scripts in `ours` and `peers`."""
    command = (PYTHON, "-m", f"benchmarks.{name}", *arguments)
    return Command(arguments=command, prints_times=prints_times)


def export(results: int, *options: str) -> MakeCommand:
    """`auditkit export` of a run of so many results."""

    def command(divisor: int) -> Command:
        count = results // divisor
        return auditkit_export(run_id(count), str(run_file(count)), *options)

    return command


def auditkit_export(identifier: str, source: str, *options: str) -> Command:
    """`auditkit export` of one run of a source."""
    where = ("--source", source, "--output-dir", "{out}")
    return Command(arguments=(PYTHON, "-m", "auditkit", "export", identifier, *where, *options))


def node(results: int, form: str) -> MakeCommand:
    """The specification as a Node script: csv, nested or flat."""
    path = str(ROOT / "benchmarks" / "peers" / "specification.mjs")
    return lambda divisor: Command(arguments=("node", path, str(run_file(results // divisor)), form, "{out}"))


def frame_script(name: str, results: int, *arguments: str) -> MakeCommand:
    """A script that converts a prepared frame again and again and prints what that took."""
    return lambda divisor: script(
        name, str(run_file(results // divisor)), "{out}", *arguments, prints_times=True
    )


def folder_script(name: str, wanted: str) -> MakeCommand:
    """A script that lists a folder of 10,000 runs of 100 results."""
    return lambda divisor: script(name, str(run_folder(10_000 // divisor, 100)), wanted)


def load_script(name: str, *, with_id: bool = False) -> MakeCommand:
    """A script that loads a million results into a frame."""

    def command(divisor: int) -> Command:
        count = 1_000_000 // divisor
        return script(name, str(run_file(count)), *([run_id(count)] if with_id else []))

    return command


def at_least(times: float) -> Target:
    return Target(ratio="peer/ours", bound=times)


def at_most(times: float, of: Literal["cpu", "memory", "wall"] = "cpu") -> Target:
    return Target(ratio="ours/peer", bound=times, of=of)


CSV = ("--format", "csv")
JSON = ("--format", "json")
FLAT = (*JSON, "--flatten-results")
LIMIT = 150 * MEGABYTE

ROWS: Sequence[Row] = (
    Row(
        name="load-pandas",
        work="nested JSON 1M → DataFrame",
        peer_name="json.load + pd.json_normalize",
        ours=load_script("ours.frame", with_id=True),
        peer=load_script("peers.json_normalize"),
        target=at_least(6),
    ),
    Row(
        name="load-polars",
        work="nested JSON 1M → DataFrame",
        peer_name="polars.read_json + to_pandas",
        ours=load_script("ours.frame", with_id=True),
        peer=load_script("peers.polars_frame"),
        target=at_least(1.5),
    ),
    Row(
        name="csv",
        work="nested JSON 1M → CSV, guarded",
        peer_name="Node, not guarded",
        ours=export(1_000_000, *CSV),
        peer=node(1_000_000, "csv"),
        target=at_least(3),
        memory_limit_bytes=LIMIT,
    ),
    Row(
        name="csv-plain",
        work="nested JSON 1M → CSV, not guarded",
        peer_name="Node, not guarded",
        ours=export(1_000_000, *CSV, "--no-formula-guard"),
        peer=node(1_000_000, "csv"),
        target=at_least(3),
        memory_limit_bytes=LIMIT,
        same_bytes=True,
    ),
    Row(
        name="csv-5m",
        work="nested JSON 5M → CSV: memory",
        peer_name="ours, 1M",
        ours=export(5_000_000, *CSV),
        peer=export(1_000_000, *CSV),
        target=at_most(1.1, of="memory"),
        memory_limit_bytes=LIMIT,
    ),
    Row(
        name="nested",
        work="nested JSON 1M → nested JSON",
        peer_name="Node",
        ours=export(1_000_000, *JSON),
        peer=node(1_000_000, "nested"),
        target=at_least(3),
        memory_limit_bytes=LIMIT,
        same_bytes=True,
    ),
    Row(
        name="flat",
        work="nested JSON 200k → flat JSON",
        peer_name="Node",
        ours=export(200_000, *FLAT),
        peer=node(200_000, "flat"),
        target=at_least(2.2),
        memory_limit_bytes=LIMIT,
        same_bytes=True,
    ),
    Row(
        name="flat-1m",
        work="nested JSON 1M → flat JSON",
        peer_name="Node",
        ours=export(1_000_000, *FLAT),
        peer=node(1_000_000, "flat"),
        memory_limit_bytes=LIMIT,
        peer_may_fail=True,
    ),
    Row(
        name="frame-pandas",
        work="DataFrame 100k → CSV, guarded, 20 times",
        peer_name="DataFrame.to_csv, exact",
        ours=frame_script("ours.frame_to_csv", 100_000, "frame"),
        peer=frame_script("peers.to_csv_exact", 100_000),
        target=at_least(5),
    ),
    Row(
        name="frame-polars",
        work="the same, made ready → CSV, not guarded, 20 times",
        peer_name="polars.write_csv, columns ready",
        ours=frame_script("ours.frame_to_csv", 100_000, "plain"),
        peer=frame_script("peers.polars_write_csv", 100_000),
        target=at_least(1),
    ),
    Row(
        name="guard",
        work="the same, made ready → CSV, guarded, 20 times",
        peer_name="ours, not guarded",
        ours=frame_script("ours.frame_to_csv", 100_000, "guard"),
        peer=frame_script("ours.frame_to_csv", 100_000, "plain"),
        target=at_most(1.4),
    ),
    Row(
        name="start",
        work="`auditkit export run-001`, 8 results",
        peer_name='python -c "import pandas"',
        ours=lambda divisor: auditkit_export("run-001", "sample_data/runs", *CSV),
        peer=lambda divisor: Command(arguments=(PYTHON, "-c", "import pandas")),
        target=at_most(0.6),
    ),
    Row(
        name="list",
        work="ids of 10,000 run files",
        peer_name="json.load of each",
        ours=folder_script("ours.list_runs", "ids"),
        peer=folder_script("peers.read_every_file", "ids"),
        target=at_least(6),
    ),
    Row(
        name="load-runs",
        work="headers of 10,000 run files → DataFrame",
        peer_name="json.load of each + DataFrame",
        ours=folder_script("ours.list_runs", "frame"),
        peer=folder_script("peers.read_every_file", "frame"),
        target=at_least(3),
    ),
)
