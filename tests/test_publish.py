"""A file appears whole or not at all, and never in the place of another: on disks broken on purpose."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from children import environment, python, succeed
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import require

from auditkit.errors import AuditkitError, ExportExistsError, InvalidOptionError
from auditkit.publish import Begun, Draft, Published, Staged, publish

NAME = "audit-run-a-2024-01-15.csv"
SECOND = "audit-run-a-2024-01-15-2.csv"
THIRD = "audit-run-a-2024-01-15-3.csv"
POLICIES = ("version", "error", "replace")
PACKINGS = (None, "gzip", "zstd")
MIB = 1 << 20
HOUR = 3600

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def draft(folder: Path, data: bytes = b"new\n", name: str = NAME, **options: Any) -> Draft:
    return Draft(folder=folder, name=name, write=lambda sink: sink.write(data), **options)


def failing(folder: Path, error: BaseException, name: str = NAME, size: int = 4, **options: Any) -> Draft:
    """A draft that writes some bytes and then fails."""

    def write(sink: Any) -> None:
        for start in range(0, size, MIB):
            sink.write(b"x" * min(MIB, size - start))
        raise error

    return Draft(folder=folder, name=name, write=write, **options)


def one(wanted: Draft, **options: Any) -> Published:
    (outcome,) = publish([wanted], **options)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def open_files() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}


def _is_open(descriptor: str) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(int(descriptor))
        return True
    return False


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "auditkit-writer"]


# --- a whole file ---------------------------------------------------------------------------------------


def test_a_published_file_stands_there_with_its_size_and_hash_and_nothing_beside_it(tmp_path: Path) -> None:
    published = one(draft(tmp_path, b"abc"))
    assert contents(tmp_path) == {NAME: b"abc"}
    # FIPS 180-2, appendix B.1: the SHA-256 of "abc"
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert published == Published(path=tmp_path / NAME, bytes=3, sha256=digest, reused=False)


def test_a_draft_that_writes_nothing_is_an_empty_file(tmp_path: Path) -> None:
    published = one(Draft(folder=tmp_path, name=NAME, write=lambda sink: None))
    assert (published.bytes, contents(tmp_path)) == (0, {NAME: b""})
    assert published.sha256 == hashlib.sha256().hexdigest()


def test_only_its_owner_may_read_a_file_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        one(draft(tmp_path))
        one(draft(tmp_path, b"other"), if_exists="replace")
        one(draft(tmp_path, b"third"))
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_published_file_has_one_name_only(tmp_path: Path) -> None:
    assert one(draft(tmp_path)).path.stat().st_nlink == 1


def test_no_file_of_that_name_is_seen_while_it_is_written(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def write(sink: Any) -> None:
        for _ in range(4):
            sink.write(b"x" * MIB)
            seen.append(os.listdir(tmp_path))

    one(Draft(folder=tmp_path, name=NAME, write=write))
    assert {name for names in seen for name in names if not name.startswith(".auditkit-")} == set()
    assert contents(tmp_path) == {NAME: b"x" * 4 * MIB}


def test_nothing_to_publish_is_nothing_done(tmp_path: Path) -> None:
    assert publish([]) == []


def test_the_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b c" / "é😀"
    assert one(draft(folder)).path == folder / NAME
    assert contents(folder) == {NAME: b"new\n"}


def test_a_folder_whose_name_is_not_unicode_serves(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff\xfe")
    assert one(draft(folder)).path.read_bytes() == b"new\n"


def test_drafts_for_several_folders_go_each_to_its_own(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "a"]
    outcomes = publish(
        [draft(f, bytes([65 + n]), f"audit-run-{n}-2024-01-15.csv") for n, f in enumerate(folders)]
    )
    assert [outcome.path.read_bytes() for outcome in outcomes if isinstance(outcome, Published)] == [
        b"A",
        b"B",
        b"C",
    ]
    assert sorted(os.listdir(tmp_path / "a")) == ["audit-run-0-2024-01-15.csv", "audit-run-2-2024-01-15.csv"]


# --- or none at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 4, MIB + 1, 7 * MIB])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(errno.EIO, "no"), MemoryError(), RecursionError()]
)
def test_a_write_that_fails_leaves_nothing_and_is_the_outcome(
    tmp_path: Path, error: Exception, packing: Any, size: int
) -> None:
    (outcome,) = publish([failing(tmp_path, error, size=size, compression=packing)])
    assert isinstance(outcome, type(error))
    assert (contents(tmp_path), writers()) == ({}, [])


@pytest.mark.parametrize("size", [4, 7 * MIB])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_leaves_nothing_of_the_whole_group(
    tmp_path: Path, error: type[BaseException], packing: Any, size: int
) -> None:
    first = draft(tmp_path, b"x" * 3 * MIB, "audit-run-b-2024-01-15.csv")
    with pytest.raises(error):
        publish([first, failing(tmp_path, error(), size=size, compression=packing), draft(tmp_path)])
    assert (contents(tmp_path), writers()) == ({}, [])


@linux
def test_failures_leave_no_file_open(tmp_path: Path) -> None:
    for packing in PACKINGS:
        publish([failing(tmp_path, ValueError("no"), size=3 * MIB, compression=packing)])
        publish([draft(tmp_path / "a", bytes(packing or "none", "ascii"))])
        with contextlib.suppress(KeyboardInterrupt):
            publish([failing(tmp_path, KeyboardInterrupt(), size=3 * MIB, compression=packing)])
    assert [path for path in open_files() if str(tmp_path) in path] == []


@linux
def test_a_failed_write_never_writes_into_a_file_that_was_opened_later(tmp_path: Path) -> None:
    """A compressor that is closed late would write to a descriptor that belongs to somebody else by then."""
    for packing in ("gzip", "zstd"):
        outcomes = publish([failing(tmp_path, ValueError("no"), size=3 * MIB, compression=packing)])
        with (tmp_path / "other").open("wb") as other, (tmp_path / "another").open("wb") as another:
            del outcomes
            gc.collect()
            assert (os.fstat(other.fileno()).st_size, os.fstat(another.fileno()).st_size) == (0, 0)


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from auditkit.publish import Draft, publish
write, MIB = os.write, 1 << 20
def slowly(descriptor, data):
    time.sleep(0.1)
    return write(descriptor, bytes(data))
os.write = slowly
def chunks(sink):
    for _ in range(6):
        sink.write(b"x" * MIB)
    threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()  # while it is waited for the rest
try:
    publish([Draft(folder=Path("exports"), name="a.csv", write=chunks)])
    sys.exit("it was not interrupted")
except KeyboardInterrupt:
    others = [open(f"other-{number}", "wb") for number in range(8)]
time.sleep(0.6)
print([os.path.getsize(f"other-{number}") for number in range(8)], os.listdir("exports"))
"""


@linux
def test_ctrl_c_while_the_last_bytes_are_written_leaves_no_thread_that_goes_on_writing(
    tmp_path: Path,
) -> None:
    """After an interrupted join Python 3.11 takes a thread for ended that is not."""
    told = succeed(python("-c", INTERRUPTED, cwd=tmp_path))
    assert told == f"{[0] * 8} []\n"


def test_one_draft_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    names = [f"audit-run-{n}-2024-01-15.csv" for n in range(5)]
    drafts = [draft(tmp_path, b"0", names[0]), failing(tmp_path, ValueError("one"), names[1])]
    drafts += [
        draft(tmp_path, b"2" * 3 * MIB, names[2]),
        failing(tmp_path, KeyError("three"), names[3], 3 * MIB),
    ]
    drafts += [draft(tmp_path, b"4", names[4])]
    outcomes = publish(drafts)
    assert [type(outcome) for outcome in outcomes] == [Published, ValueError, Published, KeyError, Published]
    assert contents(tmp_path) == {names[0]: b"0", names[2]: b"2" * 3 * MIB, names[4]: b"4"}


@linux
def test_a_kill_in_the_middle_leaves_nothing_to_be_seen(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish

        def write(sink):
            for _ in range(4):
                sink.write(b"x" * (1 << 20))
            os.kill(os.getpid(), signal.SIGKILL)

        first = Draft(folder=Path(), name="audit-run-b-2024-01-15.csv", write=lambda sink: sink.write(b"b"))
        publish([first, Draft(folder=Path(), name={NAME!r}, write=write)])
    """
    assert python("-c", textwrap.dedent(script), cwd=tmp_path).returncode == -signal.SIGKILL
    left = os.listdir(tmp_path)
    assert len(left) == 2
    assert all(re.fullmatch(r"\.auditkit-[0-9a-f]+\.tmp", name) for name in left)
    for name in left:
        os.utime(tmp_path / name, (time.time() - 2 * HOUR,) * 2)
    one(draft(tmp_path))
    assert contents(tmp_path) == {NAME: b"new\n"}


# --- a disk that is full, a folder that is none ----------------------------------------------------------

FILL = f"""\
import json, sys
from pathlib import Path
from auditkit.publish import Begun, Draft, publish
folder, packing, endless = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])

def small(sink):
    sink.write(b"small")

def large(sink):
    import random
    noise = random.Random(1)
    sink.write(noise.randbytes(300_000))  # fits
    sink.write(noise.randbytes(2 << 20))  # does not: a second thread finds out, perhaps after the last write
    for count in range(100 if endless else 0):
        sink.write(noise.randbytes(1 << 20))
        assert count < 50, "nobody said that the disk is full"

names = ["audit-run-b-2024-01-15.csv", {NAME!r}, "audit-run-c-2024-01-15.csv"]
writes = [small, large, small]
outcomes = publish(
    [Draft(folder=folder, name=n, write=w, compression=packing) for n, w in zip(names, writes)]
)
print(json.dumps([
    [outcome.errno, outcome.filename] if isinstance(outcome, OSError) else type(outcome).__name__
    for outcome in outcomes
]))
import os
print(json.dumps(sorted(os.listdir(folder))))
"""
LIMITED = """\
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
"""


@linux
@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_file_that_may_not_grow_is_not_left_torn(
    tmp_path: Path, packing: str | None, endless: bool
) -> None:
    arguments = (tmp_path, json.dumps(packing), json.dumps(endless))
    out = succeed(python("-c", LIMITED + FILL, *arguments, cwd=tmp_path))
    outcomes, left = map(json.loads, out.splitlines())
    assert outcomes == ["Published", [errno.EFBIG, str(tmp_path / NAME)], "Published"]
    assert left == ["audit-run-b-2024-01-15.csv", "audit-run-c-2024-01-15.csv"]


@linux
@pytest.mark.parametrize("packing", [None, "zstd"])
def test_a_full_disk_leaves_what_fits_and_nothing_torn(tmp_path: Path, packing: str | None) -> None:
    """On a file system of one MiB, mounted in a mount namespace of its own."""
    unshare = require("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"'
    space = [unshare, "--mount", "--user", "--map-root-user", "sh", "-c", mount, "sh", str(disk)]
    if subprocess.run([*space, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be had here")
    command = [*space, sys.executable, "-c", FILL, str(disk), json.dumps(packing), "true"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    outcomes, left = map(json.loads, succeed(done).splitlines())
    assert outcomes == ["Published", [errno.ENOSPC, str(disk / NAME)], "Published"]
    assert left == ["audit-run-b-2024-01-15.csv", "audit-run-c-2024-01-15.csv"]


def test_a_folder_that_is_a_file_is_an_os_error_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "exports"
    file.write_bytes(b"kept")
    for folder in (file, file / "deeper"):
        (outcome,) = publish([draft(folder)])
        assert isinstance(outcome, OSError)
        assert outcome.errno in (errno.ENOTDIR, errno.EEXIST)
        assert str(outcome.filename).startswith(str(file))
        assert not isinstance(outcome, AuditkitError)
    assert contents(tmp_path) == {"exports": b"kept"}


RIGHTLESS = f"""\
import json, sys
from pathlib import Path
from auditkit.publish import Begun, Draft, publish
(outcome,) = publish([Draft(folder=Path(sys.argv[1]), name={NAME!r}, write=lambda sink: sink.write(b"new"))])
print(json.dumps([type(outcome).__name__, outcome.errno, outcome.filename]))
"""


@linux
def test_a_read_only_folder_is_a_permission_error_that_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir(mode=0o500)
    out = succeed(python("-c", RIGHTLESS, folder, cwd=tmp_path, humble=True))
    assert json.loads(out) == ["PermissionError", errno.EACCES, str(folder / NAME)]
    assert contents(folder) == {}


@linux
def test_a_folder_that_cannot_be_made_is_a_permission_error_that_names_it(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o500)
    out = succeed(python("-c", RIGHTLESS, above / "exports", cwd=tmp_path, humble=True))
    name, code, filename = json.loads(out)
    assert (name, code) == ("PermissionError", errno.EACCES)
    assert str(filename).startswith(str(above / "exports"))
    assert contents(above) == {}


# --- an existing file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("if_exists", POLICIES)
@pytest.mark.parametrize("size", [0, 5, 3 * MIB])
def test_the_same_bytes_are_reused_and_nothing_is_written(tmp_path: Path, size: int, if_exists: Any) -> None:
    first = one(draft(tmp_path, b"x" * size), if_exists=if_exists)
    os.utime(first.path, ns=(10**18, 10**18 + 1))
    first.path.chmod(0o444)
    before = first.path.stat()
    again = one(draft(tmp_path, b"x" * size), if_exists=if_exists)
    after = first.path.stat()
    assert (again.reused, again.path, again.sha256) == (True, first.path, first.sha256)
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_mode,
    )
    assert os.listdir(tmp_path) == [NAME]


def test_other_bytes_take_the_next_free_version(tmp_path: Path) -> None:
    paths = [one(draft(tmp_path, data)).path.name for data in (b"1", b"2", b"3", b"2", b"1", b"3", b"4")]
    fourth = "audit-run-a-2024-01-15-4.csv"
    assert paths == [NAME, SECOND, THIRD, SECOND, NAME, THIRD, fourth]
    assert contents(tmp_path) == {NAME: b"1", SECOND: b"2", THIRD: b"3", fourth: b"4"}


def test_a_version_that_was_removed_is_free_again(tmp_path: Path) -> None:
    for data in (b"1", b"2", b"3"):
        one(draft(tmp_path, data))
    (tmp_path / SECOND).unlink()
    assert one(draft(tmp_path, b"4")).path.name == SECOND


def test_a_file_of_the_same_size_with_other_bytes_is_another_file(tmp_path: Path) -> None:
    one(draft(tmp_path, b"aa"))
    published = one(draft(tmp_path, b"ab"))
    assert (published.path.name, published.reused) == (SECOND, False)


def test_error_refuses_other_bytes_and_leaves_everything(tmp_path: Path) -> None:
    one(draft(tmp_path, b"old"))
    (outcome,) = publish([draft(tmp_path, b"new")], if_exists="error")
    assert isinstance(outcome, ExportExistsError)
    assert isinstance(outcome, FileExistsError)
    assert (outcome.errno, outcome.filename) == (errno.EEXIST, str(tmp_path / NAME))
    assert contents(tmp_path) == {NAME: b"old"}


def test_replace_takes_the_place_of_other_bytes(tmp_path: Path) -> None:
    one(draft(tmp_path, b"old"))
    published = one(draft(tmp_path, b"new"), if_exists="replace")
    assert (published.path.name, published.reused) == (NAME, False)
    assert contents(tmp_path) == {NAME: b"new"}


def test_replace_keeps_the_old_file_when_the_new_one_fails(tmp_path: Path) -> None:
    one(draft(tmp_path, b"old"))
    (outcome,) = publish([failing(tmp_path, ValueError("no"), size=3 * MIB)], if_exists="replace")
    assert isinstance(outcome, ValueError)
    assert contents(tmp_path) == {NAME: b"old"}


def test_a_reader_keeps_the_old_file_when_it_is_replaced(tmp_path: Path) -> None:
    one(draft(tmp_path, b"old"))
    with (tmp_path / NAME).open("rb") as reader:
        one(draft(tmp_path, b"new"), if_exists="replace")
        assert reader.read() == b"old"


@pytest.mark.parametrize("if_exists", ["overwrite", "", None, "Version"])
def test_an_unknown_policy_is_refused_before_anything_happens(tmp_path: Path, if_exists: Any) -> None:
    with pytest.raises(InvalidOptionError, match="version, error, replace"):
        publish([draft(tmp_path / "exports")], if_exists=if_exists)
    assert os.listdir(tmp_path) == []


def test_one_group_may_hold_the_same_name_twice(tmp_path: Path) -> None:
    outcomes = publish([draft(tmp_path, b"1"), draft(tmp_path, b"1"), draft(tmp_path, b"2")])
    assert [(o.path.name, o.reused) for o in outcomes if isinstance(o, Published)] == [
        (NAME, False),
        (NAME, True),
        (SECOND, False),
    ]


def test_any_name_finds_a_version_and_never_tries_for_ever(tmp_path: Path) -> None:
    script = """
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish
        for data in (b"1", b"2"):
            publish([Draft(folder=Path(), name="notes.txt", write=lambda sink: sink.write(data))])
    """
    python("-c", textwrap.dedent(script), cwd=tmp_path, timeout=5)
    assert sorted(contents(tmp_path).values()) == [b"1", b"2"]


@contextlib.contextmanager
def something_under_the_name(folder: Path, kind: str) -> Iterator[None]:
    """A link, a folder or a pipe that must neither be followed, nor opened, nor changed."""
    target = folder / "same"  # a link to that name has as many bytes as the draft
    path = folder / NAME
    if kind == "link to the same bytes":
        target.write_bytes(b"new\n")
        path.symlink_to("same")
    elif kind == "link to other bytes":
        target.write_bytes(b"old\n")
        path.symlink_to("same")
    elif kind == "dangling link":
        path.symlink_to("same")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    before = target.read_bytes() if target.exists() else None
    yield
    assert (target.read_bytes() if target.exists() else None) == before


KINDS = ["link to the same bytes", "link to other bytes", "dangling link", "link to itself", "folder", "pipe"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_passed_over(tmp_path: Path, kind: str) -> None:
    with something_under_the_name(tmp_path, kind):
        before = os.lstat(tmp_path / NAME)
        published = one(draft(tmp_path))
        assert (published.path.name, published.reused) == (SECOND, False)
        assert published.path.read_bytes() == b"new\n"
        assert os.lstat(tmp_path / NAME) == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_with_error(tmp_path: Path, kind: str) -> None:
    with something_under_the_name(tmp_path, kind):
        before = sorted(os.listdir(tmp_path))
        (outcome,) = publish([draft(tmp_path)], if_exists="error")
        assert isinstance(outcome, ExportExistsError)
        assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_replace_takes_the_place_of_a_link_but_never_of_a_folder(tmp_path: Path, kind: str) -> None:
    with something_under_the_name(tmp_path, kind):
        (outcome,) = publish([draft(tmp_path)], if_exists="replace")
        if kind == "folder":
            assert isinstance(outcome, IsADirectoryError)
            assert outcome.filename == str(tmp_path / NAME)
            assert os.listdir(tmp_path) == [NAME]
        else:
            assert isinstance(outcome, Published)
            assert stat.S_ISREG(os.lstat(tmp_path / NAME).st_mode)
            assert (tmp_path / NAME).read_bytes() == b"new\n"


def test_a_folder_that_is_a_link_is_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "exports").symlink_to(tmp_path / "real")
    one(draft(tmp_path / "exports"))
    assert contents(tmp_path / "real") == {NAME: b"new\n"}


# --- many at once ---------------------------------------------------------------------------------------


def whole(data: bytes) -> bool:
    """Whether these bytes are those of one writer, from the first to the last."""
    return len(data) > 32 and hashlib.sha256(data[32:]).digest() == data[:32]


def distinct(number: int, size: int = 3 * MIB // 2) -> bytes:
    body = b"%06d" % number * (size // 6)
    return hashlib.sha256(body).digest() + body


def publish_in_threads(folder: Path, numbers: Sequence[int], **options: Any) -> list[Published]:
    """Every number published by a thread of its own, all at the same moment."""
    barrier = threading.Barrier(len(numbers))
    outcomes: list[Published] = []

    def work(number: int) -> None:
        barrier.wait()
        outcomes.append(one(draft(folder, distinct(number)), **options))

    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_threads_that_publish_one_name_lose_no_file(tmp_path: Path) -> None:
    outcomes = publish_in_threads(tmp_path, range(12))
    assert sorted(outcome.path.name for outcome in outcomes) == sorted(os.listdir(tmp_path))
    assert len(os.listdir(tmp_path)) == 12
    assert all(map(whole, contents(tmp_path).values()))
    assert set(contents(tmp_path).values()) == {distinct(number) for number in range(12)}


def test_threads_that_publish_the_same_bytes_make_one_file(tmp_path: Path) -> None:
    for _ in range(5):
        outcomes = publish_in_threads(tmp_path, [7] * 8)
        assert {outcome.path.name for outcome in outcomes} == {NAME}
        assert contents(tmp_path) == {NAME: distinct(7)}
        (tmp_path / NAME).unlink()


PUBLISHER = f"""\
import hashlib, sys, time
from pathlib import Path
from auditkit.publish import Begun, Draft, publish
folder, first, policy = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
while not (folder / "go").exists():
    time.sleep(0.001)
for number in range(first, first + 6):
    body = b"%06d" % number * 50_000
    data = hashlib.sha256(body).digest() + body
    (outcome,) = publish(
        [Draft(folder=folder, name={NAME!r}, write=lambda sink: sink.write(data))], if_exists=policy
    )
    assert not isinstance(outcome, Exception), outcome
"""


def run_publishers(folder: Path, count: int, policy: str) -> None:
    command = [sys.executable, "-c", PUBLISHER, str(folder)]
    children = [
        subprocess.Popen([*command, str(n * 100), policy], stderr=subprocess.PIPE, env=environment())
        for n in range(count)
    ]
    (folder / "go").touch()
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors.decode()
    (folder / "go").unlink()


def test_processes_that_publish_one_name_lose_no_file(tmp_path: Path) -> None:
    run_publishers(tmp_path, 4, "version")
    expected = {distinct(n * 100 + k, 300_000) for n in range(4) for k in range(6)}
    assert len(os.listdir(tmp_path)) == 24
    assert set(contents(tmp_path).values()) == expected


def test_processes_that_replace_one_another_leave_one_whole_file(tmp_path: Path) -> None:
    run_publishers(tmp_path, 3, "replace")
    assert os.listdir(tmp_path) == [NAME]
    assert whole((tmp_path / NAME).read_bytes())


class Overtaken:
    """`os.link` on a disk where another process gives the name to its own file a moment before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, data: bytes):
        self._real, self._data, self._done = os.link, data, False
        monkeypatch.setattr(os, "link", self)

    def __call__(self, source: Any, target: Any, **options: Any) -> None:
        if not self._done:
            self._done = True
            Path(target).write_bytes(self._data)
        self._real(source, target, **options)


@pytest.mark.parametrize("if_exists", ["version", "error"])
def test_whoever_is_overtaken_by_the_same_bytes_takes_them_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, if_exists: Any
) -> None:
    Overtaken(monkeypatch, b"new\n")
    published = one(draft(tmp_path), if_exists=if_exists)
    assert (published.path.name, published.reused) == (NAME, True)
    assert contents(tmp_path) == {NAME: b"new\n"}


def test_whoever_is_overtaken_by_other_bytes_takes_the_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Overtaken(monkeypatch, b"theirs")
    assert one(draft(tmp_path)).path.name == SECOND
    assert contents(tmp_path) == {NAME: b"theirs", SECOND: b"new\n"}


# --- disks without hard links ----------------------------------------------------------------------------

REFUSALS = [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS]


@pytest.fixture(params=REFUSALS, ids=lambda code: errno.errorcode[code])
def without_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that answers as FAT, exFAT, some FUSE and network disks do."""

    def refuse(source: Any, target: Any, **options: Any) -> None:
        raise OSError(request.param, os.strerror(request.param), source, None, target)

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_a_file_is_published_all_the_same(tmp_path: Path) -> None:
    assert one(draft(tmp_path, b"1")).path.name == NAME
    assert one(draft(tmp_path, b"2")).path.name == SECOND
    assert one(draft(tmp_path, b"2")).reused
    (outcome,) = publish([draft(tmp_path, b"3")], if_exists="error")
    assert isinstance(outcome, ExportExistsError)
    assert contents(tmp_path) == {NAME: b"1", SECOND: b"2"}
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


@pytest.mark.usefixtures("without_links")
@pytest.mark.parametrize("kind", KINDS)
def test_without_hard_links_nothing_that_stands_there_is_replaced(tmp_path: Path, kind: str) -> None:
    with something_under_the_name(tmp_path, kind):
        before = os.lstat(tmp_path / NAME)
        assert one(draft(tmp_path)).path.name == SECOND
        assert os.lstat(tmp_path / NAME) == before


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_threads_lose_no_file(tmp_path: Path) -> None:
    publish_in_threads(tmp_path, range(8))
    assert set(contents(tmp_path).values()) == {distinct(number) for number in range(8)}


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_a_claim_that_a_kill_left_bars_the_name_for_an_hour_only(tmp_path: Path) -> None:
    claim = tmp_path / f".auditkit-{NAME}.tmp"
    claim.touch()
    os.utime(claim, (time.time() - 2 * HOUR,) * 2)
    assert one(draft(tmp_path)).path.name == NAME
    assert contents(tmp_path) == {NAME: b"new\n"}


@linux
def test_on_a_system_that_refuses_hard_links_a_file_is_published_all_the_same(tmp_path: Path) -> None:
    strace = require("strace")
    script = f"""
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish
        for data in (b"1", b"2"):
            (outcome,) = publish([Draft(folder=Path(), name={NAME!r}, write=lambda sink: sink.write(data))])
            print(outcome.path.name)
    """
    refusing = [strace, "-f", "-qq", "-o", os.devnull, "-e", "inject=link,linkat:error=EPERM"]
    command = [*refusing, sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert succeed(done).split() == [NAME, SECOND]
    assert contents(tmp_path) == {NAME: b"1", SECOND: b"2"}


# --- what a kill left ------------------------------------------------------------------------------------


def leftover(folder: Path, name: str = ".auditkit-0123456789abcdef.tmp", age: float = 2 * HOUR) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_an_old_temporary_file_of_ours_is_swept(tmp_path: Path) -> None:
    leftover(tmp_path)
    one(draft(tmp_path))
    assert os.listdir(tmp_path) == [NAME]


def test_a_young_temporary_file_is_left(tmp_path: Path) -> None:
    young = leftover(tmp_path, age=HOUR - 60)
    one(draft(tmp_path))
    assert young.read_bytes() == b"half"


def test_a_locked_temporary_file_is_left_however_old(tmp_path: Path) -> None:
    locked = leftover(tmp_path, age=100 * HOUR)
    with locked.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        one(draft(tmp_path))
        assert locked.exists()
    one(draft(tmp_path))
    assert not locked.exists()


def test_a_file_being_written_is_locked(tmp_path: Path) -> None:
    locked = []

    def write(sink: Any) -> None:
        (temporary,) = tmp_path.iterdir()
        with temporary.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                locked.append(temporary.name)

    one(Draft(folder=tmp_path, name=NAME, write=write))
    assert len(locked) == 1


@pytest.mark.parametrize(
    "name",
    ["x.tmp", ".auditkit-a.csv", "auditkit-a.tmp", ".auditkit.tmp", "notes.auditkit-a.tmp", NAME + ".tmp"],
)
def test_a_file_that_is_not_named_as_ours_is_never_swept(tmp_path: Path, name: str) -> None:
    kept = leftover(tmp_path, name, age=1000 * HOUR)
    one(draft(tmp_path))
    assert kept.read_bytes() == b"half"


def test_neither_folders_nor_links_nor_what_they_hold_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    (folder / ".auditkit-folder.tmp").mkdir(parents=True)
    inner = leftover(folder / ".auditkit-folder.tmp")
    target = leftover(tmp_path, "target")
    (folder / ".auditkit-link.tmp").symlink_to(target)
    for path in (".auditkit-folder.tmp", ".auditkit-link.tmp"):
        os.utime(folder / path, (time.time() - 9 * HOUR,) * 2, follow_symlinks=False)
    one(draft(folder))
    assert (inner.read_bytes(), target.read_bytes()) == (b"half", b"half")
    assert sorted(os.listdir(folder)) == [".auditkit-folder.tmp", ".auditkit-link.tmp", NAME]


@linux
def test_a_temporary_file_of_another_user_is_left(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    theirs = leftover(tmp_path)
    os.chown(theirs, 65534, 65534)
    one(draft(tmp_path))
    assert theirs.exists()


# --- on disk before it is seen ---------------------------------------------------------------------------


@linux
@pytest.mark.parametrize(("if_exists", "call"), [("version", "link"), ("replace", "rename")])
def test_bytes_and_names_are_synced_in_the_right_order(tmp_path: Path, if_exists: str, call: str) -> None:
    strace = require("strace")
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / NAME).write_bytes(b"old")
    script = f"""
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish
        drafts = [
            Draft(folder=Path({str(folder)!r}), name=name, write=lambda sink: sink.write(b"x" * 3_000_000))
            for name in ({NAME!r}, "audit-run-b-2024-01-15.csv")
        ]
        publish(drafts, if_exists={if_exists!r})
    """
    trace = tmp_path / "trace"
    traced = "write,writev,pwrite64,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat"
    command = [strace, "-f", "-y", "-qq", "-e", f"trace={traced}", "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    succeed(done)
    events = [event for line in trace.read_text().splitlines() if (event := _event(line, folder))]
    order = [kind for kind, _ in events]
    names = [place for kind, place in events if kind == call]
    assert len(names) == 2
    last_write = max(index for index, kind in enumerate(order) if kind == "write")
    first_name = order.index(call)
    last_name = len(order) - 1 - order[::-1].index(call)
    synced = {place for kind, place in events[:first_name] if kind == "fsync"}
    written = {place for kind, place in events if kind == "write"}
    assert len(written) == 2
    assert synced == written  # both files, and each by its own fsync
    assert last_write < first_name
    for place in written:
        writes = [index for index, event in enumerate(events) if event == ("write", place)]
        assert events.index(("fsync", place)) > max(writes)
    folder_syncs = [index for index, event in enumerate(events) if event == ("fsync", str(folder))]
    assert len(folder_syncs) == 1  # one for the group
    assert folder_syncs[0] > last_name


def _event(line: str, folder: Path) -> tuple[str, str] | None:
    """What a line of strace says was done: the call, and the file of its descriptor or its first path."""
    match = re.search(
        r"\b(write|fsync|link|rename)(?:at2?)?\((?:\d+<([^>]+)>|\"([^\"]+)\"|AT_FDCWD\S*)", line
    )
    if match is None or str(folder) not in line or "EEXIST" in line:
        return None
    return match[1], match[2] or match[3] or ""


@linux
def test_a_folder_that_was_made_is_synced_into_the_one_above(tmp_path: Path) -> None:
    strace = require("strace")
    script = f"""
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish
        publish([Draft(folder=Path({str(tmp_path / "exports")!r}), name={NAME!r}, write=lambda sink: None)])
    """
    trace = tmp_path / "trace"
    command = [strace, "-f", "-y", "-qq", "-e", "trace=fsync", "-o", str(trace), sys.executable, "-c"]
    done = subprocess.run(
        [*command, textwrap.dedent(script)], capture_output=True, text=True, env=environment(), check=False
    )
    succeed(done)
    assert f"<{tmp_path}>" in trace.read_text()


# --- the sink --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from((0, 1, 7, 65_536, MIB - 1, MIB, MIB + 1, 3 * MIB)), max_size=7),
    st.sampled_from((bytes, bytearray, memoryview)),
    st.sampled_from(PACKINGS),
)
def test_whatever_the_chunks_the_file_holds_them_in_order_and_its_hash_is_right(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], kind: Callable[[bytes], Any], packing: Any
) -> None:
    folder = tmp_path_factory.mktemp("sink")
    chunks = [bytes([65 + index]) * size for index, size in enumerate(sizes)]

    def write(sink: Any) -> None:
        for chunk in chunks:
            sink.write(kind(chunk))

    published = one(Draft(folder=folder, name=NAME, write=write, compression=packing))
    stored = published.path.read_bytes()
    assert unpacked(stored, packing) == b"".join(chunks)
    assert (published.bytes, published.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert writers() == []
    shutil.rmtree(folder)


def unpacked(data: bytes, packing: str | None) -> bytes:
    if packing is None:
        return data
    if packing == "gzip":
        return gzip.decompress(data)
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())


def test_a_part_of_a_buffer_is_written_as_that_part(tmp_path: Path) -> None:
    view = memoryview(bytes(range(256)) * 8192)
    published = one(
        Draft(folder=tmp_path, name=NAME, write=lambda sink: [sink.write(view[5:-5]), sink.write(view[:0])])  # type: ignore[arg-type]
    )
    assert published.path.read_bytes() == bytes(view[5:-5])


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_system_that_takes_only_some_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: Any
) -> None:
    really = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: really(descriptor, bytes(data)[:65_521]))
    noise = random.Random(3).randbytes(3 * MIB)
    published = one(draft(tmp_path, noise, compression=packing))
    stored = published.path.read_bytes()
    assert unpacked(stored, packing) == noise
    assert (published.bytes, published.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


def test_gzip_says_neither_when_nor_under_what_name_it_was_made(tmp_path: Path) -> None:
    data = b"line\n" * 300_000
    stored = [
        one(
            draft(tmp_path, data, f"audit-run-{name}-2024-01-15.csv.gz", compression="gzip")
        ).path.read_bytes()
        for name in ("a", "b")
    ]
    assert stored[0] == stored[1]
    magic, method, flags, mtime = struct.unpack("<HBBI", stored[0][:8])  # RFC 1952, 2.3
    assert (magic, method, flags, mtime) == (0x8B1F, 8, 0, 0)
    assert gzip.decompress(stored[0]) == data


def test_gzip_is_the_same_however_the_bytes_come(tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_000
    stored = set()
    for size in (1000, 65_536, len(data)):
        folder = tmp_path / str(size)

        def write(sink: Any, size: int = size) -> None:
            for start in range(0, len(data), size):
                sink.write(data[start : start + size])

        stored.add(one(Draft(folder=folder, name=NAME + ".gz", write=write, compression="gzip")).sha256)
    assert len(stored) == 1


def test_a_thread_that_has_failed_fails_the_next_write(tmp_path: Path) -> None:
    """The disk fails in the writer's thread; whoever fills the sink hears of it and need not go on."""
    script = LIMITED + textwrap.dedent(f"""
        import threading
        from pathlib import Path
        from auditkit.publish import Begun, Draft, publish
        count = 0

        def write(sink):
            global count
            while count < 1000:
                sink.write(b"x" * (1 << 20))
                count += 1

        (outcome,) = publish([Draft(folder=Path(), name={NAME!r}, write=write)])
        print(type(outcome).__name__, count < 20, threading.active_count())
    """)
    assert succeed(python("-c", script, cwd=tmp_path)).split() == ["OSError", "True", "1"]
    assert contents(tmp_path) == {}


# --- the log ---------------------------------------------------------------------------------------------


class Recording:
    """A log that looks at the disk at every step, and fails where it is told to."""

    def __init__(self, folder: Path, fail_at: str = ""):
        self.folder = folder
        self.fail_at = fail_at
        self.events: list[Any] = []

    @contextlib.contextmanager
    def publishing(self, staged: Sequence[Staged]) -> Iterator[Any]:
        self.events.append(("begin", [one.draft.name for one in staged], self.visible()))
        for item in staged:  # whole, before anything is said of it
            data = item.temporary.read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (item.bytes, item.sha256)
        self.stumble("begin")
        try:
            yield Begun(head=None, commit=self.commit)
        except BaseException as error:
            self.events.append(("failed", type(error).__name__, self.visible()))
            raise
        self.events.append(("end", self.visible()))

    def commit(self, outcomes: Sequence[Published | Exception]) -> None:
        published = [outcome for outcome in outcomes if isinstance(outcome, Published)]
        for item in published:
            data = item.path.read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (item.bytes, item.sha256)
        self.events.append(("commit", [(one.path.name, one.reused) for one in published], self.visible()))
        self.stumble("commit")

    def visible(self) -> list[str]:
        return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))

    def stumble(self, place: str) -> None:
        if place == self.fail_at:
            raise OSError(errno.EIO, "the log cannot be written", "log")


A, B, C = (f"audit-run-{letter}-2024-01-15.csv" for letter in "abc")


def test_begin_comes_before_any_file_is_seen_and_commit_after_all(tmp_path: Path) -> None:
    log = Recording(tmp_path)
    publish([draft(tmp_path, b"a", A), draft(tmp_path, b"b" * 3 * MIB, B)], log=log)
    assert log.events == [
        ("begin", [A, B], []),
        ("commit", [(A, False), (B, False)], [A, B]),
        ("end", [A, B]),
    ]


def test_the_log_hears_of_what_was_published_and_of_nothing_else(tmp_path: Path) -> None:
    one(draft(tmp_path, b"a", A))
    log = Recording(tmp_path)
    publish(
        [draft(tmp_path, b"a", A), failing(tmp_path, ValueError("no"), B), draft(tmp_path, b"c", C)], log=log
    )
    assert log.events == [
        ("begin", [A, C], [A]),
        ("commit", [(A, True), (C, False)], [A, C]),
        ("end", [A, C]),
    ]


def test_a_refused_name_is_begun_but_not_committed(tmp_path: Path) -> None:
    one(draft(tmp_path, b"old", A))
    log = Recording(tmp_path)
    publish([draft(tmp_path, b"new", A), draft(tmp_path, b"b", B)], if_exists="error", log=log)
    assert log.events == [("begin", [A, B], [A]), ("commit", [(B, False)], [A, B]), ("end", [A, B])]


def test_where_nothing_was_written_the_log_is_not_asked(tmp_path: Path) -> None:
    log = Recording(tmp_path)
    publish([failing(tmp_path, ValueError("no"))], log=log)
    publish([], log=log)
    assert log.events == []


def test_a_log_that_cannot_begin_lets_no_file_be_seen(tmp_path: Path) -> None:
    log = Recording(tmp_path, fail_at="begin")
    with pytest.raises(OSError, match="log cannot be written"):
        publish([draft(tmp_path, b"a", A), draft(tmp_path, b"b", B)], log=log)
    assert contents(tmp_path) == {}


def test_a_log_that_cannot_commit_says_so(tmp_path: Path) -> None:
    log = Recording(tmp_path, fail_at="commit")
    with pytest.raises(OSError, match="log cannot be written"):
        publish([draft(tmp_path, b"a", A)], log=log)
    assert [event[0] for event in log.events] == ["begin", "commit", "failed"]
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_an_interruption_between_begin_and_commit_is_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupted)
    log = Recording(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        publish([draft(tmp_path, b"a", A)], log=log)
    assert log.events == [("begin", [A], []), ("failed", "KeyboardInterrupt", [])]
    assert contents(tmp_path) == {}
