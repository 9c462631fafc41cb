"""Files that only their recipients can read: the age format, streamed through pyrage."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from auditkit.apart import Apart, Pipe
from auditkit.errors import InvalidOptionError, MissingExtraError

_PIECE_BYTES = 1 << 18
_SSH_KINDS = ("ssh-ed25519", "ssh-rsa")
_SECRETS = ("age-secret-key-", "age-plugin-", "private key-----")
_WANTED = "age1…, ssh-ed25519 …, ssh-rsa … or the path of a file with one such a line"


def age() -> Any:
    """The library that speaks age.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pyrage
    except ModuleNotFoundError:
        raise MissingExtraError(
            "Encryption needs pyrage. Install it with: pip install 'auditkit[evidence]'"
        ) from None
    return pyrage


def recipients_of(
    encrypt_to: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[str, ...]:
    """The recipients that are meant, each once, as the text of its public key.

    Parameters
    ----------
    encrypt_to : str, path, or several
        A text that begins with `age1` or `ssh-` is a recipient. Anything else is the path of a file with
        one recipient a line, where `#` begins a comment.

    Raises
    ------
    InvalidOptionError
        If there is none, or something is neither a recipient nor a file of recipients.
    MissingExtraError
        If pyrage is not installed.
    OSError
        If a file cannot be read.
    """
    given = [encrypt_to] if isinstance(encrypt_to, str | os.PathLike) else encrypt_to
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray):
        raise InvalidOptionError(f"encrypt_to={encrypt_to!r} is no recipient. Give {_WANTED}.")
    found = dict.fromkeys(text for one in given for text in _recipients_in(one))
    if not found:
        raise InvalidOptionError(f"encrypt_to names no recipient. Give {_WANTED}.")
    return tuple(found)


class Sealer:
    """A stream of plain bytes on its way into the age format.

    pyrage pulls its bytes from a reader, so it runs in a thread of its own, which starts with the first
    bytes. What `put` raises comes out of the next `write`, or of `close`, as it was raised: pyrage itself
    would turn it into an error of its own, or drop it if it is raised over the last bytes.

    Parameters
    ----------
    put : callable
        Is given the encrypted bytes, in order, one piece at a time.
    recipients : iterable of str
        As `recipients_of` gives them.
    """

    def __init__(self, put: Callable[[bytes], object], recipients: Iterable[str]):
        self._encrypt = age().encrypt_io
        self._keys = [_public_key(text) for text in recipients]
        self._buffer = bytearray()
        self._pipe = Pipe()
        self._outlet = Outlet(put)
        self._work: Apart | None = None
        self._open = True
        self._error: BaseException | None = None

    def write(self, data: Any) -> None:
        """Take some plain bytes."""
        self._check()
        try:
            with memoryview(data) as whole, whole.cast("B") as view:
                for start in range(0, len(view), _PIECE_BYTES):
                    self._buffer += view[start : start + _PIECE_BYTES]
                    if len(self._buffer) >= _PIECE_BYTES:
                        self._hand_over()
        except BaseException as error:
            self._fail(error)
            raise

    def close(self) -> None:
        """End the stream; every encrypted byte has been given to `put`."""
        if self._open and self._error is None:
            try:
                self._hand_over()
                self._pipe.end()
                self._finish()
            except BaseException as error:
                self._fail(error)
                raise
        if self._error is not None:
            self.abort()
            raise self._error

    def abort(self) -> None:
        """Stop without an end, whatever the state; once it is closed or aborted, nothing."""
        if self._open:
            self._fail(ValueError("The stream was aborted. Make another one."))
            self._pipe.break_off()
            self._finish()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if not self._open:
            raise ValueError("The stream is closed. Make another one.")

    def _hand_over(self) -> None:
        if self._work is None:
            self._work = Apart(self._seal, "auditkit-sealer")
        piece, self._buffer = self._buffer, bytearray()
        self._pipe.put(piece)

    def _finish(self) -> None:
        if self._work is not None:
            self._work.wait()
            self._fail(self._work.failure)
        self._open = False

    def _fail(self, error: BaseException | None) -> None:
        """Keep the first error: a stream with a hole in it must not end well."""
        self._error = self._error or error

    def _seal(self) -> None:
        try:
            self._encrypt(_PipeReader(self._pipe), self._outlet, self._keys)
        finally:
            self._fail(self._outlet.error)
            self._pipe.break_off()


class Outlet:
    """The writer that pyrage wants, made of a callable; it keeps the first error, for pyrage does not."""

    def __init__(self, put: Callable[[bytes], object]):
        self._put = put
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Hand on all of it; never behind a hole."""
        if self.error is None:
            try:
                self._put(data)
            except BaseException as error:
                self.error = error
        if self.error is not None:
            raise BrokenPipeError("broken off")  # over an InterruptedError it would try again for ever
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""


class _PipeReader:
    """The reader that pyrage wants, made of a pipe."""

    def __init__(self, pipe: Pipe):
        self._pipe = pipe
        self._piece: memoryview | None = memoryview(b"")

    def read(self, size: int) -> bytes:
        while self._piece is not None and not self._piece:
            piece = self._pipe.take()
            self._piece = None if piece is None else memoryview(piece)
        if self._piece is None:
            return b""
        taken, self._piece = self._piece[:size], self._piece[size:]
        return bytes(taken)


def _recipients_in(given: Any) -> list[str]:
    if isinstance(given, str) and _is_public(given):
        return [_checked(given, repr(_shortened(given.strip())))]
    if not isinstance(given, str | os.PathLike):
        raise InvalidOptionError(f"{given!r} is no recipient. Give {_WANTED}.")
    _refuse_secret(os.fspath(given), "encrypt_to")
    path = Path(given)
    if isinstance(given, str) and not (given.strip() and path.exists()):
        raise InvalidOptionError(
            f"{_shortened(given)!r} is neither a recipient nor a file of recipients. Give {_WANTED}."
        )
    return _recipients_of_file(path)


def _recipients_of_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InvalidOptionError(f"{path} is no file of recipients. Give {_WANTED}.") from None
    found = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            _refuse_secret(line, f"{path}, line {number},")
            found.append(_checked(line, f"Line {number} of {path}"))
    if not found:
        raise InvalidOptionError(f"{path} names no recipient. Put one on each line: age1… or ssh-….")
    return found


def _is_public(text: str) -> bool:
    return text.strip().casefold().startswith(("age1", "ssh-"))


def _checked(text: str, name: str) -> str:
    """The recipient without its comment, once something could be encrypted to it."""
    words = text.split()
    plain = " ".join(words[:2]) if words[0] in _SSH_KINDS else text.strip()
    try:
        age().encrypt_io(io.BytesIO(), io.BytesIO(), [_public_key(plain)])
    except (KeyboardInterrupt, SystemExit, MissingExtraError):
        raise
    except BaseException:  # some keys are refused by a panic of Rust, which is no Exception
        raise InvalidOptionError(f"{name} is no recipient that age can encrypt to. Give {_WANTED}.") from None
    return plain


def _public_key(text: str) -> Any:
    library = age()
    return (library.ssh if text.startswith("ssh-") else library.x25519).Recipient.from_str(text)


def _refuse_secret(text: str, place: str) -> None:
    if any(mark in text.casefold() for mark in _SECRETS):
        raise InvalidOptionError(
            f"{place} holds a secret key, which is not for encrypting. Give the public one: age1… or ssh-…."
        )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
