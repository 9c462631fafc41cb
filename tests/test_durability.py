"""What is on disk before it is seen, logged and acknowledged: in the right order, and cheaply."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from children import environment, succeed
from faults import CHANGING, Call, Disk
from records import a_run, dumped, saved
from tools import require

import auditkit as ak

TESTS = Path(__file__).parent
LOG = "export-log.jsonl"
SYNCING = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
# What Python does within a call that the disk of `faults.py` counts: opening a file, listing a folder.
INNER = {"fstat", "newfstatat", "ioctl", "lseek", "fcntl", "getdents64"}

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


# --- the order ------------------------------------------------------------------------------------------


def kind(place: str) -> str:
    """What a path is to an export: its file, the log, or the folder."""
    name = os.path.basename(place)
    return "log" if name.startswith(LOG) else "file" if name.startswith(".auditkit-") else "folder"


def disorder(calls: list[Call]) -> list[str]:
    """What breaks write < fsync(file) < begin, its fsync < link < fsync(folder) < commit, its fsync."""
    steps = [(call.name, kind(call.place)) for call in calls]
    named = [at for at, call in enumerate(calls) if call.name in ("link", "rename", "replace")]
    if not named:
        return ["nothing was made visible"]
    before, after = steps[: named[0]], steps[named[-1] :]
    wanted = [("write", "file"), ("fsync", "file"), ("write", "log"), ("fsync", "log")]
    missing = [f"{step} before it is seen" for step in _missing(before, wanted)]
    wanted = [("fsync", "folder"), ("write", "log"), ("fsync", "log")]
    missing += [f"{step} after it is seen" for step in _missing(after, wanted)]
    files = {call.place for call in calls[: named[0]] if call.name == "write" and kind(call.place) == "file"}
    synced = {call.place for call in calls[: named[0]] if call.name == "fsync"}
    return missing + [f"{place} is not synced" for place in files - synced]


def _missing(steps: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The steps that do not come, each after the last of the one before it."""
    missing, start = [], 0
    for step in wanted:
        places = [at for at, done in enumerate(steps) if done == step and at >= start]
        if not places:
            missing.append(step)
        elif step[0] == "write":
            start = places[-1]
    return missing


def exported(folder: Path, **options: Any) -> None:
    run = folder.parent / "run.json"
    ak.export_audit_run("run-001", "csv", source=run, output_dir=folder, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exports folder with a log; beside it a run that takes 50 KB as CSV."""
    saved(tmp_path / "run.json", dumped(a_run(216)))
    saved(tmp_path / "old.json", dumped(a_run(1, id="old")))
    ak.export_audit_run("old", "csv", source=tmp_path / "old.json", output_dir=tmp_path / "exports")
    return tmp_path / "exports"


@pytest.mark.parametrize("if_exists", ["version", "replace"])
def test_everything_is_synced_before_the_next_step_counts_on_it(folder: Path, if_exists: str) -> None:
    with Disk(folder.parent).watched() as disk:
        exported(folder, if_exists=if_exists)
    assert disorder(disk.calls) == []


def test_a_batch_is_in_order_too(folder: Path) -> None:
    runs = saved(folder.parent / "runs.json", dumped([a_run(2, id=f"run-{n}") for n in range(5)]))
    with Disk(folder.parent).watched() as disk:
        ak.export_multiple_runs([f"run-{n}" for n in range(5)], "json", source=runs, output_dir=folder)
    assert disorder(disk.calls) == []
    assert Counter(call.name for call in disk.calls)["link"] == 5


@contextmanager
def skipping(what: str, number: int) -> Iterator[None]:
    """A program that leaves out the n-th fsync of a kind of file."""
    watched, seen = os.fsync, Counter[str]()

    def fsync(descriptor: int) -> None:
        of = kind(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen[of] += 1
        if (of, seen[of]) != (what, number):
            watched(descriptor)

    with replaced("fsync", fsync):
        yield


@contextmanager
def postponing(what: str, behind: str) -> Iterator[None]:
    """A program that syncs a kind of file only behind the next call of that name."""
    watched, follows, waiting = os.fsync, getattr(os, behind), list[int]()

    def fsync(descriptor: int) -> None:
        if kind(os.readlink(f"/proc/self/fd/{descriptor}")) == what:
            waiting.append(descriptor)
        else:
            watched(descriptor)

    def call(*arguments: Any) -> Any:
        outcome = follows(*arguments)
        while waiting:
            watched(waiting.pop())
        return outcome

    with replaced("fsync", fsync), replaced(behind, call):
        yield


@contextmanager
def replaced(name: str, call: Callable[..., Any]) -> Iterator[None]:
    before = getattr(os, name)
    setattr(os, name, call)
    try:
        yield
    finally:
        setattr(os, name, before)


MUTANTS = {
    "the file is never synced": lambda: skipping("file", 1),
    "the folder is never synced": lambda: skipping("folder", 1),
    "begin is not synced": lambda: skipping("log", 1),
    "commit is not synced": lambda: skipping("log", 2),
    "the name is given before the file is synced": lambda: postponing("file", "link"),
    "the name is given before begin is synced": lambda: postponing("log", "link"),
    "commit is written before the folder is synced": lambda: postponing("folder", "unlink"),
}


@linux
@pytest.mark.parametrize("mutant", MUTANTS)
def test_whatever_is_left_out_or_done_too_late_is_noticed(folder: Path, mutant: str) -> None:
    with Disk(folder.parent).watched() as disk, MUTANTS[mutant]():
        exported(folder)
    assert disorder(disk.calls) != []


@linux
def test_a_harness_that_leaves_nothing_out_notices_nothing(folder: Path) -> None:
    with Disk(folder.parent).watched() as disk, skipping("no such kind", 1):
        exported(folder)
    assert disorder(disk.calls) == []


# --- as the kernel sees it ------------------------------------------------------------------------------

WATCHED = """\
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from faults import Disk
import auditkit as ak
with Disk(Path({folder!r})).watched() as disk:
    for name in ("exports", "new"):
        options = {{"output_dir": Path({folder!r}, name), "checksum": True, "group_readable": True}}
        ak.export_audit_run("run-001", "csv", source={run!r}, **options)
print(json.dumps(disk.calls))
"""


@linux
def test_the_faults_miss_no_call_that_the_kernel_sees(folder: Path, tmp_path: Path) -> None:
    """Every change that strace sees below the folder is a call that was counted, in the same order."""
    run = tmp_path.with_name(tmp_path.name + "-run.json")  # reading it is no part of the export
    (folder.parent / "run.json").rename(run)
    with (folder / LOG).open("ab") as log:
        log.write(b"half a li")
    script = WATCHED.format(tests=str(TESTS), folder=str(folder.parent), run=str(run))
    out, lines = traced(script, "%file,%desc", tmp_path.with_name(tmp_path.name + "-trace"))
    counted = [Call(*call) for call in json.loads(out)]
    seen = [call for line in lines if (call := as_seen(line, folder.parent))]
    changes = [(call.name, kind(call.place)) for call in counted if call.name in CHANGING]
    assert [(name, kind(place)) for name, place in seen if name in CHANGING] == changes
    assert {name for name, _ in changes} >= {
        "create",
        "write",
        "fsync",
        "ftruncate",
        "fchmod",
        "link",
        "mkdir",
    }
    assert disorder(seen[: [name for name, _ in seen].index("unlink")]) == []  # the first export
    names = {call.name for call in counted}
    strangers = {name for name, _ in seen} - names - INNER
    assert strangers == set()


def traced(script: str, calls: str, trace: Path) -> tuple[str, list[str]]:
    """What a script prints, and the calls of it and its threads."""
    command = [require("strace"), "-f", "-y", "-qq", "-e", f"trace={calls}", "-o", str(trace), sys.executable]
    done = subprocess.run(
        [*command, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    return succeed(done), trace.read_text().splitlines()


CALLS = {
    "openat": "open",
    "unlinkat": "unlink",
    "linkat": "link",
    "rename": "replace",  # that is what we call; Python asks the kernel for a rename
    "mkdirat": "mkdir",
    "pread64": "read",
}


def as_seen(line: str, folder: Path) -> Call | None:
    """A line of strace as a call below the folder."""
    match = re.match(r"\d+ +(\w+)\((.*)", line)
    place = re.search(rf"{re.escape(str(folder))}[^\">]*", line)
    if match is None or place is None:
        return None
    name, arguments = match.groups()
    creating = name == "openat" and "O_CREAT" in arguments
    return Call("create" if creating else CALLS.get(name, name), place[0])


# --- how often ------------------------------------------------------------------------------------------


def syncs(script: str, folder: Path) -> Counter[str]:
    """How often a script syncs what below the folder, as strace counts it."""
    source = f"import auditkit as ak\nout = {str(folder)!r}\nabove = {str(folder.parent)!r}\n"
    trace = folder.parent / "trace"
    _, lines = traced(source + textwrap.dedent(script), SYNCING, trace)
    assert not [line for line in lines if str(folder.parent) not in line]
    return Counter(kind(match[1]) for line in lines if (match := re.search(r"<([^>]+)>", line)))


@linux
def test_an_export_of_50_kb_takes_four_syncs(folder: Path) -> None:
    script = """
        receipt = ak.export_audit_run("run-001", "csv", source=above + "/run.json", output_dir=out)
        assert 50_000 < receipt.bytes < 52_000, receipt.bytes
    """
    assert syncs(script, folder) == {"file": 1, "log": 2, "folder": 1}


@linux
def test_a_folder_that_has_to_be_made_takes_one_more(folder: Path) -> None:
    script = """
        ak.export_audit_run("run-001", "csv", source=above + "/run.json", output_dir=above + "/new")
    """
    assert syncs(script, folder) == {"file": 1, "log": 2, "folder": 2}


@linux
def test_a_checksum_is_a_second_file_with_syncs_of_its_own(folder: Path) -> None:
    script = """
        ak.export_audit_run("run-001", "csv", source=above + "/run.json", output_dir=out, checksum=True)
    """
    assert syncs(script, folder) == {"file": 2, "log": 4, "folder": 2}


@linux
def test_a_batch_of_a_thousand_runs_shares_its_syncs(folder: Path) -> None:
    saved(folder.parent / "runs.json", dumped([a_run(1, id=f"run-{n}") for n in range(1000)], None))
    script = """
        ids = [f"run-{n}" for n in range(1000)]
        batch = ak.export_multiple_runs(ids, "csv", source=above + "/runs.json", output_dir=out)
        assert len(batch.receipts) == 1000
    """
    counted = syncs(script, folder)
    assert counted["file"] == 1000
    assert counted.total() <= 2.2 * 1000
    assert counted.total() == 1000 + 3 * -(-1000 // 64)  # groups of 64 share begin, folder and commit


def test_the_same_bytes_again_cost_no_more(folder: Path) -> None:
    exported(folder)
    with Disk(folder.parent).watched() as disk:
        exported(folder)
    assert Counter(call.name for call in disk.calls)["fsync"] == 4
