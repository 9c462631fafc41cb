"""Encryption: opened by age itself and by nobody else; whole and authentic, or not at all."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import json
import os
import random
import re
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyrage
import pytest
from children import environment, python, succeed
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import require, torture

from auditkit.errors import (
    DecryptionError,
    ExportExistsError,
    InvalidKeyError,
    InvalidOptionError,
    MissingExtraError,
)
from auditkit.protect.decryption import decrypt_export
from auditkit.protect.encryption import Sealer, recipients_of

KIB, MIB = 1 << 10, 1 << 20
AGE_CHUNK = 64 * KIB  # C2SP age: the payload is cut into chunks of 64 KiB, each sealed with a tag of 16 bytes
SEALED_CHUNK = AGE_CHUNK + 16
RSS_LIMIT_KIB = 64 * KIB

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


class Pair(NamedTuple):
    """A recipient, and the file of its secret key."""

    public: str
    secret: Path


def age_pair(folder: Path, name: str = "age.key") -> Pair:
    identity = pyrage.x25519.Identity.generate()
    secret = folder / name
    secret.write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    secret.chmod(0o600)
    return Pair(str(identity.to_public()), secret)


def ssh_pair(folder: Path, kind: str, name: str | None = None, passphrase: str = "", *options: str) -> Pair:
    secret = folder / (name or f"ssh-{kind}")
    command = [require("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "someone@there", *options]
    subprocess.run([*command, "-f", secret], check=True, capture_output=True)
    return Pair(secret.with_name(secret.name + ".pub").read_text(), secret)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder = tmp_path_factory.mktemp("keys")
    return {
        "x25519": age_pair(folder),
        "ssh-ed25519": ssh_pair(folder, "ed25519"),
        "ssh-rsa": ssh_pair(folder, "rsa", None, "", "-b", "2048"),
    }


@pytest.fixture
def pair(pairs: dict[str, Pair]) -> Pair:
    return pairs["x25519"]


def sealed(data: bytes, *recipients: str) -> bytes:
    sink = io.BytesIO()
    sealer = Sealer(sink.write, recipients_of(recipients))
    sealer.write(data)
    sealer.close()
    return sink.getvalue()


def opened_by_age(data: bytes, secret: Path) -> bytes | None:
    """What Debian's age makes of it, or None if it refuses."""
    done = subprocess.run([require("age"), "-d", "-i", secret], input=data, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sealers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name in ("auditkit-sealer", "auditkit-opener")]


def in_time(work: Callable[[], Any], seconds: float = 20) -> Any:
    """What some work gives or raises; it may not hang."""
    outcome: list[Any] = []

    def attempt() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it hangs"
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


# --- recipients -----------------------------------------------------------------------------------------


def test_recipients_are_texts_or_files_of_them_and_each_counts_once(
    tmp_path: Path, pairs: dict[str, Pair]
) -> None:
    age, ed25519, rsa = (pairs[kind].public for kind in ("x25519", "ssh-ed25519", "ssh-rsa"))
    team = tmp_path / "team.txt"
    team.write_text(f"# the team\r\n\r\n  {age}  \r\n{ed25519}\n#{rsa}", newline="")
    plain = " ".join(ed25519.split()[:2])
    assert recipients_of(age) == (age,)
    assert recipients_of(f" {ed25519}") == (plain,)
    assert recipients_of(team) == recipients_of(str(team)) == (age, plain)
    assert recipients_of([rsa, team, age, Path(team)]) == (" ".join(rsa.split()[:2]), age, plain)
    assert recipients_of(one for one in [age]) == (age,)


def ssh_text(kind: str, *numbers: bytes) -> str:
    """A public key of OpenSSH (RFC 4253, section 6.6): the kind and its numbers, each behind its length."""
    parts = [kind.encode(), *numbers]
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"{kind} {base64.b64encode(blob).decode()}"


BROKEN = {
    "nothing": "",
    "a word": "everybody",
    "no bech32": "age1xyz",
    "a plugin's": "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
    "another kind": ssh_text("ssh-dss", b"\1"),
    "cut off": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",
    "no key behind it": "ssh-ed25519",
    "another kind inside": ssh_text("ssh-ed25519", b"\1" * 31),
    "a small rsa key": ssh_text("ssh-rsa", b"\1\0\1", b"\0" + b"\xc1" * 128),
    "two in one text": "ssh-ed25519 AAAA\nssh-ed25519 AAAA",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_recipient_is_named(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOptionError, match=re.escape(repr(text.strip())[1:40])):
        recipients_of(text)


def test_a_key_over_which_the_library_panics_is_no_recipient(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidOptionError, match="no recipient that age can encrypt to"):
        recipients_of(ssh_text("ssh-rsa", b"\0", b"\5"))
    assert "panicked" in capfd.readouterr().err


@pytest.mark.parametrize("nobody", [[], (), [b"age1"], b"age1", 7, [None]], ids=repr)
def test_no_recipient_at_all_is_refused(nobody: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"no recipient.* Give age1…"):
        recipients_of(nobody)


@pytest.mark.parametrize("text", ["", "# nobody yet\n\n", "\n"])
def test_a_file_without_recipients_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "team.txt"
    path.write_text(text)
    with pytest.raises(InvalidOptionError, match=r"team\.txt names no recipient"):
        recipients_of(path)


def test_a_line_that_is_no_recipient_is_told_by_its_number(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "team.txt"
    path.write_text(f"{pair.public}\n\nme@example.org\n")
    with pytest.raises(InvalidOptionError, match=r"Line 3 of .*team\.txt"):
        recipients_of(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidOptionError, match=r"team\.txt is no file of recipients"):
        recipients_of(path)


def test_a_secret_key_is_never_repeated(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    secret = pairs["x25519"].secret.read_text().splitlines()[-1]
    swapped = tmp_path / "swapped"
    for given_as in (secret, secret.lower(), pairs["x25519"].secret, pairs["ssh-ed25519"].secret):
        with pytest.raises(InvalidOptionError, match="holds a secret key") as refused:
            recipients_of(given_as)
        assert secret.casefold()[20:] not in str(refused.value).casefold()
    swapped.write_text(f"{secret}\n")
    with pytest.raises(InvalidOptionError, match=r"swapped, line 1, holds a secret key"):
        recipients_of([swapped])
    with pytest.raises(InvalidKeyError, match="A secret key was given as it is") as refused_key:
        decrypt_export("a.csv.age", secret)
    assert secret[20:] not in str(refused_key.value)


def test_a_file_of_recipients_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        recipients_of(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        recipients_of(str(tmp_path))


def test_without_pyrage_it_is_said_what_to_install(tmp_path: Path, pair: Pair) -> None:
    code = """\
        import sys
        sys.modules["pyrage"] = None
        from auditkit.errors import MissingExtraError
        from auditkit.protect.decryption import decrypt_export
        from auditkit.protect.encryption import Sealer, recipients_of
        for attempt in (
            lambda: recipients_of(sys.argv[1]),
            lambda: Sealer(print, [sys.argv[1]]),
            lambda: decrypt_export("a.age", sys.argv[2]),
        ):
            try:
                attempt()
            except MissingExtraError as error:
                print(error)
    """
    out = succeed(python("-c", textwrap.dedent(code), pair.public, pair.secret, cwd=tmp_path))
    assert out.count("pip install 'auditkit[evidence]'") == 3
    assert issubclass(MissingExtraError, ImportError)


# --- age itself agrees ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["x25519", "ssh-ed25519", "ssh-rsa"])
def test_age_opens_ours_and_we_open_theirs(tmp_path: Path, pairs: dict[str, Pair], kind: str) -> None:
    public, secret = pairs[kind]
    for size in (0, 1, AGE_CHUNK - 1, AGE_CHUNK, AGE_CHUNK + 1, 2 * AGE_CHUNK, 300_000):
        plain = random.Random(size).randbytes(size)
        assert opened_by_age(sealed(plain, public), secret) == plain
        theirs = subprocess.run(
            [require("age"), "-r", public.strip()], input=plain, capture_output=True, check=True
        ).stdout
        path = tmp_path / f"{size}.bin.age"
        path.write_bytes(theirs)
        assert decrypt_export(path, secret) == tmp_path / f"{size}.bin"
        assert (tmp_path / f"{size}.bin").read_bytes() == plain


def test_each_of_several_recipients_can_open_it(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    data = sealed(b"for all of you", *(pair.public for pair in pairs.values()))
    for kind, pair in pairs.items():
        assert opened_by_age(data, pair.secret) == b"for all of you"
        (tmp_path / f"{kind}.age").write_bytes(data)
        assert decrypt_export(tmp_path / f"{kind}.age", pair.secret).read_bytes() == b"for all of you"


def test_a_key_made_by_age_itself_serves(tmp_path: Path) -> None:
    secret = tmp_path / "key.txt"
    subprocess.run([require("age-keygen"), "-o", secret], check=True, capture_output=True)
    public = secret.read_text().splitlines()[1].split()[-1]
    (tmp_path / "a.csv.age").write_bytes(sealed(b"a,b\n", public))
    assert decrypt_export(tmp_path / "a.csv.age", secret).read_bytes() == b"a,b\n"


def test_an_armoured_file_is_opened_too_and_nothing_may_follow_it(tmp_path: Path, pair: Pair) -> None:
    command = [require("age"), "-a", "-r", pair.public]
    theirs = subprocess.run(command, input=b"x" * 9000, capture_output=True, check=True).stdout
    path = tmp_path / "a.age"
    path.write_bytes(theirs)
    assert decrypt_export(path, pair.secret).read_bytes() == b"x" * 9000
    for more in (b"x", theirs):
        path.write_bytes(theirs + more)
        with pytest.raises(DecryptionError):
            decrypt_export(path, pair.secret, tmp_path / "b")
    assert not (tmp_path / "b").exists()


SIZES = st.integers(0, 50) | st.integers(0, 300_000)
KINDS = st.sampled_from([bytes, bytearray, memoryview])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SIZES, KINDS), max_size=8))
def test_bytes_that_come_in_any_pieces_leave_as_one_stream(
    parts: list[tuple[int, Callable[..., Any]]],
) -> None:
    identity = pyrage.x25519.Identity.generate()
    pieces = [random.Random(size).randbytes(size) for size, _ in parts]
    sink = io.BytesIO()
    sealer = Sealer(sink.write, [str(identity.to_public())])
    for piece, (_, kind) in zip(pieces, parts, strict=True):
        sealer.write(kind(piece))
    sealer.close()
    assert pyrage.decrypt(sink.getvalue(), [identity]) == b"".join(pieces)


def test_a_buffer_that_is_used_again_does_not_change_what_was_written(pair: Pair) -> None:
    buffer, sink = bytearray(b"first " * 50_000), io.BytesIO()
    sealer = Sealer(sink.write, [pair.public])
    sealer.write(buffer)
    buffer[:] = b"wrong " * 50_000
    sealer.write(struct.pack("3i", 1, 2, 3))
    sealer.write(memoryview(struct.pack("2i", 4, 5)).cast("i"))
    sealer.close()
    plain = opened_by_age(sink.getvalue(), pair.secret)
    assert plain == b"first " * 50_000 + struct.pack("5i", 1, 2, 3, 4, 5)


# --- what goes wrong while it is written ----------------------------------------------------------------


class Disk:
    """Takes some pieces, and then fails."""

    def __init__(self, pieces: int, error: BaseException):
        self.pieces = pieces
        self.error = error
        self.failed = 0

    def put(self, data: bytes) -> None:
        if self.pieces == 0:
            self.failed += 1
            raise self.error
        self.pieces -= 1


def seal_until_it_fails(disk: Disk, sizes: list[int], recipients: list[str]) -> BaseException | None:
    sealer = Sealer(disk.put, recipients)
    try:
        for size in sizes:
            sealer.write(b"x" * size)
        sealer.close()
    except BaseException as error:
        with pytest.raises(type(error)):
            sealer.close()
        return error
    finally:
        sealer.abort()
    return None


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), KeyError("x"), KeyboardInterrupt(), OSError(errno.EINTR, "again")],
)
@pytest.mark.parametrize("sizes", [[], [10], [100_000], [MIB] * 3, [1] * 2000, [200_000] * 9])
def test_what_the_disk_says_comes_out_as_it_was_raised_wherever_it_comes(
    pair: Pair, error: BaseException, sizes: list[int]
) -> None:
    for pieces in range(200):
        disk = Disk(pieces, error)
        outcome = in_time(lambda disk=disk: seal_until_it_fails(disk, sizes, [pair.public]))
        if disk.failed == 0:
            break
        assert outcome is error
        assert disk.failed == 1  # nothing is written behind a hole
    assert pieces >= 1
    assert outcome is None
    assert sealers() == []


def test_pyrage_alone_loses_what_the_disk_says(pair: Pair) -> None:
    """The control of the test above: why its errors are kept beside it."""
    recipient = pyrage.x25519.Recipient.from_str(pair.public)

    class Naive(Disk):
        def write(self, data: bytes) -> int:
            self.put(data)
            return len(data)

        def flush(self) -> None:
            pass

    unheard = Naive(0, OSError(errno.ENOSPC, "full"))
    pyrage.encrypt_io(io.BytesIO(b"small"), unheard, [recipient])
    assert unheard.failed == 1
    changed = Naive(0, OSError(errno.ENOSPC, "full"))
    with pytest.raises(pyrage.EncryptError):
        pyrage.encrypt_io(io.BytesIO(b"x" * MIB), changed, [recipient])

    class Torn:
        def read(self, size: int) -> bytes:
            raise OSError(errno.EIO, "cannot be read")

    identity = pyrage.x25519.Identity.from_str(pair.secret.read_text().splitlines()[-1])
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt_io(Torn(), io.BytesIO(), [identity])


def test_a_stream_in_which_something_is_missing_does_not_end_well(pair: Pair) -> None:
    sink = io.BytesIO()
    sealer = Sealer(sink.write, [pair.public])
    sealer.write(b"x" * 300_000)
    with pytest.raises(TypeError):
        sealer.write(7)
    with pytest.raises(TypeError):
        sealer.close()
    assert opened_by_age(sink.getvalue(), pair.secret) is None
    assert sealers() == []


def test_what_pyrage_itself_refuses_is_no_success() -> None:
    sealer = Sealer(io.BytesIO().write, [])
    sealer.write(b"x")
    with pytest.raises(pyrage.EncryptError):
        in_time(sealer.close)
    assert sealers() == []


@linux
def test_a_full_device_is_said_to_be_full(pair: Pair) -> None:
    for size in (0, 5, 100_000, 3 * MIB):
        with open("/dev/full", "wb", buffering=0) as full:
            sealer = Sealer(full.write, [pair.public])
            with pytest.raises(OSError, match="No space left") as raised:
                in_time(lambda sealer=sealer, size=size: (sealer.write(b"x" * size), sealer.close()))
            sealer.abort()
        assert raised.value.errno == errno.ENOSPC
    assert sealers() == []


def test_a_stream_can_be_aborted_in_any_state(pair: Pair) -> None:
    for prepare in (
        lambda sealer: None,
        lambda sealer: sealer.write(b"few"),
        lambda sealer: sealer.write(b"x" * 300_000),
        lambda sealer: [sealer.write(b"x" * 200_000) for _ in range(50)],
        lambda sealer: sealer.close(),
    ):
        sink = io.BytesIO()
        sealer = Sealer(sink.write, [pair.public])
        in_time(lambda sealer=sealer, prepare=prepare: prepare(sealer))
        closed = sink.getvalue()
        in_time(sealer.abort)
        in_time(sealer.abort)
        assert sealers() == []
        with pytest.raises(ValueError, match="Make another one"):
            sealer.write(b"more")
        if closed and opened_by_age(closed, pair.secret) is not None:
            sealer.close()
            assert sink.getvalue() == closed
        else:
            with pytest.raises(ValueError, match="aborted"):
                sealer.close()
            assert opened_by_age(sink.getvalue(), pair.secret) is None


def test_a_writer_that_waits_for_room_is_let_go_when_the_disk_fails(pair: Pair) -> None:
    go = threading.Event()

    def put(data: bytes) -> None:
        go.wait(20)
        raise OSError(errno.EIO, "gone")

    sealer = Sealer(put, [pair.public])
    threading.Timer(0.2, go.set).start()

    def write_much() -> None:
        for _ in range(100):
            sealer.write(b"x" * MIB)

    with pytest.raises(OSError, match="gone"):
        in_time(write_much)
    in_time(sealer.abort)
    assert sealers() == []


def test_one_can_abort_while_the_queue_is_full(pair: Pair) -> None:
    go, held = threading.Event(), threading.Event()

    def put(data: bytes) -> None:
        held.set()
        go.wait(20)

    sealer = Sealer(put, [pair.public])
    writer = threading.Thread(target=lambda: [sealer.write(b"x" * MIB) for _ in range(2)], daemon=True)
    writer.start()
    assert held.wait(20)
    time.sleep(0.05)
    assert writer.is_alive()  # it waits for room
    aborting = threading.Thread(target=sealer.abort, daemon=True)
    aborting.start()
    go.set()
    aborting.join(20)
    writer.join(20)
    assert not aborting.is_alive()
    assert not writer.is_alive()
    assert sealers() == []


INTERRUPTED = """\
import os, signal, sys, threading, time
from auditkit.protect.encryption import Sealer
main = os.getpid()
sealer = Sealer(lambda data: time.sleep(0.005), [sys.argv[1]])
threading.Timer(float(sys.argv[2]), os.kill, [main, signal.SIGINT]).start()
try:
    while True:
        sealer.write(b"x" * 1000000)
except KeyboardInterrupt:
    try:
        sealer.close()  # a piece may be missing
    except KeyboardInterrupt:
        print("no success")
    sealer.abort()
    print([thread.name for thread in threading.enumerate() if "sealer" in thread.name])
"""


def test_an_interruption_comes_through_and_leaves_no_thread(tmp_path: Path, pair: Pair) -> None:
    for delay in ("0.2", "0.35"):
        assert succeed(python("-c", INTERRUPTED, pair.public, delay, cwd=tmp_path)) == "no success\n[]\n"


WAITED_FOR = """\
import os, signal, threading, time
from auditkit.apart import Apart
ended = []
work = Apart(lambda: (time.sleep(1), ended.append(True)), "auditkit-sealer")
threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    work.wait()
except KeyboardInterrupt:
    early = list(ended)
    work.wait()
    print(early, ended)
"""


def test_one_can_wait_for_the_end_again_after_an_interruption(tmp_path: Path) -> None:
    """`Thread.join` of Python 3.11 would come back at once (bpo-45274)."""
    assert succeed(python("-c", WAITED_FOR, cwd=tmp_path)) == "[] [True]\n"


# --- decrypting -----------------------------------------------------------------------------------------


def exported(folder: Path, plain: bytes, pair: Pair, name: str = "a.csv.age") -> Path:
    path = folder / name
    path.write_bytes(sealed(plain, pair.public))
    return path


def test_the_output_stands_beside_without_its_age_and_is_for_its_owner_alone(
    tmp_path: Path, pair: Pair
) -> None:
    path = exported(tmp_path, b"a,b\n", pair)
    assert decrypt_export(str(path), str(pair.secret)) == tmp_path / "a.csv"
    assert contents(tmp_path) == {"a.csv.age": path.read_bytes(), "a.csv": b"a,b\n"}
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o600
    elsewhere = tmp_path / "new" / "b.csv"
    assert decrypt_export(path, pair.secret, elsewhere) == elsewhere
    assert contents(tmp_path / "new") == {"b.csv": b"a,b\n"}


def test_a_name_without_age_needs_an_output(tmp_path: Path, pair: Pair) -> None:
    for name in ("a.csv", ".age", "a.age.csv"):
        path = exported(tmp_path, b"x", pair, name)
        with pytest.raises(InvalidOptionError, match="Give the file to write"):
            decrypt_export(path, pair.secret)
        assert decrypt_export(path, pair.secret, tmp_path / "out").read_bytes() == b"x"


def test_other_bytes_are_never_overwritten_and_the_same_are_left(tmp_path: Path, pair: Pair) -> None:
    path = exported(tmp_path, b"a,b\n", pair)
    (tmp_path / "a.csv").write_bytes(b"a,c\n")
    for output in (None, path, tmp_path):
        before = contents(tmp_path)
        with pytest.raises(ExportExistsError, match="A file of that name has other bytes: ") as refused:
            decrypt_export(path, pair.secret, output)
        assert (refused.value.errno, refused.value.filename) == (
            errno.EEXIST,
            str(output or tmp_path / "a.csv"),
        )
        assert contents(tmp_path) == before
    (tmp_path / "a.csv").write_bytes(b"a,b\n")
    before_stat = (tmp_path / "a.csv").stat()
    assert decrypt_export(path, pair.secret) == tmp_path / "a.csv"
    after = (tmp_path / "a.csv").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before_stat.st_ino, before_stat.st_mtime_ns)


def test_another_key_opens_nothing(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    path = exported(tmp_path, b"a,b\n", pairs["x25519"])
    stranger = age_pair(tmp_path, "stranger.key")
    before = contents(tmp_path)
    for secret in (stranger.secret, pairs["ssh-rsa"].secret, pairs["ssh-ed25519"].secret):
        with pytest.raises(DecryptionError, match=r"not encrypted for the key in .* Give the key"):
            decrypt_export(path, secret)
    assert contents(tmp_path) == before


def test_one_of_several_keys_in_a_file_is_enough(tmp_path: Path, pair: Pair) -> None:
    stranger = age_pair(tmp_path, "both.key")
    with stranger.secret.open("a") as file:
        file.write(f"\n  # mine\r\n{pair.secret.read_text().splitlines()[-1]}\r\n")
    assert decrypt_export(exported(tmp_path, b"x", pair), stranger.secret).read_bytes() == b"x"


@pytest.mark.parametrize("data", [b"", b"a,b\n", b"age-encryption", b"\0" * 1000, b"\x1f\x8b\x08", b"\n" * 5])
def test_a_file_that_is_none_of_age_is_told_from_a_damaged_one(
    tmp_path: Path, pair: Pair, data: bytes
) -> None:
    (tmp_path / "a.csv.age").write_bytes(data)
    with pytest.raises(DecryptionError, match=r"a\.csv\.age is no age file\. Give the encrypted file"):
        decrypt_export(tmp_path / "a.csv.age", pair.secret, tmp_path / "new" / "a.csv")
    assert list(contents(tmp_path)) == ["a.csv.age"]


def test_a_file_for_a_passphrase_is_not_for_a_key(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "a.age").write_bytes(pyrage.passphrase.encrypt(b"x", "words"))
    with pytest.raises(DecryptionError, match="not encrypted for the key"):
        decrypt_export(tmp_path / "a.age", pair.secret)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, pair: Pair) -> None:
    path = exported(tmp_path, b"x", pair)
    for mode in (0o640, 0o604, 0o644, 0o660):
        loose = tmp_path / "loose.key"
        loose.write_bytes(pair.secret.read_bytes())
        loose.chmod(mode)
        with pytest.raises(InvalidKeyError):
            decrypt_export(path, loose)
    loose.chmod(0o600)
    assert decrypt_export(path, loose).read_bytes() == b"x"


def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, pair: Pair) -> None:
    path = exported(tmp_path, b"x", pair)
    locked = ssh_pair(tmp_path, "ed25519", "locked", "a passphrase").secret
    ecdsa = ssh_pair(tmp_path, "ecdsa").secret
    secret = pair.secret.read_text().splitlines()[-1]
    key = tmp_path / "key"
    bad: dict[Any, str] = {
        b"": "holds no secret key",
        b"# nothing\n": "holds no secret key",
        secret[:-1].encode(): r"Line 1 of .*key is no secret key of age",
        f"# mine\n{secret}\nhunter2\n".encode(): r"Line 3 of .*key is no",
        pair.public.encode(): r"Line 1 of .*key is no",
        b"\xff\xfe" * 20: r"Line 1 of .*key is no",
        sealed(secret.encode(), pair.public): r"Line 1 of .*key is no",
        locked.read_bytes(): r"must be decrypted first",
        ecdsa.read_bytes(): r"unsupported key",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n": r"key is no key that age can use",
    }
    for data, words in bad.items():
        key.write_bytes(data)
        key.chmod(0o600)
        with pytest.raises(
            InvalidKeyError, match=rf"{words}.* Give a file with AGE-SECRET-KEY-1…"
        ) as refused:
            decrypt_export(path, key)
        assert secret[16:-8] not in str(refused.value)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(FileNotFoundError):
        decrypt_export(path, tmp_path / "absent")
    assert not (tmp_path / "a.csv").exists()


# --- tampering ------------------------------------------------------------------------------------------


def tampered(data: bytes, start: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """One tampering of each kind; `start` is where the chunks of the payload begin."""
    place = rng.randrange(len(data))
    yield "flipped", data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    head = rng.randrange(start)
    yield (
        "flipped in the header",
        data[:head] + bytes([data[head] ^ 1 << rng.randrange(8)]) + data[head + 1 :],
    )
    yield "cut off", data[: rng.randrange(len(data))]
    yield "cut off at a chunk", data[: start + SEALED_CHUNK * rng.randrange(3)]
    yield "longer", data + rng.choice([b"\0", b"\n", rng.randbytes(rng.randrange(1, 100_000))])
    chunks = [data[at : at + SEALED_CHUNK] for at in range(start, len(data), SEALED_CHUNK)]
    here, there = rng.sample(range(len(chunks)), 2)
    swapped = list(chunks)
    swapped[here], swapped[there] = swapped[there], swapped[here]
    yield "swapped chunks", data[:start] + b"".join(swapped)
    yield "doubled chunk", data[:start] + b"".join([*chunks[: here + 1], *chunks[here:]])
    yield "dropped chunk", data[:start] + b"".join([*chunks[:here], *chunks[here + 1 :]])
    yield "last chunk again", data + chunks[-1]
    yield "cut out", data[: min(place, head)] + data[min(place, head) + rng.randrange(1, 40) :]


def payload_start(data: bytes) -> int:
    """Where the chunks begin: behind the MAC line of the header and a nonce of 16 bytes."""
    mac = data.index(b"\n--- ") + 1
    return data.index(b"\n", mac) + 1 + 16


def test_whatever_was_tampered_with_is_refused_and_writes_nothing(tmp_path: Path, pair: Pair) -> None:
    rng = random.Random(20240115)
    plain = rng.randbytes(2 * AGE_CHUNK + 12_345)
    data = sealed(plain, pair.public)
    assert len(data) == payload_start(data) + len(plain) + 3 * 16
    path = tmp_path / "a.csv.age"
    refused = agreed = 0
    rounds = 2000 if torture() else 50
    for trial in range(rounds):
        for kind, other in tampered(data, payload_start(data), rng):
            path.write_bytes(other)
            with pytest.raises(DecryptionError):
                decrypt_export(path, pair.secret)
            assert os.listdir(tmp_path) == ["a.csv.age"], kind
            refused += 1
            if trial % 10 == 0:
                assert opened_by_age(other, pair.secret) is None, kind
                agreed += 1
    assert (refused, agreed) == (10 * rounds, rounds)
    path.write_bytes(data)
    assert decrypt_export(path, pair.secret).read_bytes() == plain


def test_a_decryptor_that_writes_as_it_goes_leaves_bytes_behind(tmp_path: Path, pair: Pair) -> None:
    """The control of the test above."""
    identity = pyrage.x25519.Identity.from_str(pair.secret.read_text().splitlines()[-1])
    data = sealed(b"x" * 3 * AGE_CHUNK, pair.public)
    output = tmp_path / "a.csv"
    with output.open("wb") as file, contextlib.suppress(OSError):
        pyrage.decrypt_io(io.BytesIO(data[:-1]), file, [identity])
    assert output.stat().st_size == 2 * AGE_CHUNK


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, pair: Pair) -> None:
    path = exported(tmp_path, b"x" * 100, pair)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DecryptionError, match=r"a\.csv\.age is damaged or cut off .*compare its SHA-256"):
        decrypt_export(path, pair.secret)


# --- disks that fail ------------------------------------------------------------------------------------

TRY = """\
import json, os, sys
from auditkit.protect.decryption import decrypt_export
try:
    decrypt_export(*sys.argv[1:4])
except OSError as error:
    print(json.dumps([type(error).__name__, error.errno, error.filename]))
print(json.dumps(sorted(os.listdir(os.path.dirname(sys.argv[3])))))
"""


@linux
@pytest.mark.parametrize("size", [100, 8 * KIB, 40 * KIB, 3 * MIB])
def test_a_disk_that_is_full_is_that_and_nothing_is_left(tmp_path: Path, pair: Pair, size: int) -> None:
    """Sizes around what is still in a buffer of pyrage when it has seen the end."""
    unshare = require("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    path = exported(tmp_path, b"x" * size, pair)
    fill = f'head -c {max(0, 32 * KIB - (size - 1) // 4096 * 4096)} /dev/zero > "$1/filler"'
    mount = f'mount -t tmpfs -o size=32k none "$1" && {fill} && shift && exec "$@"'
    space = [unshare, "--mount", "--user", "--map-root-user", "sh", "-c", mount, "sh", str(disk)]
    if subprocess.run([*space, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be had here")
    command = [*space, sys.executable, "-c", TRY, path, pair.secret, disk / "a.csv"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    error, left = map(json.loads, succeed(done).splitlines())
    assert error == ["OSError", errno.ENOSPC, str(disk / "a.csv")]
    assert left == ["filler"]


@linux
@pytest.mark.parametrize("size", [100, 5 * MIB])
@pytest.mark.parametrize("reading", [1, 2, 3])
def test_a_disk_that_cannot_be_read_is_no_damaged_file(
    tmp_path: Path, pair: Pair, size: int, reading: int
) -> None:
    strace = require("strace")
    path = exported(tmp_path, b"x" * size, pair)
    fault = ["-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", f"inject=read:error=EIO:when={reading}"]
    probe = subprocess.run([strace, *fault, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("nothing can be traced here")
    output = tmp_path / "new" / "a.csv"
    output.parent.mkdir()
    command = [strace, *fault, sys.executable, "-c", TRY, str(path), str(pair.secret), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    error, left = map(json.loads, succeed(done).splitlines())
    assert error == ["OSError", errno.EIO, str(path)]
    assert left == []


def test_a_file_that_is_not_there_or_no_file_is_an_os_error(tmp_path: Path, pair: Pair) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.csv\.age"):
        decrypt_export(tmp_path / "a.csv.age", pair.secret)
    (tmp_path / "b.age").mkdir()
    with pytest.raises(IsADirectoryError):
        decrypt_export(tmp_path / "b.age", pair.secret)


CAUGHT = """\
import json, os, signal, sys, threading
write = os.write
def interrupted(descriptor, data):
    os.write = write
    os.kill(os.getpid(), signal.SIGINT)  # with the first bytes that are written
    return write(descriptor, data)
os.write = interrupted
from auditkit.protect.decryption import decrypt_export
try:
    decrypt_export(*sys.argv[1:4])
except KeyboardInterrupt:
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("auditkit")]
    read = next(int(line.split()[1]) for line in open("/proc/self/io") if line.startswith("rchar"))
    print(json.dumps([threads, os.listdir(os.path.dirname(sys.argv[3])), read]))
"""


@linux
def test_an_interruption_while_decrypting_leaves_nothing(tmp_path: Path, pair: Pair) -> None:
    path = exported(tmp_path, b"x" * 200 * MIB, pair)
    folder = tmp_path / "new"
    folder.mkdir()
    command = [sys.executable, "-c", CAUGHT, str(path), str(pair.secret), str(folder / "a.csv")]
    done = subprocess.run(command, capture_output=True, env=environment(), text=True, timeout=60, check=True)
    threads, left, read = json.loads(done.stdout)
    assert (threads, left) == ([], [])
    assert read < 200 * MIB  # it did not go on to the end


# --- size does not matter -------------------------------------------------------------------------------

SEAL = """\
import os, sys
from auditkit.protect.encryption import Sealer
megabytes = int(sys.argv[4])
with open(sys.argv[1], "wb", buffering=0) as file:
    sealer = Sealer(file.write, [sys.argv[3]])
    for _ in range(megabytes):
        sealer.write(os.urandom(1000) * 1049)
    sealer.close()
"""
OPEN = """\
import sys
from auditkit.protect.decryption import decrypt_export
decrypt_export(sys.argv[1], sys.argv[2])
"""
NAIVE_SEAL = """\
import os, sys, pyrage
data = os.urandom(1000) * 1049 * int(sys.argv[4])
sealed = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(sys.argv[3])])
"""
NAIVE_OPEN = """\
import sys, pyrage
secret = open(sys.argv[2]).read().splitlines()[-1]
pyrage.decrypt(open(sys.argv[1], "rb").read(), [pyrage.x25519.Identity.from_str(secret)])
"""
PEAK = """\
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_kib(tmp_path: Path, code: str, path: Path, pair: Pair, megabytes: int) -> int:
    """The peak of the memory of a process of its own, in KiB."""
    arguments = (str(path), str(pair.secret), pair.public, str(megabytes))
    return int(succeed(python("-c", code + PEAK, *arguments, cwd=tmp_path)))


@linux
def test_a_gibibyte_takes_no_more_memory_than_little(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "large.bin.age"
    try:
        peaks = [peak_kib(tmp_path, code, path, pair, 1024) for code in (SEAL, OPEN)]
        assert (tmp_path / "large.bin").stat().st_size == 1024 * 1_049_000 >= 1 << 30
    finally:
        path.unlink(missing_ok=True)
        (tmp_path / "large.bin").unlink(missing_ok=True)
    print(f"peak memory with 1 GiB: sealing {peaks[0]} KiB, opening {peaks[1]} KiB")
    assert max(peaks) < RSS_LIMIT_KIB


@linux
def test_the_calls_that_take_bytes_would_take_many_times_the_memory(tmp_path: Path, pair: Pair) -> None:
    """The control of the test above, with an eighth of its bytes."""
    path = tmp_path / "large.bin.age"
    peak_kib(tmp_path, SEAL, path, pair, 128)
    peaks = [peak_kib(tmp_path, code, path, pair, 128) for code in (NAIVE_SEAL, NAIVE_OPEN)]
    assert min(peaks) > 4 * RSS_LIMIT_KIB
