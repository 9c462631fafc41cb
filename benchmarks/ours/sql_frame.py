"""A run of a database as a frame of results, with auditkit: `sql_frame URL RUN_ID`."""

import sys

import auditkit as ak

if __name__ == "__main__":
    url, run_id = sys.argv[1:]
    print(len(ak.load_results(run_id, source=url)))
