"""Secret keys in files of their own: made for one purpose, read only where nobody else can use them."""

from __future__ import annotations

import base64
import errno
import hashlib
import importlib.util
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auditkit.disk import OWNER_ONLY, named_errors
from auditkit.errors import InvalidKeyError, InvalidOptionError, MissingExtraError
from auditkit.formats.base import Sink
from auditkit.publish import Draft, publish

Purpose = Literal["sign", "encrypt", "pseudonyms"]

_LARGEST_BYTES = 1 << 20
_OF_OTHERS, _FOR_EVERYONE = 0o077, 0o644
_SIGN_KIND, _COMMENT = "ssh-ed25519", "auditkit"

# not blocking, for a pipe that nobody fills would be waited for
_OPENING = (
    os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
)


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """A key that was made: its secret file, and the part that may be given away, if there is one."""

    secret: Path
    public: Path | None = None
    public_text: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """Of a key for signing its SHA-256 as ssh shows it."""
        if self.public_text is None or not self.public_text.startswith(_SIGN_KIND):
            return None
        return fingerprint(base64.b64decode(self.public_text.split()[1]))


def fingerprint(public: bytes) -> str:
    """The SHA-256 of a public key in its SSH encoding, as ssh shows it: `SHA256:…`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode("ascii").rstrip("=")


def read_secret(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a secret file that nobody but its owner can use.

    Who may use it is asked of the file that was opened, so that no other one is read. Windows keeps such
    rights elsewhere; they are not asked for there.

    Raises
    ------
    InvalidKeyError
        If group or others may read or change it, if it is no regular file, or holds over 1 MiB.
    OSError
        With the path, if it cannot be read.

    Examples
    --------
    >>> from auditkit.protect.keys import make_key, read_secret
    >>> key = make_key(folder / "pseudonyms.key", "pseudonyms")
    >>> len(read_secret(key.secret))
    65
    >>> key.secret.chmod(0o644)
    >>> read_secret(key.secret)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    auditkit.errors.InvalidKeyError: Others may use the secret key ...: its mode is 0644. ...
    """
    name = os.fspath(path)
    descriptor = os.open(path, _OPENING)
    try:
        _check_file(name, os.fstat(descriptor).st_mode)
        with named_errors(name), open(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST_BYTES + 1)  # whatever size it claims to have
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST_BYTES:
        raise InvalidKeyError(f"{name} holds over 1 MiB, and so no key. Give the file of the secret key.")
    return data


def make_key(path: str | os.PathLike[str], purpose: Purpose) -> KeyFiles:
    """The files of a new key: the secret at `path`, and what may be given away at `path` + `.pub`.

    The secret file has mode 0600, the public one 0644, and nothing is ever replaced.

    Parameters
    ----------
    path : path
        Of the secret file. Its folder is made where there is none, with mode 0700.
    purpose : {"sign", "encrypt", "pseudonyms"}
        "sign": an Ed25519 key in the OpenSSH format, without a passphrase. "encrypt": an age identity.
        "pseudonyms": 32 random bytes as hexadecimal digits, with no public part.

    Raises
    ------
    InvalidOptionError
        If `purpose` is none of these, or `path` names no file.
    FileExistsError
        With the path, if one of the files exists; nothing is written then.
    MissingExtraError
        If cryptography ("sign") or pyrage ("encrypt") is not installed.
    OSError
        With the path, if a file cannot be written; no other one is left behind.

    Examples
    --------
    >>> import auditkit as ak
    >>> key = ak.make_key(folder / "sign.key", "sign")
    >>> key.public.name, key.public_text.split()[0], len(key.fingerprint)
    ('sign.key.pub', 'ssh-ed25519', 50)
    """
    if purpose not in _MAKERS:
        raise InvalidOptionError(f"purpose={purpose!r} is none of {', '.join(_MAKERS)}. Give one of them.")
    secret = Path(path)
    if not secret.name or secret.name == "..":
        raise InvalidOptionError(f"{os.fspath(path)!r} names no file. Give the path of the file to be made.")
    public = secret.with_name(secret.name + ".pub")
    content, public_text = _MAKERS[purpose]()
    if public_text is None:
        _create(secret, content, OWNER_ONLY)
        return KeyFiles(secret=secret)
    _create(secret, content, OWNER_ONLY)
    try:
        _create(public, f"{public_text}\n".encode("ascii"), _FOR_EVERYONE)
    except BaseException:
        secret.unlink()
        raise
    return KeyFiles(secret=secret, public=public, public_text=public_text)


def require_cryptography() -> None:
    """Nothing, where the library that signs is installed.

    Raises
    ------
    MissingExtraError
        If it is not.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise MissingExtraError(
            "Signing needs cryptography. Install it with: pip install 'auditkit[evidence]'"
        )


def _check_file(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InvalidKeyError(f"{name} is no regular file. Give the file of the secret key.")
    if os.name != "nt" and mode & _OF_OTHERS:
        raise InvalidKeyError(
            f"Others may use the secret key {name}: its mode is {stat.S_IMODE(mode):04o}. "
            f"Run `chmod 600 {shlex.quote(name)}`, and take a new key if this one may have been read."
        )


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet: whole, synced, and never with a wider mode than its own."""

    def write(sink: Sink) -> None:
        sink.write(content)

    draft = Draft(folder=path.parent, name=path.name, write=write, mode=mode)
    (outcome,) = publish([draft], if_exists="error")
    if isinstance(outcome, FileExistsError):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if isinstance(outcome, Exception):
        raise outcome


def _signing_key() -> tuple[bytes, str]:
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return secret, f"{public.decode('ascii')} {_COMMENT}"


def _encrypting_key() -> tuple[bytes, str]:
    from auditkit.protect.encryption import age

    identity = age().x25519.Identity.generate()
    public = str(identity.to_public())
    return f"# public key: {public}\n{identity}\n".encode("ascii"), public


def _pseudonyms_key() -> tuple[bytes, None]:
    return f"{secrets.token_hex(32)}\n".encode("ascii"), None


_MAKERS: Mapping[str, Callable[[], tuple[bytes, str | None]]] = {
    "sign": _signing_key,
    "encrypt": _encrypting_key,
    "pseudonyms": _pseudonyms_key,
}
