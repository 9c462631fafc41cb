"""Encrypted files made readable again: whole and authentic, or not at all."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from auditkit.apart import Apart
from auditkit.disk import named_errors
from auditkit.errors import DecryptionError, ExportExistsError, InvalidKeyError, InvalidOptionError
from auditkit.formats.base import Sink
from auditkit.protect.encryption import Outlet, age
from auditkit.protect.keys import read_secret
from auditkit.publish import Draft, publish

_SUFFIX = ".age"
_PIECE_BYTES = 1 << 20
_BEGINNINGS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_SECRET_KEY = "age-secret-key-"
_WANTED = "Give a file with AGE-SECRET-KEY-1… lines, or an OpenSSH private key without a passphrase"


def decrypt_export(
    path: str | os.PathLike[str],
    identity: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
) -> Path:
    """The path of the decrypted file, which is written once all of it has proved authentic.

    Parameters
    ----------
    path : path
        An encrypted export, or any other file in the age format.
    identity : path
        The secret key of one of its recipients: an age identity file, or an OpenSSH private key without
        a passphrase. Nobody but its owner may be able to read it.
    output : path, optional
        Where to write; left out, `path` without its `.age`. What stands there is never replaced: the same
        bytes are left as they are, other ones are refused.

    Raises
    ------
    DecryptionError
        If it is no age file, is damaged or cut off, or was not encrypted for this key. Nothing is
        written then.
    InvalidKeyError
        If `identity` holds no usable key, or others may read it.
    InvalidOptionError
        If `output` is left out and `path` does not end in `.age`.
    ExportExistsError
        If other bytes stand at `output`.
    MissingExtraError
        If pyrage is not installed.
    OSError
        If something cannot be read or written.

    Examples
    --------
    >>> import auditkit as ak
    >>> key = ak.make_key(folder / "reader", "encrypt")
    >>> sealed = ak.export_audit_run(
    ...     "run-001", "csv", source="sample_data/runs", output_dir=folder, encrypt_to=key.public_text
    ... )
    >>> ak.decrypt_export(sealed, key.secret).name
    'audit-run-run-001-2024-01-15.csv'
    """
    source = Path(path)
    target = _target(source) if output is None else Path(output)
    identities = identities_in(identity)
    _refuse_other_files(source)
    write = partial(_decrypt, source, identities, os.fspath(identity))
    (outcome,) = publish([Draft(folder=target.parent, name=target.name, write=write)], if_exists="error")
    if isinstance(outcome, ExportExistsError):
        raise ExportExistsError(errno.EEXIST, "A file of that name has other bytes", str(target)) from None
    if isinstance(outcome, Exception):
        raise outcome
    return Path(outcome.path)


def identities_in(path: str | os.PathLike[str]) -> list[Any]:
    """The secret keys in an identity file.

    Raises
    ------
    InvalidKeyError
        If there is none, one is broken or locked by a passphrase, or others may read the file.
    """
    name = os.fspath(path)
    if _SECRET_KEY in name.casefold():
        raise InvalidKeyError(
            "A secret key was given as it is. Give the path of a file that holds it, readable by you alone."
        )
    secret = read_secret(path)
    if secret.lstrip().startswith(b"-----BEGIN"):
        return [_ssh_identity(secret, name)]
    found = []
    for number, line in enumerate(secret.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            found.append(_identity(text, f"Line {number} of {name}"))
    if not found:
        raise InvalidKeyError(f"{name} holds no secret key. {_WANTED}.")
    return found


def _identity(line: bytes, place: str) -> Any:
    library = age()
    try:
        return library.x25519.Identity.from_str(line.decode("ascii"))
    except (library.IdentityError, UnicodeDecodeError):
        raise InvalidKeyError(f"{place} is no secret key of age. {_WANTED}.") from None


def _ssh_identity(secret: bytes, name: str) -> Any:
    library = age()
    try:
        return library.ssh.Identity.from_buffer(secret)
    except library.IdentityError as error:
        raise InvalidKeyError(f"{name} is no key that age can use ({error}). {_WANTED}.") from None


def _target(path: Path) -> Path:
    if not path.name.endswith(_SUFFIX) or path.name == _SUFFIX:
        raise InvalidOptionError(
            f"{path} does not end in {_SUFFIX}. Give the file to write (output=, --output)."
        )
    return path.with_name(path.name.removesuffix(_SUFFIX))


def _refuse_other_files(path: Path) -> None:
    """Refuse at once what would be searched to its end for a header."""
    with path.open("rb") as file, named_errors(path):
        head = file.read(64)
    if not head.startswith(_BEGINNINGS):
        raise DecryptionError(f"{path} is no age file. Give the encrypted file as it was written.")


def _decrypt(path: Path, identities: list[Any], identity: str, sink: Sink) -> None:
    """Write the plain bytes of a file."""
    library = age()
    with path.open("rb", buffering=_PIECE_BYTES) as file:
        reader, gathered = _FileReader(file, path), _Gathered(sink)
        writer = Outlet(gathered.take)
        work = Apart(partial(library.decrypt_io, reader, writer, identities), "auditkit-opener")
        try:
            work.wait()
        except BaseException:
            reader.stop()
            work.wait()
            raise
    failure, cause = work.failure, reader.error or writer.error
    if cause is not None:
        raise cause
    if isinstance(failure, library.DecryptError) and "No matching keys" in str(failure):
        raise DecryptionError(
            f"{path} was not encrypted for the key in {identity}, or its header is damaged. "
            "Give the key of one of its recipients."
        )
    if failure is not None:
        raise DecryptionError(
            f"{path} is damaged or cut off ({failure}), and nothing of it was written. Get it again, and "
            "compare its SHA-256 with that of its receipt."
        )
    gathered.pass_on()


class _FileReader:
    """The reader that pyrage wants, made of a file; it keeps the first error, for pyrage does not."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file = file
        self._path = path
        self._stopped = False
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        if not self._stopped and self.error is None:
            try:
                with named_errors(self._path):
                    return self._file.read(size)
            except BaseException as error:
                self.error = error
        raise BrokenPipeError("broken off")  # over an InterruptedError it would try again for ever

    def stop(self) -> None:
        self._stopped = True


class _Gathered:
    """Bytes on their way to a sink, in pieces of some size: pyrage gives them in crumbs."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._buffer = bytearray()

    def take(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _PIECE_BYTES:
            self.pass_on()

    def pass_on(self) -> None:
        piece, self._buffer = self._buffer, bytearray()
        self._sink.write(piece)
