"""A large run as Parquet: `repeat RUN_FILE RUN_ID TIMES PARQUET`, the results of a run again and again."""

import dataclasses
import os
import sys
import tempfile
from pathlib import Path

import auditkit as ak

if __name__ == "__main__":
    path, run_id, times, target = sys.argv[1:]
    run = ak.load_run(run_id, source=path)
    held = list(run.batches())
    large = dataclasses.replace(
        run,
        batches=lambda: (batch for _ in range(int(times)) for batch in held),
        total_submissions=run.total_submissions * int(times),
    )
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
        os.replace(ak.export_audit_run(large, "parquet", output_dir=folder), target)
