"""What `make demo` does: export the sample runs to exports/, and say what was written."""

import time
from pathlib import Path

import auditkit as ak

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "sample_data" / "runs"
JOBS = (
    ("CSV", "csv", {}),
    ("nested JSON", "json", {}),
    ("flat JSON", "json", {"flatten_results": True}),
)
NEXT = (
    ("make lab", "open the notebooks"),
    (".venv/bin/auditkit show run-003 --source sample_data/runs", "a run that disagrees with itself"),
    (".venv/bin/auditkit --help", "the whole command"),
)


def main() -> None:
    run_ids = ak.list_available_runs(source=RUNS)
    print(f"{len(run_ids)} audit runs in {RUNS.relative_to(ROOT)}: {', '.join(run_ids)}\n")
    for title, format, options in JOBS:
        folder = Path("exports") / title.lower().replace(" ", "-")
        started = time.perf_counter()
        batch = ak.export_multiple_runs(run_ids, format, source=RUNS, output_dir=ROOT / folder, **options)
        seconds = time.perf_counter() - started
        print(f"{title}: {len(batch.receipts)} files in {folder}/, {seconds:.2f} s")
        for receipt in batch.receipts:
            print(f"  {receipt.path.name:<36} {receipt.rows:>6,} rows {receipt.bytes:>10,} bytes")
        print()
    print("Every file appeared whole. Run this again: the same bytes are kept, nothing is written twice.")
    print("\nNext:")
    for command, what in NEXT:
        print(f"  {command:<58}  {what}")


if __name__ == "__main__":
    main()
