"""Secret keys: made for one purpose, seen by nobody else, and read only where that is so."""

from __future__ import annotations

import base64
import errno
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import python, succeed
from tools import require

from auditkit.errors import InvalidKeyError, InvalidOptionError, MissingExtraError
from auditkit.protect.keys import KeyFiles, fingerprint, make_key, read_secret

MIB = 1 << 20
PURPOSES = ("sign", "encrypt", "pseudonyms")

posix = pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(list(map(os.fspath, command)), capture_output=True, check=False, **options)


def secret_file(path: Path, mode: int = 0o600, content: bytes = b"a secret") -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def umask() -> Iterator[Any]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o4600])
def test_a_secret_that_only_its_owner_can_use_is_read(tmp_path: Path, mode: int) -> None:
    content = bytes(range(256)) * 10
    path = secret_file(tmp_path / "key", mode, content)
    assert read_secret(path) == content
    assert read_secret(str(path)) == content


@posix
@pytest.mark.parametrize("bits", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o044, 0o060, 0o077])
def test_a_secret_that_others_can_use_is_refused_with_its_mode_and_what_to_do(
    tmp_path: Path, bits: int
) -> None:
    path = secret_file(tmp_path / "my key", 0o600 | bits)
    with pytest.raises(InvalidKeyError) as caught:
        read_secret(path)
    assert str(path) in str(caught.value)
    assert f"{0o600 | bits:04o}" in str(caught.value)
    command = re.search(r"`(chmod .*?)`", str(caught.value))
    assert command is not None
    subprocess.run(shlex.split(command[1]), check=True)
    assert read_secret(path) == b"a secret"


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o604, 0o660])
def test_ssh_refuses_the_same_modes(tmp_path: Path, mode: int) -> None:
    ssh_keygen = require("ssh-keygen")
    key = make_key(tmp_path / "key", "sign")
    key.secret.chmod(mode)
    theirs = run(ssh_keygen, "-y", "-f", key.secret)
    try:
        ours = bool(read_secret(key.secret))
    except InvalidKeyError:
        ours = False
    assert ours == (mode == 0o600)
    assert (theirs.returncode == 0) == ours
    assert (b"too open" in theirs.stderr) == (not ours)


@posix
def test_rights_are_not_asked_for_where_windows_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(secret_file(tmp_path / "key", 0o644))
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        data = read_secret(path)
    assert data == b"a secret"


@posix
def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "folder", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(InvalidKeyError, match="is no regular file") as caught:
            read_secret(path)
        assert str(path) in str(caught.value)


@posix
def test_a_pipe_that_nobody_fills_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    program = "from auditkit.protect.keys import read_secret; read_secret('pipe')"
    done = python("-c", program, cwd=tmp_path, timeout=20)
    assert "InvalidKeyError: pipe is no regular file." in done.stderr


@posix
def test_a_link_to_a_secret_is_followed_and_the_rights_of_the_file_count(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key")
    (tmp_path / "link").symlink_to(path)
    assert read_secret(tmp_path / "link") == b"a secret"
    path.chmod(0o640)
    with pytest.raises(InvalidKeyError, match="0640"):
        read_secret(tmp_path / "link")


def test_a_secret_of_1_mib_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    assert len(read_secret(secret_file(tmp_path / "key", content=bytes(MIB)))) == MIB
    path = secret_file(tmp_path / "larger", content=bytes(MIB + 1))
    with pytest.raises(InvalidKeyError, match="over 1 MiB") as caught:
        read_secret(path)
    assert str(path) in str(caught.value)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a hole: no memory could take it
    with pytest.raises(InvalidKeyError, match="over 1 MiB"):
        read_secret(path)


@posix
def test_errors_of_the_system_stay_such_with_the_path(tmp_path: Path) -> None:
    socket_path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
    for path, code in ((tmp_path / "none", errno.ENOENT), (socket_path, errno.ENXIO)):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            read_secret(path)
        assert (caught.value.errno, caught.value.filename) == (code, str(path))


@linux
def test_an_error_while_reading_names_the_path() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        read_secret("/proc/self/mem")  # a regular file of mode 0600 whose first page cannot be read
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/proc/self/mem")


@posix
def test_a_secret_of_somebody_else_is_an_error_of_the_system(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key", 0o000)
    done = python(
        "-c", f"from auditkit.protect.keys import read_secret; read_secret({str(path)!r})",
        cwd=tmp_path, humble=True,
    )  # fmt: skip
    assert f"PermissionError: [Errno 13] Permission denied: '{path}'" in done.stderr


SWAPPED = """\
import os, stat, sys
from auditkit.protect.keys import read_secret

def naive(path):
    assert not stat.S_IMODE(os.stat(path).st_mode) & 0o077
    with open(path, "rb") as file:
        return file.read()

def swap(event, arguments):
    if event == "open" and arguments[0] == "key" and os.path.exists("other"):
        os.rename("other", "key")

sys.addaudithook(swap)
print({"naive": naive, "ours": read_secret}[sys.argv[1]]("key").decode())
"""


@posix
def test_the_rights_are_those_of_the_file_that_was_opened(tmp_path: Path) -> None:
    outcome = {}
    for reader in ("naive", "ours"):
        secret_file(tmp_path / "key")
        secret_file(tmp_path / "other", 0o666, b"put there by somebody else")
        outcome[reader] = python("-c", SWAPPED, reader, cwd=tmp_path)
    assert succeed(outcome["naive"]) == "put there by somebody else\n"  # the trap works
    assert "InvalidKeyError: Others may use the secret key key: its mode is 0666." in outcome["ours"].stderr


@linux
def test_the_rights_are_never_asked_for_by_name(tmp_path: Path) -> None:
    strace = require("strace")
    secret_file(tmp_path / "a.key")
    asked = {}
    for program in (
        "import os; os.stat('a.key')",
        "from auditkit.protect.keys import read_secret; read_secret('a.key')",
    ):
        command = [strace, "-f", "-e", "trace=%file", sys.executable, "-c", program]
        lines = run(*command, cwd=tmp_path).stderr.decode(errors="replace").splitlines()
        calls = [re.search(r'(\w+)\((?:AT_FDCWD, )?"a\.key"', line) for line in lines]
        asked[program] = {call[1] for call in calls if call}
    by_name, ours = asked.values()
    assert by_name  # strace sees them
    assert ours <= {"open", "openat"}
    assert ours


def test_no_descriptor_stays_open_whatever_happens(tmp_path: Path) -> None:
    secret_file(tmp_path / "key")
    secret_file(tmp_path / "open", 0o644)
    (tmp_path / "folder").mkdir()
    first = os.open(tmp_path, os.O_RDONLY)
    os.close(first)
    for name in ("key", "open", "folder") * 3:
        try:
            read_secret(tmp_path / name)
        except InvalidKeyError:
            continue
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == first


# --- making: every purpose ------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_secret_is_for_its_owner_and_the_public_part_for_everyone_whatever_the_umask(
    tmp_path: Path, umask: Any, purpose: Any, mask: int
) -> None:
    umask(mask)
    key = make_key(tmp_path / "new" / "key", purpose)
    assert key.secret == tmp_path / "new" / "key"
    assert mode_of(key.secret) == 0o600
    assert mode_of(tmp_path / "new") == 0o700
    if purpose == "pseudonyms":
        assert (key.public, key.public_text) == (None, None)
        assert names(tmp_path / "new") == ["key"]
    else:
        assert key.public == tmp_path / "new" / "key.pub"
        assert mode_of(key.public) == 0o644
        assert key.public.read_text(encoding="ascii") == f"{key.public_text}\n"
        assert names(tmp_path / "new") == ["key", "key.pub"]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_was_made_can_be_read_and_is_never_the_same(tmp_path: Path, purpose: Any) -> None:
    contents = {read_secret(make_key(tmp_path / f"key-{n}", purpose).secret) for n in range(5)}
    assert len(contents) == 5


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_key_that_is_there_is_never_replaced(tmp_path: Path, purpose: Any) -> None:
    key = make_key(tmp_path / "key", purpose)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    for other in PURPOSES:
        with pytest.raises(FileExistsError) as caught:
            make_key(key.secret, other)
        assert str(caught.value) == f"[Errno {errno.EEXIST}] File exists: '{key.secret}'"
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@posix
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("there", ["file", "folder", "link", "broken link"])
def test_whatever_stands_at_the_path_stays_there(tmp_path: Path, purpose: Any, there: str) -> None:
    path = tmp_path / "key"
    if there == "file":
        path.write_bytes(b"")
    elif there == "folder":
        path.mkdir()
    else:
        (tmp_path / "target").write_bytes(b"" if there == "link" else b"x")
        path.symlink_to(tmp_path / ("target" if there == "link" else "nothing"))
    before = names(tmp_path)
    with pytest.raises(FileExistsError) as caught:
        make_key(path, purpose)
    assert str(caught.value) == f"[Errno {errno.EEXIST}] File exists: '{path}'"
    assert names(tmp_path) == before
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("purpose", ["sign", "encrypt"])
def test_a_public_file_that_is_there_is_not_replaced_and_no_secret_is_left(
    tmp_path: Path, purpose: Any
) -> None:
    (tmp_path / "key.pub").write_bytes(b"of another key\n")
    with pytest.raises(FileExistsError) as caught:
        make_key(tmp_path / "key", purpose)
    assert caught.value.filename == str(tmp_path / "key.pub")
    assert names(tmp_path) == ["key.pub"]
    assert (tmp_path / "key.pub").read_bytes() == b"of another key\n"
    make_key(tmp_path / "key", "pseudonyms")  # has no public part, and so minds none


@posix
@pytest.mark.parametrize("purpose", ["sign", "encrypt"])
def test_where_the_public_file_cannot_be_written_no_secret_is_left(tmp_path: Path, purpose: Any) -> None:
    path = tmp_path / ("k" * 252)  # with .pub it has 256 letters: one more than a name can have
    with pytest.raises(OSError, match="File name too long") as caught:
        make_key(path, purpose)
    assert (caught.value.errno, caught.value.filename) == (errno.ENAMETOOLONG, f"{path}.pub")
    assert names(tmp_path) == []
    make_key(path, "pseudonyms")
    assert names(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        make_key(tmp_path / "file" / "key", "sign")
    assert caught.value.filename
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a/.."])
def test_a_path_that_names_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOptionError, match="names no file"):
        make_key(path, "sign")
    assert names(tmp_path) == []


@pytest.mark.parametrize("purpose", ["", "Sign", "signing", "ssh", None])
def test_an_unknown_purpose_is_refused_and_the_known_ones_are_named(tmp_path: Path, purpose: Any) -> None:
    with pytest.raises(InvalidOptionError, match="none of sign, encrypt, pseudonyms"):
        make_key(tmp_path / "key", purpose)
    assert names(tmp_path) == []


def test_of_several_who_make_a_key_at_one_path_one_wins_and_its_two_files_belong_together(
    tmp_path: Path,
) -> None:
    made: list[KeyFiles] = []
    refused: list[FileExistsError] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            made.append(make_key(tmp_path / "key", "sign"))
        except FileExistsError as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    assert names(tmp_path) == ["key", "key.pub"]
    shown = run(require("ssh-keygen"), "-y", "-f", tmp_path / "key").stdout
    assert shown.split()[:2] == (tmp_path / "key.pub").read_bytes().split()[:2]


@linux
def test_the_secret_is_open_to_nobody_while_it_is_written(tmp_path: Path) -> None:
    strace = require("strace")
    program = "from auditkit.protect.keys import make_key; make_key('key', 'sign')"
    trace = tmp_path / "trace"
    calls = "trace=open,openat,creat,chmod,fchmod,fchmodat,link,linkat,write"
    done = run(strace, "-f", "-e", calls, "-o", trace, sys.executable, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    (written,) = [n for n, line in enumerate(lines) if "BEGIN OPENSSH PRIVATE KEY" in line]
    (linked,) = [n for n, line in enumerate(lines) if '"key"' in line]
    opened = max(n for n, line in enumerate(lines[:written]) if "O_CREAT" in line)
    assert re.search(r"O_CREAT\|O_EXCL.*, 0600\)", lines[opened])
    assert not [line for line in lines[opened:linked] if "chmod" in line]


# --- making: what the keys are --------------------------------------------------------------------------


def test_ssh_keygen_reads_a_key_for_signing_and_shows_the_same_public_part(tmp_path: Path) -> None:
    ssh_keygen = require("ssh-keygen")
    key = make_key(tmp_path / "key", "sign")
    assert key.public_text is not None
    assert key.public is not None
    kind, _, comment = key.public_text.split(" ")
    assert (kind, comment) == ("ssh-ed25519", "auditkit")
    key.public.rename(tmp_path / "away")  # so that it cannot be taken from there
    shown = run(ssh_keygen, "-y", "-f", key.secret)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.decode().split()[:2] == key.public_text.split()[:2]
    unlocked = run(ssh_keygen, "-y", "-P", "", "-f", key.secret)
    assert unlocked.returncode == 0


def test_the_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    ssh_keygen = require("ssh-keygen")
    for number in range(5):
        key = make_key(tmp_path / f"key-{number}", "sign")
        assert key.public is not None
        shown = run(ssh_keygen, "-l", "-E", "sha256", "-f", key.public).stdout.decode()
        assert key.fingerprint == shown.split()[1]


def test_the_fingerprint_of_a_published_key_is_the_published_one() -> None:
    # host key and fingerprint of github.com, from "GitHub's SSH key fingerprints" on docs.github.com
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    shown = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    assert fingerprint(base64.b64decode(key)) == shown
    made = KeyFiles(secret=Path("key"), public=Path("key.pub"), public_text=f"ssh-ed25519 {key} git hub")
    assert made.fingerprint == shown


@pytest.mark.parametrize("purpose", ["encrypt", "pseudonyms"])
def test_other_keys_have_no_fingerprint(tmp_path: Path, purpose: Any) -> None:
    assert make_key(tmp_path / "key", purpose).fingerprint is None


def test_age_encrypts_to_a_key_for_encryption_and_decrypts_with_it(tmp_path: Path) -> None:
    age, age_keygen = require("age"), require("age-keygen")
    key = make_key(tmp_path / "key", "encrypt")
    assert key.public is not None
    assert re.fullmatch(r"age1[02-9ac-hj-np-z]{58}", key.public_text or "")
    assert run(age_keygen, "-y", key.secret).stdout.decode() == f"{key.public_text}\n"
    sealed = run(age, "-R", key.public, input=b"24 results")
    assert sealed.returncode == 0, sealed.stderr
    assert run(age, "-d", "-i", key.secret, input=sealed.stdout).stdout == b"24 results"


def test_an_age_identity_says_its_public_part_and_no_time(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "encrypt")
    comment, secret, end = key.secret.read_text(encoding="ascii").split("\n")
    assert (comment, end) == (f"# public key: {key.public_text}", "")
    assert re.fullmatch(r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}", secret)


def test_a_key_for_pseudonyms_is_32_random_bytes_in_hexadecimal(tmp_path: Path) -> None:
    contents = [make_key(tmp_path / f"key-{n}", "pseudonyms").secret.read_bytes() for n in range(64)]
    assert all(re.fullmatch(rb"[0-9a-f]{64}\n", content) for content in contents)
    drawn = b"".join(bytes.fromhex(content.decode()) for content in contents)
    ones = sum(byte.bit_count() for byte in drawn)
    assert abs(ones - 8192) < 512  # 16,384 fair bits: eight standard deviations


# --- what is not installed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "missing", "what"),
    [("sign", "cryptography", "Signing"), ("encrypt", "pyrage", "Encryption")],
)
def test_a_missing_library_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: Any, missing: str, what: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"{what} needs {missing}\..*'auditkit\[evidence\]'"):
        make_key(tmp_path / "key", purpose)
    assert names(tmp_path) == []
    make_key(tmp_path / "key", "pseudonyms")  # needs neither


def test_importing_the_room_imports_no_library_that_it_may_not_need(tmp_path: Path) -> None:
    program = (
        "import sys, auditkit.protect.keys; print({'cryptography', 'pyrage', 'pandas'} & set(sys.modules))"
    )
    assert succeed(python("-c", program, cwd=tmp_path)) == "set()\n"
