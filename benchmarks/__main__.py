"""Measure auditkit beside its peers and print the table of what was seen."""

import argparse
import compileall
import filecmp
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import jobs, report, scale
from benchmarks.data import ROOT
from benchmarks.jobs import Row
from benchmarks.measure import compare

DEFAULT_RUNS = 5
QUICK_DIVISOR = 100


def main() -> int:
    """Measure the chosen rows and print the table; 1 when a target is missed, or a side fails."""
    options = _options()
    compileall.compile_dir(ROOT / "auditkit", quiet=1)  # as pip does; compiling belongs to no start
    table = scale.ROWS if options.scale else jobs.ROWS
    rows = [row for row in table if not options.only or row.name in options.only]
    print(f"{report.machine()}; medians of {options.runs}\n\n{report.head()}", flush=True)
    missed = False
    for row in rows:
        seen = _measure(row, QUICK_DIVISOR if options.quick else 1, options.runs)
        print(report.line(seen), flush=True)
        missed = missed or bool(report.faults(seen))
    if options.quick:
        print("\nA hundredth of the data: this shows that the rows work, not how they compare.")
    return 1 if missed and not options.quick else 0


def _measure(row: Row, divisor: int, runs: int) -> report.Seen:
    differs = ""

    def inspect(folders: Sequence[str]) -> None:
        nonlocal differs
        if row.same_bytes:
            differs = _difference(*folders)

    ours, peer = compare([row.ours(divisor), row.peer(divisor)], runs, inspect)
    return report.Seen(row=row, ours=ours, peer=peer, differs=differs)


def _difference(ours: str, theirs: str) -> str:
    """Whether each side wrote one export and the two are equal; the names may differ."""
    pairs = [
        [path for path in Path(folder).iterdir() if path.name.startswith("audit-run-")]
        for folder in (ours, theirs)
    ]
    if [len(files) for files in pairs] != [1, 1]:
        return "not one file each"
    same = filecmp.cmp(pairs[0][0], pairs[1][0], shallow=False)
    return "" if same else "the files differ"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[row.name for row in (*jobs.ROWS, *scale.ROWS)],
        help="measure this row only; may be repeated",
    )
    parser.add_argument("--scale", action="store_true", help="the rows of `make bench-scale`")
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS, metavar="N", help="runs of each side (5)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the data, smoke check")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
