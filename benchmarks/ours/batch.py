"""A batch of all runs of a folder as CSV: `batch FOLDER OUTPUT_DIR one|jobs|dask`; prints its times alone.

Processes of `jobs` start within the measured time; a Dask cluster stands before it, as they do.
"""

import json
import resource
import sys
import time
from contextlib import ExitStack
from typing import Any

import auditkit as ak

WORKERS = 2


def executor_of(how: str, stack: ExitStack) -> dict[str, Any]:
    """The options of the batch."""
    if how == "jobs":
        return {"jobs": WORKERS}
    if how == "dask":
        from distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        client = stack.enter_context(Client(stack.enter_context(cluster)))
        return {"executor": client.get_executor(pure=False, retries=2)}
    return {}


def main() -> None:
    """Export the batch, and print what that took."""
    folder, output_dir, how = sys.argv[1:]
    with ExitStack() as stack:
        options = executor_of(how, stack)
        ids = ak.list_available_runs(source=folder)
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        ak.export_multiple_runs(ids, "csv", source=folder, output_dir=output_dir, **options)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "user": after.ru_utime - before.ru_utime + workers.ru_utime,
                "system": after.ru_stime - before.ru_stime + workers.ru_stime,
                "wall": wall,
            }
        )
    )


if __name__ == "__main__":
    main()
