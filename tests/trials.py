"""Exports that are struck by a fault at every one of their system calls, and what is judged of each.

Run as a program, `python trials.py WORKPLACE 0 1 SCENARIO…` prints one JSON object a scenario.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import judge
import reference_exporter as reference
from faults import Call, Disk, Fault, faults_for
from records import a_result, a_run, dumped

import auditkit as ak
from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, publish

DAY = "2024-01-15"
HOUR = 3600
TOO_SLOW = 20
CHUNK = b"0123456789abcdef" * 40_000
LARGE = CHUNK * 3
Receipts = list[tuple[str, str]]


def name_of(run_id: str, suffix: str = ".csv") -> str:
    return f"audit-run-{run_id}-{DAY}{suffix}"


def run_of(run_id: str, variant: int = 0) -> dict[str, Any]:
    return a_run([a_result(n, notes=f"variant {variant}") for n in range(3)], id=run_id)


@cache
def bytes_of(run_id: str, variant: int = 0) -> bytes:
    """Its CSV as the reference exporter writes it."""
    return reference.csv(run_of(run_id, variant))


def line_of(data: bytes, name: str) -> bytes:
    """What `sha256sum FILE` says."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()


class Workplace:
    """A folder with the runs to be exported, `exports` beside them, and `logs`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.exports = folder / "exports"

    def export(self, run_id: str, variant: int = 0, **options: Any) -> Receipts:
        source = self.source / f"{run_id}{variant}.json"
        receipt = ak.export_audit_run(run_id, "csv", source=source, output_dir=self.exports, **options)
        return [(receipt.path.name, receipt.sha256)]

    @property
    def source(self) -> Path:
        return self.folder.parent / "runs"

    def batch(self, run_ids: Sequence[str]) -> Receipts:
        source = str(self.source / "*0.json")
        result = ak.export_multiple_runs(run_ids, "csv", source=source, output_dir=self.exports)
        return [(receipt.path.name, receipt.sha256) for receipt in result.receipts]


def make_sources(folder: Path) -> None:
    """The runs that the scenarios export."""
    (folder / "runs").mkdir()
    for run_id in ("a", "b", "c", "old", "later"):
        for variant in range(2):
            (folder / "runs" / f"{run_id}{variant}.json").write_bytes(dumped(run_of(run_id, variant)))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An export, in what it finds; and the files that there may be, each with its possible contents."""

    act: Callable[[Workplace], Receipts]
    prepare: Callable[[Workplace], object] = lambda at: at.export("old")
    later: Callable[[Workplace], Receipts] = lambda at: at.export("later")
    allowed: dict[str, tuple[bytes, ...]]
    log: str = "exports/export-log.jsonl"
    prefix: str = ""
    links: bool = True

    @property
    def allowed_before(self) -> dict[str, tuple[bytes, ...]]:
        return {name_of("old"): (bytes_of("old"),), **self.allowed}

    @property
    def allowed_after(self) -> dict[str, tuple[bytes, ...]]:
        return {name_of("later"): (bytes_of("later"),), **self.allowed_before}


# --- the exports ----------------------------------------------------------------------------------------


def large(at: Workplace) -> Receipts:
    """More than the writer does without a thread of its own."""
    draft = Draft(
        folder=at.exports, name=name_of("large"), write=lambda sink: [sink.write(CHUNK) for _ in "123"]
    )
    (done,) = publish([draft], log=ExportLog(path=at.exports / judge.LOG))
    if isinstance(done, Exception):
        raise done
    return [(done.path.name, done.sha256)]


def naive(at: Workplace, run_id: str = "a", data: bytes | None = None) -> Receipts:
    """What everybody writes first: the file, and then a line or two in a log."""
    at.exports.mkdir(exist_ok=True)
    data, name = bytes_of(run_id) if data is None else data, name_of(run_id)
    log = judge.read_log(at.exports / judge.LOG)
    with open(at.exports / name, "wb") as file:
        file.write(data)
    facts: dict[str, Any] = {"path": name, "bytes": len(data), "sha256": judge.sha256(data)}
    begin = judge.line({**facts, "event": "begin"}, len(log.records) + 1, log.head)
    facts["begin"] = len(log.records) + 1
    commit = judge.line({**facts, "event": "commit"}, len(log.records) + 2, judge.sha256(begin))
    with open(at.exports / judge.LOG, "ab") as file:
        file.write(begin + commit)
    return [(name, judge.sha256(data))]


def interrupted(at: Workplace) -> None:
    """A begun export that died when its file could be seen, and half a line behind it."""
    at.export("old")
    run_and_die(lambda: at.export("b"), Disk(at.folder, Fault("kill", _call_number(at, "link") + 1)))
    with (at.exports / judge.LOG).open("ab") as log:
        log.write(b'{"actor":"somebo')


def _call_number(at: Workplace, name: str) -> int:
    other = Workplace(at.folder.with_name("other"))
    other.folder.mkdir()
    other.export("old")
    report = run_here(lambda: other.export("b"), Disk(other.folder))
    shutil.rmtree(other.folder)
    return [call.name for call in report.calls].index(name) + 1


A, B, C, OLD = (bytes_of(run_id) for run_id in ("a", "b", "c", "old"))
OTHER_A = bytes_of("a", 1)
SCENARIOS = {
    "a CSV in a new folder": Scenario(
        act=lambda at: at.export("a"), prepare=lambda at: None, allowed={name_of("a"): (A,)}
    ),
    "a CSV": Scenario(act=lambda at: at.export("a"), allowed={name_of("a"): (A,)}),
    "a gzip for the group": Scenario(
        act=lambda at: at.export("a", compression="gzip", group_readable=True),
        allowed={name_of("a", ".csv.gz"): (A,)},
    ),
    "a batch": Scenario(
        act=lambda at: at.batch(["a", "b", "c"]),
        allowed={name_of("a"): (A,), name_of("b"): (B,), name_of("c"): (C,)},
    ),
    "the same bytes": Scenario(
        act=lambda at: at.export("a"), prepare=lambda at: at.export("a"), allowed={name_of("a"): (A,)}
    ),
    "a second version": Scenario(
        act=lambda at: at.export("a", 1),
        prepare=lambda at: at.export("a"),
        allowed={name_of("a"): (A,), name_of("a", "-2.csv"): (OTHER_A,)},
    ),
    "a replacement": Scenario(
        act=lambda at: at.export("a", 1, if_exists="replace"),
        prepare=lambda at: at.export("a"),
        allowed={name_of("a"): (A, OTHER_A)},
    ),
    "a replacement by a version": Scenario(
        act=lambda at: at.export("a", 1, if_exists="replace"),
        prepare=lambda at: at.export("a") + at.export("a", 1),
        allowed={name_of("a"): (A, OTHER_A), name_of("a", "-2.csv"): (OTHER_A,)},
    ),
    "a checksum": Scenario(
        act=lambda at: at.export("a", checksum=True),
        allowed={name_of("a"): (A,), name_of("a", ".csv.sha256"): (line_of(A, name_of("a")),)},
    ),
    "a disk without links": Scenario(
        act=lambda at: at.export("a"), links=False, allowed={name_of("a"): (A,)}
    ),
    "after a crash": Scenario(
        act=lambda at: at.export("a"), prepare=interrupted, allowed={name_of("a"): (A,), name_of("b"): (B,)}
    ),
    "a log elsewhere": Scenario(
        act=lambda at: at.export("a", log=at.folder / "log.jsonl"),
        prepare=lambda at: at.exports.mkdir(),
        later=lambda at: at.export("later", log=at.folder / "log.jsonl"),
        log="log.jsonl",
        prefix="exports/",
        allowed={name_of("a"): (A,)},
    ),
    "a large file": Scenario(act=large, allowed={name_of("large"): (LARGE,)}),
    "naive": Scenario(
        act=naive,
        prepare=lambda at: naive(at, "old"),
        later=lambda at: naive(at, "later"),
        allowed={name_of("a"): (A,)},
    ),
}


# --- a trial --------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Report:
    """What came of an export: receipts, or what is wrong with its error; nothing if it died."""

    calls: list[Call]
    receipts: Receipts
    complaints: list[str]


def run_here(act: Callable[[], Receipts], disk: Disk) -> Report:
    """The report of an export in this process, which then lives on, as a notebook does."""
    receipts: Receipts = []
    complaints: list[str] = []
    with disk.watched():
        try:
            receipts = act()
        except BaseException as error:
            receipts = _receipts_of(error)
            complaints = [said for one in _all_errors(error) if (said := _complaint(one))]
    if disk.fault and disk.fault.kind != "interrupt":
        complaints += [f"left open: {place}" for place in disk.files.values()]
    return Report(calls=disk.calls, receipts=receipts, complaints=complaints)


def run_and_die(act: Callable[[], Receipts], disk: Disk) -> Report:
    """The report of an export in a forked child, of which nobody hears again."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException), disk.watched():
            act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Report(calls=[], receipts=[], complaints=[] if killed else ["it did not die"])


def _all_errors(error: BaseException) -> list[BaseException]:
    batch = isinstance(error, ak.errors.BatchError)
    return [failure.error for failure in error.failures] if batch else [error]


def _receipts_of(error: BaseException) -> Receipts:
    batch = isinstance(error, ak.errors.BatchError)
    return [(receipt.path.name, receipt.sha256) for receipt in error.receipts] if batch else []


def _complaint(error: BaseException) -> str | None:
    """Why an error does not say enough: an OSError names a file that the user knows."""
    if isinstance(error, KeyboardInterrupt | ak.errors.ExportExistsError):
        return None
    if not isinstance(error, OSError) or not error.errno or not isinstance(error.filename, str):
        return f"no OSError with a path: {error!r}"
    hidden = Path(error.filename).name.startswith(".")
    return f"an error about a temporary file: {error!r}" if hidden else None


@dataclass(frozen=True)
class Trial:
    """An export that was struck, and what is found of it."""

    scenario: Scenario
    at: Workplace
    fault: Fault
    struck: Call

    def violations(self, disk: Disk) -> list[str]:
        before = {self._log().torn, *judge.temporary(self.at.exports)}
        run = run_and_die if self.fault.deadly else run_here
        report = run(lambda: self.scenario.act(self.at), disk)
        found = report.complaints + self._after_the_fault(report.receipts, before)
        if not self.fault.deadly and disk.fault and disk.struck.name != self.struck.name:
            found.append(f"it struck {disk.struck} instead")
        self._age_temporary_files()
        return found + self._after_another_export(report.receipts + self.scenario.later(self.at))

    def _after_the_fault(self, acknowledged: Receipts, before: Collection[str | bytes]) -> list[str]:
        files, log = judge.visible(self.at.exports), self._log()
        found = judge.torn_files(files, self.scenario.allowed_before) + judge.unlogged(files, log)
        found += judge.lost(files, log, acknowledged) + log.breaks
        if not self.fault.deadly and self.fault.kind != "gone":
            left = [*judge.temporary(self.at.exports), *filter(None, [log.torn])]
            found += [f"left: {one!r}" for one in left if one not in before and not self._had_to_stay(one)]
        return found

    def _had_to_stay(self, name: str | bytes) -> bool:
        """What could not be removed, or was made by a call that said it had failed."""
        claim = name == f".auditkit-{name_of('a')}.tmp"
        return self.struck.name == "unlink" or (claim and self.struck.name == "create")

    def _age_temporary_files(self) -> None:
        for name in judge.temporary(self.at.exports):
            os.utime(self.at.exports / name, (time.time() - 2 * HOUR,) * 2)

    def _after_another_export(self, acknowledged: Receipts) -> list[str]:
        files, log = judge.visible(self.at.exports), self._log()
        found = judge.torn_files(files, self.scenario.allowed_after) + judge.unlogged(files, log)
        found += judge.lost(files, log, acknowledged) + judge.unsettled(files, log) + log.breaks
        return found + [f"left for good: {name}" for name in judge.temporary(self.at.exports)]

    def _log(self) -> judge.Log:
        return judge.read_log(self.at.folder / self.scenario.log, self.scenario.prefix)


def struck_everywhere(name: str, folder: Path, share: tuple[int, int] = (0, 1)) -> dict[str, Any]:
    """How many trials a scenario has, and what was found; a share of them, if there are several workers."""
    scenario = SCENARIOS[name]
    template = Workplace(folder / "template")
    template.folder.mkdir()
    scenario.prepare(template)
    calls, unharmed = _unharmed(scenario, template)
    everything = [(fault, call) for n, call in enumerate(calls, 1) for fault in faults_for(n, call)]
    found: list[str] = []
    trials = everything[share[0] :: share[1]]
    for fault, call in trials:
        faulthandler.dump_traceback_later(TOO_SLOW, exit=True)
        at = _copied(template)
        violations = Trial(scenario, at, fault, call).violations(Disk(at.folder, fault, links=scenario.links))
        where = f"{fault.kind} at {fault.at}, {call.name} {os.path.basename(call.place)}"
        found += [f"{where}: {violation}" for violation in violations]
        shutil.rmtree(at.folder)
    faulthandler.cancel_dump_traceback_later()
    shutil.rmtree(template.folder)
    return {
        "scenario": name,
        "calls": len(calls),
        "trials": len(trials),
        "unharmed": unharmed,
        "found": found,
    }


def _unharmed(scenario: Scenario, template: Workplace) -> tuple[list[Call], list[str]]:
    """The calls of the export where nothing fails, and what is found all the same."""
    trial = Trial(scenario, _copied(template), Fault("none", 0), Call("none", ""))
    disk = Disk(trial.at.folder, links=scenario.links)
    found = trial.violations(disk)
    shutil.rmtree(trial.at.folder)
    return disk.calls, found


def _copied(template: Workplace) -> Workplace:
    copy = template.folder.with_name("trial")
    shutil.copytree(template.folder, copy)
    return Workplace(copy)


def main(place: str, number: str, of: str, *names: str) -> None:
    """A share of the trials of some scenarios, or of all."""
    folder = Path(place, number)
    folder.mkdir(parents=True)
    make_sources(folder)
    for name in names or SCENARIOS:
        print(json.dumps(struck_everywhere(name, folder, (int(number), int(of)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
