"""Signatures: what ssh-keygen signs is right here, what is signed here ssh-keygen takes, and little else."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from children import python, succeed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from tools import require

from auditkit.errors import InvalidKeyError, InvalidOptionError, MissingExtraError, VerificationError
from auditkit.protect.keys import make_key
from auditkit.protect.signatures import Signer, check, sign
from auditkit.protect.signers import read_allowed_signers
from auditkit.protect.ssh import signing_key

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
ANNA, BEN = "anna@example.org", "ben@example.org"
MESSAGE = b"8f3c  data/audit-run-run-001-2024-01-15.csv\n"
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group of Ed25519: RFC 8032, section 5.1

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


# --- ssh-keygen, and the format in other words ----------------------------------------------------------


def keygen(*arguments: str | Path, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [require("ssh-keygen"), *map(os.fspath, arguments)]
    return subprocess.run(command, input=message, capture_output=True, check=False)


class Key:
    """A key of ssh-keygen, in files, and what can be done with it by the stock tools."""

    def __init__(self, path: Path, kind: str = "ed25519", passphrase: str = ""):
        self.path = path
        made = keygen("-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f", path)
        assert made.returncode == 0, made.stderr
        self.public = " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])
        self.blob = base64.b64decode(self.public.split()[1])
        self.fingerprint = keygen("-l", "-f", f"{path}.pub").stdout.decode().split()[1]

    def sign(self, message: bytes, namespace: str = "auditkit", *options: str) -> bytes:
        done = keygen("-Y", "sign", *options, "-f", self.path, "-n", namespace, message=message)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def allowed(self, path: Path, text: str = f"{ANNA} KEY") -> Path:
        path.write_text(text.replace("KEY", self.public), encoding="utf-8", newline="")
        return path


def stock_accepts(
    message: bytes,
    signature: bytes,
    allowed: Path,
    identity: str = ANNA,
    when: str | None = None,
    namespace: str = "auditkit",
) -> bool:
    file = allowed.with_name("stock.sig")
    file.write_bytes(signature)
    time_option = [f"-Overify-time={when}"] if when else []
    place = ["-f", allowed, "-I", identity, "-n", namespace, "-s", file]
    return keygen("-Y", "verify", *time_option, *place, message=message).returncode == 0


def accepts(message: bytes, signature: bytes, allowed: Path | None, **options: Any) -> bool:
    try:
        return isinstance(check(message, signature, allowed, **options), Signer)
    except VerificationError:
        return False


def field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def armored(blob: bytes, columns: int = 70) -> bytes:
    text = base64.b64encode(blob)
    lines = [text[at : at + columns] for at in range(0, len(text), columns)]
    return BEGIN + b"".join(line + b"\n" for line in lines) + END


def blob_of(signature: bytes) -> bytes:
    return base64.b64decode(signature.removeprefix(BEGIN).removesuffix(END))


def pieces(signature: bytes) -> dict[str, bytes]:
    """The parts of a signature after its magic, by PROTOCOL.sshsig."""
    blob = blob_of(signature)
    found, at = {"magic": blob[:6], "version": blob[6:10]}, 10
    for name in ("public", "namespace", "reserved", "hash", "signature"):
        size = int.from_bytes(blob[at : at + 4], "big")
        found[name] = blob[at + 4 : at + 4 + size]
        at += 4 + size
    assert at == len(blob)
    return found


def assembled(parts: dict[str, bytes], behind: bytes = b"") -> bytes:
    names = ("public", "namespace", "reserved", "hash", "signature")
    return armored(parts["magic"] + parts["version"] + b"".join(field(parts[n]) for n in names) + behind)


def signed_by(
    secret: Ed25519PrivateKey,
    message: bytes,
    *,
    namespace: bytes = b"auditkit",
    hash_name: str = "sha512",
    reserved: bytes = b"",
    **changes: bytes,
) -> bytes:
    """A signature made by the book, or with parts that the book forbids but that are signed as they are."""
    digest = hashlib.new(hash_name if hash_name in ("sha256", "sha512") else "md5", message).digest()
    data = b"SSHSIG" + field(namespace) + field(reserved) + field(hash_name.encode()) + field(digest)
    parts = {
        "magic": b"SSHSIG",
        "version": struct.pack(">I", 1),
        "public": field(b"ssh-ed25519") + field(secret.public_key().public_bytes_raw()),
        "namespace": namespace,
        "reserved": reserved,
        "hash": hash_name.encode(),
        "signature": field(b"ssh-ed25519") + field(secret.sign(data)),
    }
    return assembled(parts | changes)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Key(folder / name) for name in ("anna", "ben")}


@pytest.fixture
def anna(keys: dict[str, Key]) -> Key:
    return keys["anna"]


@pytest.fixture
def ben(keys: dict[str, Key]) -> Key:
    return keys["ben"]


@pytest.fixture
def allowed(anna: Key, tmp_path: Path) -> Path:
    return anna.allowed(tmp_path / "allowed")


# --- ours and theirs ------------------------------------------------------------------------------------

MESSAGES = {
    "empty": b"",
    "one byte": b"\0",
    "a line": MESSAGE,
    "every byte": bytes(range(256)),
    "a block of the hash": b"a" * 128,
    "line ends": b"\r\n\n\r\0" * 99,
    "1 MB": random.Random(1).randbytes(1_000_000),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_a_signature_is_the_one_of_ssh_keygen_byte_for_byte(anna: Key, message: bytes) -> None:
    assert sign(message, anna.path) == anna.sign(message)
    assert sign(message, str(anna.path), "file") == anna.sign(message, "file")


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_ssh_keygen_accepts_what_a_key_of_ours_signed(tmp_path: Path, message: bytes) -> None:
    key = make_key(tmp_path / "key", "sign")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"{ANNA} {key.public_text}\n", encoding="utf-8")
    signature = sign(message, key.secret)
    assert stock_accepts(message, signature, allowed)
    assert not stock_accepts(message + b"\0", signature, allowed)
    assert check(message, signature, allowed) == Signer(
        fingerprint=str(key.fingerprint), identities=(ANNA,), trusted=True
    )


@pytest.mark.parametrize("message", MESSAGES.values(), ids=list(MESSAGES))
def test_what_ssh_keygen_signed_is_accepted(anna: Key, allowed: Path, message: bytes) -> None:
    expected = Signer(fingerprint=anna.fingerprint, identities=(ANNA,), trusted=True)
    assert check(message, anna.sign(message), allowed) == expected
    assert not accepts(message + b"\0", anna.sign(message), allowed)


def test_both_hashes_of_the_format_are_accepted(anna: Key, allowed: Path) -> None:
    signature = anna.sign(MESSAGE, "auditkit", "-Ohashalg=sha256")
    assert pieces(signature)["hash"] == b"sha256"
    assert accepts(MESSAGE, signature, allowed)
    assert pieces(anna.sign(MESSAGE))["hash"] == pieces(sign(MESSAGE, anna.path))["hash"] == b"sha512"


def test_the_same_message_has_the_same_signature_and_another_one_another(anna: Key, ben: Key) -> None:
    first = sign(MESSAGE, anna.path)
    assert first == sign(MESSAGE, anna.path) == sign(bytearray(MESSAGE), anna.path)
    others = [sign(MESSAGE + b"\n", anna.path), sign(MESSAGE, ben.path), sign(MESSAGE, anna.path, "file")]
    assert len({first, *others}) == 4


def test_a_namespace_of_printable_ascii_is_taken_as_it_is(anna: Key, allowed: Path) -> None:
    for namespace in ("x", "evidence@example.org", "a, b [*] ?!", "~" * 500):
        signature = sign(MESSAGE, anna.path, namespace)
        assert signature == anna.sign(MESSAGE, namespace)
        assert accepts(MESSAGE, signature, allowed, namespace=namespace)
        assert not accepts(MESSAGE, signature, allowed)


@pytest.mark.parametrize("namespace", ["", "a\0b", "line\n", "\x7f", "é", "\ud800", "\u202e"])
def test_another_namespace_is_refused(anna: Key, namespace: str) -> None:
    signature = sign(MESSAGE, anna.path)
    with pytest.raises(InvalidOptionError, match="empty or not printable ASCII"):
        sign(MESSAGE, anna.path, namespace)
    with pytest.raises(InvalidOptionError, match="empty or not printable ASCII"):
        check(MESSAGE, signature, None, namespace=namespace)


# --- the key that signs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660])
def test_neither_we_nor_ssh_keygen_sign_with_a_key_that_others_can_read(tmp_path: Path, mode: int) -> None:
    key = Key(tmp_path / "key")
    assert sign(MESSAGE, key.path)
    key.path.chmod(mode)
    with pytest.raises(InvalidKeyError, match=f"{mode:04o}.*chmod 600"):
        sign(MESSAGE, key.path)
    theirs = keygen("-Y", "sign", "-f", key.path, "-n", "auditkit", message=MESSAGE)
    assert theirs.returncode != 0
    assert b"too open" in theirs.stderr


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_key_of_another_kind_is_refused_by_name_and_with_what_to_do(tmp_path: Path, kind: str) -> None:
    key = Key(tmp_path / "key", kind)
    with pytest.raises(InvalidKeyError) as caught:
        sign(MESSAGE, key.path)
    assert key.public.split()[0] in str(caught.value)
    assert str(key.path) in str(caught.value)
    assert "auditkit keygen" in str(caught.value)
    assert "ssh-keygen -t ed25519" in str(caught.value)


def test_a_key_with_a_passphrase_is_refused_in_words(tmp_path: Path) -> None:
    key = Key(tmp_path / "key", passphrase="a long one")
    with pytest.raises(InvalidKeyError, match=r"has a passphrase \(`ssh-keygen -p -f FILE` takes it away\)"):
        sign(MESSAGE, key.path)
    assert keygen("-p", "-P", "a long one", "-N", "", "-f", key.path).returncode == 0
    assert sign(MESSAGE, key.path) == key.sign(MESSAGE)


def test_what_is_no_key_is_refused(tmp_path: Path, anna: Key) -> None:
    pem = anna.path.read_bytes()
    body = base64.b64decode(b"".join(pem.split(b"\n")[1:-2]))
    sk = b"openssh-key-v1\0" + field(b"none") * 2 + field(b"") + struct.pack(">I", 1)
    sk += field(field(b"sk-ssh-ed25519@openssh.com") + field(bytes(32)) + field(b"ssh:")) + field(bytes(128))

    def wrapped(data: bytes) -> bytes:
        text = base64.encodebytes(data)
        return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"

    contents = {
        "empty": b"",
        "public": anna.public.encode(),
        "age": make_key(tmp_path / "age", "encrypt").secret.read_bytes(),
        "words": b"-----BEGIN OPENSSH PRIVATE KEY-----\nno key\n-----END OPENSSH PRIVATE KEY-----\n",
        "other magic": wrapped(body.replace(b"openssh-key-v1", b"openssh-key-v2")),
        "short": wrapped(body[:40]),
        "longer": wrapped(body + b"\0"),
        "before": b"#\n" + pem,
        "behind": pem + b"#\n",
        "two": pem + pem,
        "security key": wrapped(sk),
        "point of 31": wrapped(body.replace(field(anna.blob[-32:]), field(anna.blob[-31:]))),
        "nothing": wrapped(b""),
    }
    path = tmp_path / "key"
    path.touch(mode=0o600)
    for name, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(InvalidKeyError, match="is no key to sign with") as caught:
            sign(MESSAGE, path)
        assert str(path) in str(caught.value), name
    for content in (pem, wrapped(body), pem.replace(b"\n", b"\r\n"), pem + b"\n"):
        path.write_bytes(content)
        assert sign(MESSAGE, path) == anna.sign(MESSAGE)


def test_a_damaged_key_signs_as_before_or_not_at_all(tmp_path: Path, anna: Key) -> None:
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    pem = anna.path.read_bytes()
    expected = sign(MESSAGE, anna.path)
    path = tmp_path / "key"
    path.touch(mode=0o600)
    draw = random.Random(7)
    refused = same = naive_wrong = 0
    for _ in range(1000):
        damaged = bytearray(pem)
        damaged[draw.randrange(len(pem))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            assert sign(MESSAGE, path) == expected
            same += 1
        except InvalidKeyError:
            refused += 1
        try:
            public = load_ssh_private_key(bytes(damaged), None).public_key()
            naive_wrong += public.public_bytes_raw() != anna.blob[-32:]  # type: ignore[union-attr]
        except Exception:  # whatever the library says
            continue
    assert refused > 500
    assert same > 0  # in the comment, and in the two check numbers
    assert naive_wrong > 0  # a reader that trusts the library signs with a key that nobody has


def test_errors_of_the_system_stay_such_with_the_path(tmp_path: Path, anna: Key) -> None:
    for call in (
        lambda path: sign(MESSAGE, path),
        lambda path: check(MESSAGE, sign(MESSAGE, anna.path), path),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            call(tmp_path / "none")
        assert str(caught.value.filename) == str(tmp_path / "none")


@pytest.mark.parametrize("call", ["sign", "check"])
def test_a_missing_library_is_named_with_what_to_install(
    anna: Key, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    signature = sign(MESSAGE, anna.path)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"Signing needs cryptography\..*'auditkit\[evidence\]'"):
        _ = sign(MESSAGE, anna.path) if call == "sign" else check(MESSAGE, signature, None)


def test_importing_the_rooms_does_not_import_the_library(tmp_path: Path) -> None:
    program = "import sys, auditkit.protect.signatures; print({'cryptography', 'pandas'} & set(sys.modules))"
    assert succeed(python("-c", program, cwd=tmp_path)) == "set()\n"


# --- tampering ------------------------------------------------------------------------------------------


def naive_check(message: bytes, signature: bytes) -> bool:
    """Verifies with the key that the signature brings along, and takes its base64 from whatever lines."""
    try:
        parts = pieces(armored(base64.b64decode(b"".join(signature.splitlines()[1:-1]))))
        digest = hashlib.new(parts["hash"].decode(), message).digest()
        data = b"SSHSIG" + b"".join(map(field, (parts["namespace"], b"", parts["hash"], digest)))
        Ed25519PublicKey.from_public_bytes(parts["public"][-32:]).verify(parts["signature"][-64:], data)
    except Exception:
        return False
    return True


def test_of_200_bit_flips_of_a_signature_none_is_accepted_that_ssh_keygen_refuses(
    anna: Key, allowed: Path
) -> None:
    signature = sign(MESSAGE, anna.path)
    draw = random.Random(4)
    flips = draw.sample(range(len(signature) * 8), 200)
    ours, theirs, naive = [], [], []
    for flip in flips:
        changed = bytearray(signature)
        changed[flip // 8] ^= 1 << flip % 8
        ours.append(accepts(MESSAGE, bytes(changed), allowed))
        theirs.append(stock_accepts(MESSAGE, bytes(changed), allowed))
        naive.append(naive_check(MESSAGE, bytes(changed)))
    assert not any(ours)
    # they ignore what is behind the end, and blanks between the base64 digits
    assert sum(theirs) <= 10
    assert sum(n and not t for n, t in zip(naive, theirs, strict=True)) > 10


def test_no_bit_flip_of_a_signature_is_accepted(anna: Key, allowed: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    assert accepts(MESSAGE, signature, allowed)
    for flip in range(len(signature) * 8):
        changed = bytearray(signature)
        changed[flip // 8] ^= 1 << flip % 8
        assert not accepts(MESSAGE, bytes(changed), allowed), flip
        assert not accepts(MESSAGE, bytes(changed), None), flip


def test_no_bit_flip_of_what_the_armor_holds_is_accepted(anna: Key, allowed: Path) -> None:
    blob = blob_of(sign(MESSAGE, anna.path))
    assert accepts(MESSAGE, armored(blob), allowed)
    for flip in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[flip // 8] ^= 1 << flip % 8
        assert not accepts(MESSAGE, armored(bytes(changed)), None), flip


def test_neither_we_nor_ssh_keygen_accept_a_changed_message(anna: Key, allowed: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    draw = random.Random(5)
    for flip in draw.sample(range(len(MESSAGE) * 8), 60):
        changed = bytearray(MESSAGE)
        changed[flip // 8] ^= 1 << flip % 8
        assert not accepts(bytes(changed), signature, allowed)
        assert not stock_accepts(bytes(changed), signature, allowed)
    for changed in (b"", MESSAGE[:-1], MESSAGE + b"\n", MESSAGE * 2):
        assert not accepts(changed, signature, allowed)
        assert not stock_accepts(changed, signature, allowed)


def test_a_signature_for_another_namespace_is_refused_and_both_are_named(anna: Key, allowed: Path) -> None:
    signature = sign(MESSAGE, anna.path, "file")
    assert not stock_accepts(MESSAGE, signature, allowed)
    with pytest.raises(VerificationError, match=r"for the namespace 'file', not for auditkit"):
        check(MESSAGE, signature, allowed)
    assert check(MESSAGE, signature, allowed, namespace="file").trusted


def test_a_forged_signature_with_a_key_of_its_own_is_refused_where_signers_are_listed(
    anna: Key, ben: Key, allowed: Path
) -> None:
    forged = sign(b"another manifest", ben.path)
    assert naive_check(b"another manifest", forged)
    assert not stock_accepts(b"another manifest", forged, allowed)
    with pytest.raises(VerificationError, match="it is not listed") as caught:
        check(b"another manifest", forged, allowed)
    assert ben.fingerprint in str(caught.value)
    assert anna.fingerprint not in str(caught.value)
    assert str(allowed) in str(caught.value)
    # without a list it is right, and not trusted
    assert check(b"another manifest", forged, None) == Signer(fingerprint=ben.fingerprint)
    assert (Signer(fingerprint="x").identities, Signer(fingerprint="x").trusted) == ((), False)


def test_a_key_put_in_the_place_of_another_one_is_refused(anna: Key, ben: Key, allowed: Path) -> None:
    parts = pieces(sign(MESSAGE, ben.path))
    swapped = assembled(parts | {"public": anna.blob})
    assert not stock_accepts(MESSAGE, swapped, allowed)
    for signers in (allowed, None):
        with pytest.raises(VerificationError, match="does not fit"):
            check(MESSAGE, swapped, signers)


# what is tampered with: a change of the parts, whether ssh-keygen (9.2) accepts it, what we say
TAMPERINGS: dict[str, tuple[Callable[[dict[str, bytes]], bytes], bool, str]] = {
    "none": (assembled, True, ""),
    "magic": (lambda p: assembled(p | {"magic": b"SSHSIH"}), False, "version 1"),
    "version 2": (lambda p: assembled(p | {"version": b"\0\0\0\2"}), False, "version 1"),
    "version 0": (lambda p: assembled(p | {"version": b"\0\0\0\0"}), True, "version 1"),
    "reserved": (lambda p: assembled(p | {"reserved": b"x"}), True, "reserved"),
    "no namespace": (lambda p: assembled(p | {"namespace": b""}), False, "namespace"),
    "namespace with NUL": (lambda p: assembled(p | {"namespace": b"auditkit\0"}), True, "namespace"),
    "sha256 instead": (lambda p: assembled(p | {"hash": b"sha256"}), False, "does not fit"),
    "md5": (lambda p: assembled(p | {"hash": b"md5"}), False, "'md5' is neither"),
    "no hash": (lambda p: assembled(p | {"hash": b""}), False, "'' is neither"),
    "SHA512": (lambda p: assembled(p | {"hash": b"SHA512"}), False, "'SHA512' is neither"),
    "trailing": (lambda p: assembled(p, behind=b"\0"), False, "goes on behind its end"),
    "trailing field": (lambda p: assembled(p, behind=field(b"")), False, "goes on behind its end"),
    "rsa key": (lambda p: assembled(p | {"public": field(b"ssh-rsa") + field(b"\1")}), False, "'ssh-rsa'"),
    "key of 31": (
        lambda p: assembled(p | {"public": p["public"][:15] + field(bytes(31))}), False, "has 31 bytes",
    ),
    "key and more": (lambda p: assembled(p | {"public": p["public"] + b"\0"}), False, "goes on behind"),
    "empty key": (lambda p: assembled(p | {"public": b""}), False, "cut off"),
    "63 bytes": (
        lambda p: assembled(p | {"signature": p["signature"][:15] + field(p["signature"][-64:-1])}),
        False, "does not fit",
    ),
    "65 bytes": (
        lambda p: assembled(p | {"signature": p["signature"][:15] + field(p["signature"][-64:] + b"\0")}),
        False, "does not fit",
    ),
    "rsa signature": (
        lambda p: assembled(p | {"signature": field(b"rsa-sha2-512") + field(bytes(64))}),
        False, "'rsa-sha2-512'",
    ),
    "signature and more": (
        lambda p: assembled(p | {"signature": p["signature"] + b"\0"}), False, "goes on behind its end",
    ),
    "empty signature": (lambda p: assembled(p | {"signature": b""}), False, "cut off"),
    "length of 4 GB": (lambda p: armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff" + p["public"]), False, "cut off"),
    "magic alone": (lambda p: armored(b"SSHSIG"), False, "cut off"),
    "half": (lambda p: armored(blob_of(assembled(p))[:90]), False, "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_whatever_part_is_changed_is_refused_and_named(anna: Key, allowed: Path, name: str) -> None:
    change, stock, says = TAMPERINGS[name]
    changed = change(pieces(sign(MESSAGE, anna.path)))
    assert stock_accepts(MESSAGE, changed, allowed) == stock
    if not says:
        assert check(MESSAGE, changed, allowed).trusted
        return
    for signers in (allowed, None):
        with pytest.raises(VerificationError, match=says):
            check(MESSAGE, changed, signers)


def test_signed_parts_that_the_format_forbids_are_refused(anna: Key, allowed: Path) -> None:
    secret = signing_key(anna.path)
    assert signed_by(secret, MESSAGE) == sign(MESSAGE, anna.path)
    for forbidden in (
        signed_by(secret, MESSAGE, reserved=b"x"),
        signed_by(secret, MESSAGE, hash_name="md5"),
        signed_by(secret, MESSAGE, namespace=b""),
        signed_by(secret, MESSAGE, namespace=b"auditkit\0"),
    ):
        assert not stock_accepts(MESSAGE, forbidden, allowed)
        assert not accepts(MESSAGE, forbidden, allowed)


def test_the_second_form_of_the_same_signature_is_refused(anna: Key, allowed: Path) -> None:
    # RFC 8032, section 8.4: who does not check that S is below the order accepts S + order as well
    parts = pieces(sign(MESSAGE, anna.path))
    r, s = parts["signature"][-64:-32], int.from_bytes(parts["signature"][-32:], "little")
    other = field(b"ssh-ed25519") + field(r + (s + ORDER).to_bytes(32, "little"))
    assert not accepts(MESSAGE, assembled(parts | {"signature": other}), allowed)


ARMORS: dict[str, tuple[Callable[[bytes], bytes], bool, bool]] = {  # change, ssh-keygen's verdict, ours
    "none": (lambda s: s, True, True),
    "64 columns": (lambda s: armored(blob_of(s), 64), True, True),
    "76 columns": (lambda s: armored(blob_of(s), 76), True, True),
    "one line": (lambda s: armored(blob_of(s), 10_000), True, True),
    "one digit a line": (lambda s: armored(blob_of(s), 1), True, True),
    "no last line end": (lambda s: s[:-1], True, True),
    "two last line ends": (lambda s: s + b"\n", True, False),
    "behind it": (lambda s: s + b"and more", True, False),
    "twice": (lambda s: s + s, True, False),
    "a blank line": (lambda s: s.replace(b"\n", b"\n\n", 1), True, False),
    "a blank": (lambda s: s.replace(b"\nU1", b"\nU 1"), True, False),
    "blank at the end": (lambda s: s.replace(b"\n-----END", b" \n-----END"), True, False),
    "line ends of Windows": (lambda s: s.replace(b"\n", b"\r\n"), False, False),
    "line ends of Windows inside": (
        lambda s: BEGIN + s.removeprefix(BEGIN).replace(b"\n", b"\r\n").rstrip(), True, False,
    ),
    "before it": (lambda s: b"\n" + s, False, False),
    "byte order mark": (lambda s: b"\xef\xbb\xbf" + s, False, False),
    "other header": (lambda s: s.replace(b"SSH", b"PGP"), False, False),
    "no footer": (lambda s: s.removesuffix(END), False, False),
    "no header": (lambda s: s.removeprefix(BEGIN), False, False),
    "no padding": (lambda s: s.replace(b"=", b""), False, False),
    "padding in between": (lambda s: s.replace(b"U1", b"U1==", 1), False, False),
    "more padding": (lambda s: s.replace(b"==", b"===="), False, False),
    "no base64": (lambda s: s.replace(b"U1", b"U-"), False, False),
    "URL base64": (lambda s: s.replace(b"/", b"_").replace(b"+", b"-"), False, False),
    "empty": (lambda s: b"", False, False),
    "nothing inside": (lambda s: BEGIN + END, False, False),
    "NUL": (lambda s: s.replace(b"U1", b"U1\0"), False, False),
}  # fmt: skip


@pytest.mark.parametrize("name", ARMORS)
def test_the_armor_is_taken_no_wider_than_ssh_keygen_takes_it(anna: Key, allowed: Path, name: str) -> None:
    change, stock, ours = ARMORS[name]
    message = next(  # with both kinds of digits that differ in URLs, and two of padding
        m for m in (b"%d" % n for n in range(1000)) if {43, 47} <= set(sign(m, anna.path))
    )
    changed = change(sign(message, anna.path))
    assert stock_accepts(message, changed, allowed) == stock
    assert accepts(message, changed, allowed) == ours
    assert stock >= ours


def test_stray_bits_in_the_last_base64_digit_are_refused(anna: Key, allowed: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    match = re.search(rb"(.)==\n-", signature)
    assert match is not None
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for bits in range(1, 16):
        stray = digits[digits.index(match[1]) | bits : (digits.index(match[1]) | bits) + 1]
        changed = signature[: match.start()] + stray + signature[match.start() + 1 :]
        assert blob_of(changed) == blob_of(signature)
        assert not accepts(MESSAGE, changed, allowed)


def test_a_signature_over_64_kib_is_not_looked_at(anna: Key) -> None:
    secret = signing_key(anna.path)
    long = signed_by(secret, MESSAGE, namespace=b"n" * 40_000)
    longer = signed_by(secret, MESSAGE, namespace=b"n" * 50_000)
    assert len(long) < 1 << 16 < len(longer)
    assert accepts(MESSAGE, long, None, namespace="n" * 40_000)
    assert not accepts(MESSAGE, longer, None, namespace="n" * 50_000)
    started = time.perf_counter()
    assert not accepts(MESSAGE, BEGIN + b"A" * 50_000_000, None)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_signature_of_another_kind_of_key_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    key = Key(tmp_path / "key", kind)
    allowed = key.allowed(tmp_path / "allowed")
    signature = key.sign(MESSAGE)
    assert stock_accepts(MESSAGE, signature, allowed)
    with pytest.raises(
        VerificationError, match=r"of type '(ssh-rsa|ecdsa-sha2-nistp256)', not 'ssh-ed25519'"
    ):
        check(MESSAGE, signature, allowed)


def test_an_error_carries_one_problem_with_the_path_that_was_given(anna: Key, allowed: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        check(b"other", sign(MESSAGE, anna.path), allowed, name="bag/tagmanifest-sha256.txt.sig")
    (problem,) = caught.value.problems
    assert (problem.kind, problem.path) == ("signature", "bag/tagmanifest-sha256.txt.sig")
    assert str(caught.value).startswith(f"bag/tagmanifest-sha256.txt.sig: {problem.detail}. ")
    assert problem.detail == "it does not fit what it should vouch for: one of the two was changed"


def test_what_a_signature_says_of_itself_is_shown_short_and_harmless(anna: Key) -> None:
    secret = signing_key(anna.path)
    hostile = b"\x1b]0;owned\x07\r\n\xe2\x80\xae" + b"x" * 10_000
    for signature in (
        signed_by(secret, MESSAGE, namespace=hostile),
        signed_by(secret, MESSAGE, hash_name="x", hash=hostile),
        signed_by(secret, MESSAGE, public=field(hostile)),
        signed_by(secret, MESSAGE, signature=field(hostile) + field(b"")),
    ):
        with pytest.raises(VerificationError) as caught:
            check(MESSAGE, signature, None)
        assert str(caught.value).isascii()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


# --- hostile signatures ---------------------------------------------------------------------------------


def naive_parse(blob: bytes) -> list[bytes]:
    """Reads the fields of a signature as they come, without asking whether they are there."""
    found, at = [], 10
    for _ in range(5):
        (size,) = struct.unpack_from(">I", blob, at)
        found.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    found[1].decode("ascii")
    return found


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes after one to four changes of the kinds that parsers fall over."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0:
                changed[at : at + 1] = draw.randbytes(1)
            case 1:
                del changed[at : at + draw.randint(1, 40)]
            case 2:
                changed[at:at] = draw.randbytes(draw.randint(1, 8))
            case 3:
                changed[at : at + 4] = struct.pack(">I", draw.choice([0, 1, 2**31, 2**32 - 1, len(data)]))
            case 4:
                changed[at:at] = changed[draw.randrange(len(changed) + 1) :][:50]
            case 5:
                changed[at : at + 1] = draw.choice([b"", b"\0", b"=", b"\n", b"-----", b"\xff"])
    return bytes(changed)


def test_a_malformed_signature_is_always_a_verification_error(anna: Key, allowed: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    draw = random.Random(11)
    refused = naive_failed = 0
    for number in range(6000):
        inside = number % 2 == 0
        changed = armored(mutated(blob_of(signature), draw)) if inside else mutated(signature, draw)
        if changed in (signature, signature[:-1]):
            continue
        try:
            check(MESSAGE, changed, allowed)
        except VerificationError:
            refused += 1
        else:
            assert re.sub(rb"\s", b"", changed) == re.sub(rb"\s", b"", signature)
        if inside:
            try:
                naive_parse(blob_of(changed))
            except Exception:
                naive_failed += 1
    assert refused > 5900
    assert naive_failed > 500


def test_random_bytes_are_always_a_verification_error() -> None:
    draw = random.Random(12)
    for _ in range(2000):
        data = draw.randbytes(draw.randrange(300))
        for signature in (data, armored(data), armored(b"SSHSIG\0\0\0\1" + data), BEGIN + data + END):
            assert not accepts(b"", signature, None)


# --- who may sign: the file -----------------------------------------------------------------------------

GOOD, REFUSED, BROKEN = "accepted", "refused", "cannot be read"

# the file, what comes of it, the identities; KEY is Anna's key, OTHER that of Ben, RSA one of another kind
LISTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "one line": (f"{ANNA} KEY\n", GOOD, (ANNA,)),
    "no line end": (f"{ANNA} KEY", GOOD, (ANNA,)),
    "with a comment": (f"{ANNA} KEY laptop, 2024 \"x\n", GOOD, (ANNA,)),
    "several identities": (f"{ANNA},{BEN} KEY\n", GOOD, (ANNA, BEN)),
    "blank lines and comments": (f"\n# KEY\n  \t\n\t# {BEN} KEY\n\n  {ANNA} KEY", GOOD, (ANNA,)),
    "tabs": (f"{ANNA}\t\tKEY\t", GOOD, (ANNA,)),
    "line ends of Windows": (f"# x\r\n{ANNA} KEY\r\n", GOOD, (ANNA,)),
    "among others": (f"{BEN} OTHER\nx RSA\n{ANNA} KEY\n", GOOD, (ANNA,)),
    "twice": (f"{ANNA} KEY\n{BEN} OTHER\n{BEN} KEY\n{ANNA} KEY\n", GOOD, (ANNA, BEN)),
    "quoted": ('"anna smith" KEY', GOOD, ("anna smith",)),
    "quoted with options": ('"anna smith,ben" namespaces="audit*" KEY', GOOD, ("anna smith", "ben")),
    "pattern": ("*@example.org,!ben@example.org KEY", GOOD, ("*@example.org", "!ben@example.org")),
    "not ASCII": ("änna KEY", GOOD, ("änna",)),
    "hash in it": ("a#b KEY", GOOD, ("a#b",)),
    "empty": ("", REFUSED, ()),
    "comments alone": ("# nobody\n", REFUSED, ()),
    "another key": (f"{ANNA} OTHER\n", REFUSED, ()),
    "another kind of key": (f"{ANNA} RSA\n", REFUSED, ()),
    "in a comment": (f"#{ANNA} KEY\n", REFUSED, ()),
    "nobody but not Ben": ("!ben@example.org KEY", REFUSED, ()),
    "everybody and nobody": ("anna,!* KEY", REFUSED, ()),
    "authority": (f"{ANNA} cert-authority KEY", REFUSED, ()),
    "authority and namespaces": (f'{ANNA} CERT-authority,namespaces="*" KEY', REFUSED, ()),
    "authority and plain": (f"{BEN} cert-authority KEY\n{ANNA} KEY", GOOD, (ANNA,)),
    "namespace": (f'{ANNA} namespaces="auditkit" KEY', GOOD, (ANNA,)),
    "namespaces": (f'{ANNA} Namespaces="file,auditkit,git" KEY', GOOD, (ANNA,)),
    "namespace pattern": (f'{ANNA} namespaces="a?d*k?t*" KEY', GOOD, (ANNA,)),
    "all namespaces": (f'{ANNA} namespaces="***" KEY', GOOD, (ANNA,)),
    "another namespace": (f'{ANNA} namespaces="file" KEY', REFUSED, ()),
    "namespace in capitals": (f'{ANNA} namespaces="AUDITKIT" KEY', REFUSED, ()),
    "part of a namespace": (f'{ANNA} namespaces="audit" KEY', REFUSED, ()),
    "more than the namespace": (f'{ANNA} namespaces="auditkit?" KEY', REFUSED, ()),
    "set of letters": (f'{ANNA} namespaces="[a]uditkit" KEY', REFUSED, ()),
    "not this namespace": (f'{ANNA} namespaces="*,!audit*" KEY', REFUSED, ()),
    "not this one, first": (f'{ANNA} namespaces="!auditkit,*" KEY', REFUSED, ()),
    "not another one": (f'{ANNA} namespaces="!file,audit*" KEY', GOOD, (ANNA,)),
    "no namespace": (f'{ANNA} namespaces="" KEY', REFUSED, ()),
    "blank in namespaces": (f'{ANNA} namespaces="file, auditkit" KEY', REFUSED, ()),
    "quote in namespaces": (f'{ANNA} namespaces="a\\"b,auditkit" KEY', GOOD, (ANNA,)),
    "backslash in namespaces": (f'{ANNA} namespaces="a\\b,auditkit" KEY', GOOD, (ANNA,)),
    "two backslashes": (f'{ANNA} namespaces="a\\\\",auditkit" KEY', GOOD, (ANNA,)),
    "one of two allows": (f'{BEN} namespaces="file" KEY\n{ANNA} KEY', GOOD, (ANNA,)),
    "two options": (f'{ANNA} namespaces="auditkit",valid-after="20200101" KEY', GOOD, (ANNA,)),
    "no key": (f"{ANNA}\n", BROKEN, ()),
    "no key with a blank": (f"{ANNA} \n", BROKEN, ()),
    "no base64": (f"{ANNA} ssh-ed25519\n", BROKEN, ()),
    "key alone": ("KEY\n", BROKEN, ()),
    "no identity": (",, KEY\n", BROKEN, ()),
    "empty identity": (f"{ANNA}, KEY\n", BROKEN, ()),
    "invisible": (f"\ufeff{ANNA} KEY", BROKEN, ()),
    "turned around": (f"{ANNA}\u202e KEY", BROKEN, ()),
    "open quote": (f'"{ANNA} KEY', BROKEN, ()),
    "quote inside": ('an"na" KEY', BROKEN, ()),
    "unknown option": (f"{ANNA} no-touch-required KEY", BROKEN, ()),
    "unknown option beside": (f"{ANNA} cert-authority,verify KEY", BROKEN, ()),
    "no quotes": (f"{ANNA} namespaces=auditkit KEY", BROKEN, ()),
    "open option": (f'{ANNA} namespaces="auditkit KEY', BROKEN, ()),
    "comma at the end": (f'{ANNA} namespaces="auditkit", KEY', BROKEN, ()),
    "blank between options": (f'{ANNA} namespaces="auditkit", valid-after="20200101" KEY', BROKEN, ()),
    "option twice": (f'{ANNA} namespaces="auditkit",NAMESPACES="*" KEY', BROKEN, ()),
    "authority twice": (f"{ANNA} cert-authority,cert-authority KEY", BROKEN, ()),
    "option and no key": (f"{ANNA} cert-authority", BROKEN, ()),
    "letters that look alike": (f'{ANNA} name\u017fpaces="auditkit" KEY', BROKEN, ()),
    "long namespaces": (f'{ANNA} namespaces="auditkit,{"x" * 1000}" KEY', BROKEN, ()),
    "long identities": (f'{ANNA},{"x" * 1000} KEY', BROKEN, ()),
    "key of the wrong type": (f"{ANNA} ssh-rsa BASE64", BROKEN, ()),
    "unknown type": (f"{ANNA} ssh-new BASE64", BROKEN, ()),
    "stray bits": (f"{ANNA} ssh-ed25519 STRAY", BROKEN, ()),
    "short key": (f"{ANNA} ssh-ed25519 SHORT", BROKEN, ()),
    "longer key": (f"{ANNA} ssh-ed25519 LONGER", BROKEN, ()),
    "damaged key": (f"{ANNA} ssh-ed25519 AAAA", BROKEN, ()),
    "one digit": (f"{ANNA} ssh-ed25519 A", BROKEN, ()),
    "empty key": (f"{ANNA} ssh-ed25519 =", BROKEN, ()),
    "NUL in an option": (f'{ANNA} namespaces="auditkit,a\0b" KEY', BROKEN, ()),
    "NUL in a key": (f"{ANNA} KEY\0", BROKEN, ()),
    "NUL in an identity": (f"{ANNA}\0 KEY", BROKEN, ()),
    "no blank before the key": (f'{ANNA} namespaces="auditkit"KEY', BROKEN, ()),
    "NUL in comments": (f"# \0\n{ANNA} KEY x\0y", GOOD, (ANNA,)),
    "damage elsewhere": (f"{ANNA} KEY\n{BEN} nonsense\n", BROKEN, ()),
}  # fmt: skip


def listed(text: str, anna: Key, ben: Key) -> bytes:
    rsa = field(b"ssh-rsa") + field(b"\1\0\1") + field(b"\0" + b"\xc5" * 256)
    digits = anna.public.split()[1]
    point = anna.blob[-32:]
    replacements = {
        "KEY": anna.public,
        "OTHER": ben.public,
        "RSA": "ssh-rsa " + base64.b64encode(rsa).decode(),
        "BASE64": digits,
        "STRAY": base64.b64encode(anna.blob + b"\0").decode()[:-2] + "B=",
        "SHORT": base64.b64encode(field(b"ssh-ed25519") + field(point[:-1])).decode(),
        "LONGER": base64.b64encode(anna.blob + b"\0").decode(),
    }
    pattern = re.compile("|".join(replacements))
    return pattern.sub(lambda match: replacements[match[0]], text).encode()


def outcome(path: Path, signature: bytes, **options: Any) -> tuple[str, tuple[str, ...]]:
    try:
        signer = check(MESSAGE, signature, path, **options)
    except VerificationError:
        return REFUSED, ()
    except InvalidKeyError:
        return BROKEN, ()
    assert signer.trusted
    return GOOD, signer.identities


@pytest.mark.parametrize("name", LISTS)
def test_a_file_of_allowed_signers_is_understood_as_ssh_keygen_understands_it(
    anna: Key, ben: Key, tmp_path: Path, name: str
) -> None:
    text, expected, identities = LISTS[name]
    path = tmp_path / "allowed"
    path.write_bytes(listed(text, anna, ben))
    signature = sign(MESSAGE, anna.path)
    assert outcome(path, signature) == (expected, identities)
    accepted = [i for i in identities if stock_accepts(MESSAGE, signature, path, i)]
    if expected == GOOD:
        assert set(accepted) >= {i for i in identities if not i.startswith("!")}
    elif expected == REFUSED:
        assert not stock_accepts(MESSAGE, signature, path, ANNA)


def test_a_line_that_cannot_be_read_is_named_by_its_number(anna: Key, tmp_path: Path) -> None:
    path = tmp_path / "allowed"
    for content, number in (
        (b"nonsense", 1),
        (b"# x\n\n" + f"{ANNA} {anna.public}\n".encode() + b"ben ssh-ed25519 AAAA\n", 4),
        (f"{ANNA} {anna.public}\n".encode() + b"\xff\xfe ssh-ed25519 AAAA\n", 2),
        (f"{ANNA} {anna.public}\n".encode() * 500 + b"x y z\n", 501),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidKeyError, match=rf"^Line {number} of {re.escape(str(path))} ") as caught:
            read_allowed_signers(path)
        assert str(caught.value).isprintable()
    assert "Write: identities" in str(caught.value)


def test_a_quote_in_a_namespace_is_written_behind_a_backslash(anna: Key, tmp_path: Path) -> None:
    for written, namespace in (('a\\"b', 'a"b'), ("a\\b", "a\\b"), ('a\\\\"b', 'a\\"b'), ('\\"', '"')):
        path = anna.allowed(tmp_path / "allowed", f'{ANNA} namespaces="{written}" KEY')
        for asked in (namespace, written + "x", "ab", "a"):
            signature = sign(MESSAGE, anna.path, asked)
            expected = asked == namespace
            assert stock_accepts(MESSAGE, signature, path, namespace=asked) == expected
            assert accepts(MESSAGE, signature, path, namespace=asked) == expected


def test_an_option_that_is_not_known_is_said_to_be_one(anna: Key, tmp_path: Path) -> None:
    for options in ("cert-authority,verify", 'namespaces="a",restrict', 'valid-after="20200101"x'):
        path = anna.allowed(tmp_path / "allowed", f"{ANNA} {options} KEY")
        with pytest.raises(InvalidKeyError, match="an option other than cert-authority, namespaces="):
            read_allowed_signers(path)


def test_a_file_of_over_1_mib_is_refused(anna: Key, tmp_path: Path) -> None:
    path = tmp_path / "allowed"
    line = f"{ANNA} {anna.public}\n".encode()
    comment = b"#" + b"x" * 98 + b"\n"
    path.write_bytes(line + b"#" * ((1 << 20) - len(line)))
    assert outcome(path, sign(MESSAGE, anna.path)) == (GOOD, (ANNA,))
    path.write_bytes(line + b"#" * ((1 << 20) - len(line) + 1))
    with pytest.raises(InvalidKeyError, match="over 1 MiB"):
        read_allowed_signers(path)
    path.write_bytes(comment * 10_000 + line)
    assert [signer.line for signer in read_allowed_signers(path)] == [10_001]


def test_patterns_that_would_cost_another_matcher_years_cost_nothing(anna: Key, tmp_path: Path) -> None:
    path = anna.allowed(tmp_path / "allowed", f'{"*a" * 400}x namespaces="{"*a" * 400}x" KEY')
    started = time.perf_counter()
    assert not accepts(MESSAGE, sign(MESSAGE, anna.path, "a" * 200), path, namespace="a" * 200)
    assert time.perf_counter() - started < 2


def scribbled(text: str, draw: random.Random) -> str:
    """The text with one to three characters more, fewer or changed, of those that have a meaning here."""
    letters = list(text)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(letters) + 1)
        letters[at : at + draw.randint(0, 1)] = draw.choice(
            [[], list(draw.choice(' \t\r\n",!*?=\\#[]ax-_\0é'))]
        )
    return "".join(letters)


def naive_listed(text: bytes, public: str) -> bool:
    """Looks for a line that ends with the key."""
    return any(line.split()[-2:] == public.encode().split() for line in text.splitlines())


def test_whatever_file_of_allowed_signers_is_accepted_ssh_keygen_accepts_it(
    anna: Key, ben: Key, tmp_path: Path
) -> None:
    signature = sign(MESSAGE, anna.path)
    draw = random.Random(21)
    texts = [text for text, *_ in LISTS.values() if "KEY" in text]
    counts = {GOOD: 0, REFUSED: 0, BROKEN: 0}
    path = tmp_path / "allowed"
    naive_wrong = 0
    for _ in range(1000):
        path.write_bytes(listed(scribbled(draw.choice(texts), draw), anna, ben))
        kind, identities = outcome(path, signature)
        counts[kind] += 1
        asked = identities or (ANNA,)
        naive = naive_listed(path.read_bytes(), anna.public)
        if kind == GOOD or (naive and naive_wrong < 5):
            stock = any(stock_accepts(MESSAGE, signature, path, identity) for identity in asked)
            assert stock or kind != GOOD, path.read_bytes()
            naive_wrong += naive and not stock
    assert min(counts.values()) > 50, counts
    assert naive_wrong == 5


# --- who may sign: the time -----------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# the options, the time of checking in UTC, and whether the key is valid then
TIMES = [
    ('valid-after="20240115Z"', "2024-01-14T23:59:59", False),
    ('valid-after="20240115Z"', "2024-01-15T00:00:00", True),
    ('valid-after="202401151030Z"', "2024-01-15T10:29:59", False),
    ('valid-after="202401151030Z"', "2024-01-15T10:30:00", True),
    ('valid-after="20240115103015Z"', "2024-01-15T10:30:14", False),
    ('valid-after="20240115103015Z"', "2024-01-15T10:30:15", True),
    ('valid-before="20240115Z"', "2024-01-15T00:00:00", True),
    ('valid-before="20240115Z"', "2024-01-15T00:00:01", False),
    ('VALID-BEFORE="202401151030Z"', "2024-01-15T10:30:00", True),
    ('valid-before="202401151030Z"', "2024-01-15T10:30:01", False),
    ('valid-before="20240115103015Z"', "2024-01-15T10:30:15", True),
    ('valid-before="20240115103015Z"', "2024-01-15T10:30:16", False),
    ('valid-after="20240101Z",valid-before="20240201Z"', "2023-12-31T23:59:59", False),
    ('valid-after="20240101Z",valid-before="20240201Z"', "2024-01-15T00:00:00", True),
    ('valid-after="20240101Z",valid-before="20240201Z"', "2024-02-01T00:00:01", False),
    ('valid-after="20240229Z"', "2024-03-01T00:00:00", True),
    ('valid-before="20371231Z",namespaces="audit*"', "2024-01-15T00:00:00", True),
    ('valid-before="20371231Z",namespaces="file"', "2024-01-15T00:00:00", False),
]


@pytest.mark.parametrize(("options", "when", "valid"), TIMES)
def test_a_key_is_valid_from_the_first_second_to_the_last_as_for_ssh_keygen(
    anna: Key, tmp_path: Path, options: str, when: str, valid: bool
) -> None:
    path = anna.allowed(tmp_path / "allowed", f"{ANNA} {options} KEY")
    signature = sign(MESSAGE, anna.path)
    assert accepts(MESSAGE, signature, path, when=at(when)) == valid
    plain = re.sub("[-T:]", "", when) + "Z"
    assert stock_accepts(MESSAGE, signature, path, when=plain) == valid


BROKEN_TIMES = (
    "", "Z", "2024", "2024-01-15", "2024011", "202401151", "2024011510301", "20240115T1030",
    "20240115103015.5Z", "20240115+01", "20241301Z", "20240230Z", "20240132Z", "20240100Z", "202401152400Z",
    "202401151060Z", "20240115103060Z", "19700101Z", "19691231Z", "00010101Z", "00000101Z", "19000101",
    "\u0662\u0660\u0662\u0664\u0660\u0661\u0661\u0665Z", "20240115z", " 20240115", "20240115 ", "20240115UTC",
)  # fmt: skip


@pytest.mark.parametrize("name", ["valid-after", "valid-before"])
@pytest.mark.parametrize("text", BROKEN_TIMES)
def test_a_time_that_is_none_is_an_error_and_not_ignored(
    anna: Key, tmp_path: Path, name: str, text: str
) -> None:
    path = anna.allowed(tmp_path / "allowed", f'# times\n{ANNA} {name}="{text}" KEY')
    with pytest.raises(InvalidKeyError, match=r"^Line 2 .*is no time after 1970"):
        check(MESSAGE, sign(MESSAGE, anna.path), path)


def test_a_key_that_ends_before_it_begins_is_an_error(anna: Key, tmp_path: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    for before in ("20240115Z", "20240114Z"):
        options = f'valid-after="20240115Z",valid-before="{before}"'
        path = anna.allowed(tmp_path / "allowed", f"{ANNA} {options} KEY")
        assert outcome(path, signature) == (BROKEN, ())
        assert not stock_accepts(MESSAGE, signature, path, when="20240115Z")


def test_left_out_the_time_is_now(anna: Key, tmp_path: Path) -> None:
    signature = sign(MESSAGE, anna.path)
    for hours, options in (
        (-1, "valid-after"),
        (1, "valid-before"),
        (1, "valid-after"),
        (-1, "valid-before"),
    ):
        text = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y%m%d%H%M%SZ")
        path = anna.allowed(tmp_path / "allowed", f'{ANNA} {options}="{text}" KEY')
        expected = (hours < 0) == (options == "valid-after")
        assert accepts(MESSAGE, signature, path) == expected
        assert stock_accepts(MESSAGE, signature, path) == expected


def test_a_time_with_another_zone_is_the_same_moment_and_one_without_is_refused(
    anna: Key, tmp_path: Path
) -> None:
    path = anna.allowed(tmp_path / "allowed", f'{ANNA} valid-before="202401151030Z" KEY')
    signature = sign(MESSAGE, anna.path)
    zone = timezone(timedelta(hours=5, minutes=30))
    assert accepts(MESSAGE, signature, path, when=datetime(2024, 1, 15, 16, 0, tzinfo=zone))
    assert not accepts(MESSAGE, signature, path, when=datetime(2024, 1, 15, 16, 0, 0, 1, tzinfo=zone))
    with pytest.raises(InvalidOptionError, match="2024-01-15T10:30:00 has no time zone"):
        check(MESSAGE, signature, path, when=datetime(2024, 1, 15, 10, 30))


def test_every_line_of_the_key_that_does_not_allow_it_says_why(anna: Key, tmp_path: Path) -> None:
    text = (
        f'{ANNA} valid-before="20240101Z" KEY\n{BEN} valid-after="20250101Z" KEY\n'
        f'x namespaces="file" KEY\n!y KEY\nz cert-authority KEY\n'
    )
    path = anna.allowed(tmp_path / "allowed", text)
    with pytest.raises(VerificationError) as caught:
        check(MESSAGE, sign(MESSAGE, anna.path), path, when=at("2024-06-01T12:00:00"))
    assert caught.value.problems[0].detail == (
        f"the key {anna.fingerprint} that made it is not allowed by {path}: "
        "line 1 allows it until 2024-01-01T00:00:00Z, not at 2024-06-01T12:00:00Z; "
        "line 2 allows it from 2025-01-01T00:00:00Z on, not at 2024-06-01T12:00:00Z; "
        "line 3 allows it in namespaces 'file', not in 'auditkit'; "
        "line 4 allows nobody, for it names '!y'"
    )


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@linux
@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    "local", ["20240115", "20240715", "202407151200", "20240331023000", "20241027023000"]
)
def test_a_time_without_z_is_the_moment_that_it_is_for_ssh_keygen(
    anna: Key, tmp_path: Path, local: str
) -> None:
    path = anna.allowed(tmp_path / "allowed", f'{ANNA} valid-after="{local}" KEY')
    signature = sign(MESSAGE, anna.path)
    (signer,) = read_allowed_signers(path)
    assert signer.after is not None
    for seconds, valid in ((signer.after - 1, False), (signer.after, True)):
        moment = datetime.fromtimestamp(seconds, UTC)
        assert accepts(MESSAGE, signature, path, when=moment) == valid
        assert stock_accepts(MESSAGE, signature, path, when=moment.strftime("%Y%m%d%H%M%SZ")) == valid
