"""Every run of a folder, with auditkit: `list_runs FOLDER ids|frame`."""

import sys

import auditkit as ak

if __name__ == "__main__":
    folder, wanted = sys.argv[1:]
    list_runs = ak.list_available_runs if wanted == "ids" else ak.load_runs
    print(len(list_runs(source=folder)))
