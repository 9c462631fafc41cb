"""Fifty batches, each with a worker killed at a random moment: prints what they came to."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.report import machine

TESTS = Path(__file__).resolve().parents[1] / "tests"


def main() -> int:
    """Kill, judge and print; 1 when anything was lost, torn or doubled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_kills", description=__doc__)
    parser.add_argument("--batches", type=int, default=50, metavar="N", help="how many batches (50)")
    parser.add_argument("--seed", type=int, default=20240115, metavar="N")
    options = parser.parse_args()
    sys.path.insert(0, str(TESTS))  # the trial is that of the tests
    import batchkills

    with tempfile.TemporaryDirectory() as place:
        told = batchkills.killed(Path(place, "ours"), options.batches, options.seed)
        control = batchkills.killed(Path(place, "naive"), 3, options.seed, batchkills.naive)
    wrong = told["wrong"]
    kinds = ("not exported", "torn", "doubled", "commits", "left", "verify_exports")
    print(f"{machine()}; seed {options.seed}\n")
    print("| | seen |\n| --- | --- |")
    print(f"| batches of {told['runs a batch']} runs, CSV, JSON and encrypted in turn | {told['batches']} |")
    print(f"| workers killed | {told['killed']} |")
    print(f"| batches in which a dead worker's file was found whole | {told['recovered']} |")
    print(f"| batches in which a dead worker had begun in vain | {told['begun in vain']} |")
    for kind in kinds:
        print(f"| {kind} | {sum(kind in what for what in wrong)} |")
    print(f"| seconds | {told['seconds']} |")
    print(f"| control, 3 batches with a pool as it comes: what went wrong | {len(control['wrong'])} |")
    for what in wrong:
        print(what, file=sys.stderr)
    return int(bool(wrong) or not control["wrong"])


if __name__ == "__main__":
    sys.exit(main())
