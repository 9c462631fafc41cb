"""A folder of 100,000 run files, listed for the first time and again after one changed: `scale_listing`."""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data import CACHE, ROOT, run_id
from benchmarks.generate import pieces
from benchmarks.report import machine

DEMANDED = 20
TEXTS = 20
SETTLED_SECONDS = 2.5
SCRIPT = "import sys, auditkit as ak; print(len(ak.list_available_runs(source=sys.argv[1])))"


def main() -> int:
    """Measure and print; 1 when the demand is missed or a listing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_listing", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000, metavar="N", help="how many files (100,000)")
    parser.add_argument("--results", type=int, default=100, metavar="N", help="results in each (100)")
    parser.add_argument("--folder", type=Path, help="where they are made, or stand already")
    options = parser.parse_args()
    folder = options.folder or CACHE / f"listing-{options.files}x{options.results}"
    _make(folder, options.files, options.results)
    time.sleep(SETTLED_SECONDS)
    with tempfile.TemporaryDirectory() as cache:
        without = _cpu_seconds(folder, options.files, cache, "off")
        first = _cpu_seconds(folder, options.files, cache)
        again = min(_cpu_seconds(folder, options.files, cache) for _ in range(3))
        one = folder / "run-000007.json"
        one.write_bytes(one.read_bytes())
        changed = _cpu_seconds(folder, options.files, cache)
    print(f"{machine()}; {options.files:,} files of {options.results} results; CPU seconds of a process\n")
    print("| listing | seen | demanded |\n| --- | --- | --- |")
    print(f"| without an index | {without:.2f} | |")
    print(f"| for the first time, the index written | {first:.2f} | |")
    print(f"| again, nothing changed | {again:.2f}, {first / again:.1f}× | |")
    print(f"| again, one file changed | {changed:.2f}, {first / changed:.1f}× | ≥ {DEMANDED}× |")
    return int(first / changed < DEMANDED)


def _make(folder: Path, files: int, results: int) -> None:
    """Run files with ids of their own, and the results of one of some runs."""
    if len(os.listdir(folder) if folder.is_dir() else []) == files:
        return
    folder.mkdir(parents=True, exist_ok=True)
    texts = ["".join(pieces(run_id(seed), results, seed)) for seed in range(TEXTS)]
    for number in range(files):
        seed = number % TEXTS
        text = texts[seed].replace(f'"{run_id(seed)}"', f'"bench-{number:06}"', 1)
        (folder / f"run-{number:06}.json").write_text(text, "utf-8")


def _cpu_seconds(folder: Path, files: int, cache: str, index: str = "on") -> float:
    """The CPU time of a process that lists the folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "AUDITKIT_INDEX": index}
    command = (sys.executable, "-c", SCRIPT, str(folder))
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    if int(done.stdout) != files:
        raise SystemExit(f"{done.stdout.strip()} runs were listed instead of {files}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
