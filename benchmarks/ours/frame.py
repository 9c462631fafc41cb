"""A run file as a frame of results, with auditkit: `frame RUN_FILE RUN_ID`."""

import sys

import auditkit as ak

if __name__ == "__main__":
    path, run_id = sys.argv[1:]
    print(len(ak.load_run(run_id, source=path).results))
