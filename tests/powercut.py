"""A disk whose power is cut at any moment while somebody exports to it, and what is there when it is back.

The disk is an ext4 on a loop device, whose file remembers every write and flush (`fusedisk.py`). A cut is
what the disk had been told by then: everything that was flushed, and of what was not, all of it or some.
It is mounted, which replays the journal, and judged.

Run as a program, as root and in a mount namespace of its own, so that nothing stays mounted:
`unshare --mount --propagation private python powercut.py PLACE CUTS SEED SECONDS [KIND]`, where KIND is an
exporter that leaves out fsync: `careless` always, `hasty` that of the files.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import judge
from fusedisk import NAME, Event, RememberingDisk, mounted
from records import dumped
from trials import Receipts, Workplace, bytes_of, make_sources, name_of, run_of

import auditkit as ak

MIB = 1 << 20
SECTOR = 512
FEWEST = 30
NOT_ALLOWED = 77
MAKE = ("mkfs.ext4", "-q", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0")
_DIE_WITH_PARENT = 1


class NotMounted(Exception):
    """A disk that cannot be mounted: nobody may, or it is damaged."""


# --- the recording --------------------------------------------------------------------------------------


def recorded(place: Path, seconds: float, seed: int, kind: str) -> tuple[bytes, list[Event]]:
    """The disk before anything happened, and all that happened while somebody exported."""
    image = place / "empty"
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    subprocess.run([*MAKE, str(image)], check=True, stderr=subprocess.DEVNULL)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, _served(place, image, theirs) as disk, _mounted(disk, place / "disk", "commit=1"):
        os.waitpid(_child(lambda: _export(place, ours, seed, seconds, kind)), 0)
        ours.send(b"end")
        ours.recv(1 << 16)
    return image.read_bytes(), [Event(*event) for event in pickle.loads((place / "record").read_bytes())]


@contextmanager
def _served(place: Path, image: Path, ear: socket.socket) -> Iterator[Path]:
    """The file that is a remembering disk, with the content of an image."""
    folder = place / "served"
    folder.mkdir()
    asked = mounted(folder)
    server = _child(lambda: RememberingDisk(asked, image.read_bytes()).serve(ear, place / "record"))
    os.close(asked)
    try:
        yield folder / NAME
    finally:
        subprocess.run(["umount", str(folder)], check=False)
        os.waitpid(server, 0)


def _child(act: Callable[[], object]) -> int:
    """The process id of a child that does this, and dies when we do."""
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        try:
            act()
        finally:
            os._exit(0)
    return child


@contextmanager
def _mounted(image: Path, at: Path, *options: str) -> Iterator[None]:
    done = subprocess.run(["mount", "-o", ",".join(["loop", *options]), str(image), str(at)], check=False)
    if done.returncode != 0:
        raise NotMounted(str(image))
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


def _export(place: Path, ear: socket.socket, seed: int, seconds: float, kind: str) -> None:
    """Export and tell, for some time and some exports at least."""
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if kind == "hasty" and judge.LOG in os.readlink(f"/proc/self/fd/{descriptor}"):
            really(descriptor)

    if kind:
        os.fsync = fsync
    at, dice = Workplace(place / "disk"), random.Random(seed)
    end = time.monotonic() + seconds
    for number in itertools.count():
        if number > FEWEST and time.monotonic() > end:
            return
        for receipts in _some_exports(at, f"r{number}", dice):
            ear.send(b"".join(f"{name} {digest}\n".encode() for name, digest in receipts))
            ear.recv(64)


def _some_exports(at: Workplace, run_id: str, dice: random.Random) -> Iterator[Receipts]:
    """One new file, one that is replaced, or three at once."""
    for variant in range(2):
        (at.source / f"{run_id}{variant}.json").write_bytes(dumped(run_of(run_id, variant)))
    match dice.randrange(3):
        case 0:
            yield at.export(run_id)
        case 1:
            yield at.export(run_id)
            yield at.export(run_id, 1, if_exists="replace")
        case _:
            ids = [run_id + letter for letter in "xyz"]
            source = at.source / f"{run_id}-all.json"
            source.write_bytes(dumped([run_of(one) for one in ids]))
            batch = ak.export_multiple_runs(ids, "csv", source=source, output_dir=at.exports)
            yield [(receipt.path.name, receipt.sha256) for receipt in batch.receipts]


# --- the cuts -------------------------------------------------------------------------------------------


def cuts(
    empty: bytes, events: Sequence[Event], places: Sequence[int], dice: random.Random
) -> Iterator[bytes]:
    """What the disk holds when the power fails before the event of each place.

    Of what was not flushed a real disk may have written all, some or half of a write; every other time ours
    has written all.
    """
    flushed, pending, done = bytearray(empty), list[Event](), 0
    for number, place in enumerate(places):
        for event in events[done:place]:
            if event.kind == "write":
                pending.append(event)
            elif event.kind == "flush":
                for one in pending:
                    flushed[one.offset : one.offset + len(one.data)] = one.data
                pending.clear()
        done = place
        content = bytearray(flushed)
        for one in pending:
            data = one.data if number % 2 else _perhaps(one.data, dice)
            content[one.offset : one.offset + len(data)] = data
        yield bytes(content)


def _perhaps(data: bytes, dice: random.Random) -> bytes:
    match dice.randrange(3):
        case 0:
            return b""
        case 1:
            return data[: dice.randrange(len(data) // SECTOR + 1) * SECTOR]
        case _:
            return data


def acknowledged_by(events: Sequence[Event]) -> dict[str, str]:
    """The last SHA-256 that a receipt was given for, for each file."""
    lines = [line for event in events if event.kind == "said" for line in event.data.decode().splitlines()]
    return dict(line.split() for line in lines if line != "end")


def everything_allowed(events: Sequence[Event]) -> dict[str, tuple[bytes, ...]]:
    """The contents that each file may have, also those that were on their way when the record ended."""
    names = list(acknowledged_by(events))
    last = max(int(name.removeprefix("audit-run-r").split("-")[0].rstrip("xyz")) for name in names)
    ids = [f"r{number}{letter}" for number in range(last + 2) for letter in ("", *"xyz")]
    allowed = {name_of(run_id): tuple(bytes_of(run_id, variant) for variant in range(2)) for run_id in ids}
    return allowed | {name_of("later"): (bytes_of("later"),)}


class Judgement:
    """What is found in the disks that came back."""

    def __init__(self, place: Path, events: Sequence[Event]):
        self._at = Workplace(place / "disk")
        self._image = place / "cut"
        self._allowed = everything_allowed(events)
        self.found: list[str] = []
        self.states: Counter[str] = Counter()

    def judge(self, content: bytes, acknowledged: dict[str, str]) -> None:
        """Look at a disk, and export to it once more."""
        self._image.write_bytes(content)
        with _mounted(self._image, self._at.folder):
            files, log = judge.visible(self._at.exports), self._log()
            found = judge.torn_files(files, self._allowed) + judge.unlogged(files, log)
            found += judge.lost(files, log, acknowledged.items()) + log.breaks
            self.states["acknowledged"] += len(acknowledged)
            self.states["left open"] += bool(log.left_open())
            self.states["torn log"] += bool(log.torn)
            self.states["temporary files"] += bool(judge.temporary(self._at.exports))
            acknowledged = acknowledged | dict(self._at.export("later"))
            files, log = judge.visible(self._at.exports), self._log()
            found += judge.torn_files(files, self._allowed) + judge.unsettled(files, log) + log.breaks
            found += judge.lost(files, log, acknowledged.items())
        self.states["bad cuts"] += bool(found)
        self.found += found

    def _log(self) -> judge.Log:
        return judge.read_log(self._at.exports / judge.LOG)


def main(location: str, number: str, seed: str, seconds: str, kind: str = "") -> None:
    """Print what so many cuts came to."""
    place, dice = Path(location), random.Random(int(seed))
    place.mkdir(parents=True)
    (place / "disk").mkdir()
    make_sources(place)
    started = time.perf_counter()
    try:
        empty, events = recorded(place, float(seconds), int(seed), kind)
    except (PermissionError, NotMounted):
        sys.exit(NOT_ALLOWED)
    judgement = Judgement(place, events)
    places = sorted(dice.randrange(len(events)) for _ in range(int(number)))
    for at, content in zip(places, cuts(empty, events, places, dice), strict=True):
        judgement.judge(content, acknowledged_by(events[:at]))
    told = {
        "cuts": len(places),
        "exports": len(acknowledged_by(events)),
        "writes": sum(event.kind == "write" for event in events),
        "seconds": round(time.perf_counter() - started, 1),
        "states": dict(judgement.states),
        "found": judgement.found,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
