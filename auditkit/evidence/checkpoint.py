"""A signed checkpoint: the head of an export log at some moment, to be kept where the log is not."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from auditkit.beside import small_file
from auditkit.errors import ExportExistsError, InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import log_path
from auditkit.publish import Draft, publish

CHECKPOINT_NAME = "export-log.checkpoint"
SIGNATURE_SUFFIX = ".sig"
_TITLE = "auditkit export log"
_TEXT = re.compile(rf"{_TITLE}\n(?P<lines>[0-9]{{1,18}})\n(?P<head>[0-9a-f]{{64}})\n", re.ASCII)
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n.*", re.DOTALL)
_LARGEST = 1 << 16


def export_checkpoint(
    output_dir: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    sign: str | os.PathLike[str],
) -> Path:
    """A signed file that says how many lines an export log has now, and what its head is.

    Keep it where whoever writes the log cannot change it: given to `verify_exports` as `anchor`, it tells
    whether the log was cut off or written anew since.

    Parameters
    ----------
    output_dir : path
        A folder of exports, or the log itself.
    path : path, optional
        Where to put it; left out, `export-log.checkpoint` beside the log. The signature stands beside
        it, as `.sig`. An older checkpoint there is replaced, and nothing else.
    sign : path
        An Ed25519 key, as `auditkit keygen` makes it.

    Returns
    -------
    Path
        Of the checkpoint: three lines, a title, the number of lines, the head.

    Raises
    ------
    FileNotFoundError
        If there is no log.
    InvalidKeyError
        If the key is none, or others may read it.
    ExportExistsError
        If something else stands at its place or that of its signature.

    Examples
    --------
    >>> import auditkit as ak
    >>> key = ak.make_key(folder / "key", "sign")
    >>> exports = folder / "exports"
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=exports)
    >>> checkpoint = ak.export_checkpoint(exports, folder / "kept", sign=key.secret)
    >>> checkpoint.read_text().splitlines()[2] == receipt.log_head
    True
    """
    from auditkit.protect.signatures import sign as signed

    place = log_path(output_dir)
    os.stat(place)
    target = place.with_name(CHECKPOINT_NAME) if path is None else Path(path)
    beside = target.with_name(target.name + SIGNATURE_SUFFIX)
    _refuse_other(target, _TEXT, "checkpoint")
    _refuse_other(beside, _ARMOR, "signature")
    with ExportLog(path=place).opened() as log:
        lines, head = log.next_seq - 1, log.head
    text = f"{_TITLE}\n{lines}\n{head}\n".encode("ascii")
    signature = signed(text, sign)
    for file, data in ((target, text), (beside, signature)):
        (outcome,) = publish([_draft(file, data)], if_exists="replace")
        if isinstance(outcome, Exception):
            raise outcome
    return target


def read_checkpoint(path: Path, allowed_signers: Any) -> str:
    """The head that a checkpoint names, once its signature is found right.

    Raises
    ------
    InvalidOptionError
        If nobody says whose signature counts.
    VerificationError
        If it is no checkpoint, or not signed by one of them.
    """
    from auditkit.protect.signatures import check

    with path.open("rb") as file:
        text = file.read(_LARGEST)
    match = _TEXT.fullmatch(text.decode("latin-1"))
    if match is None:
        problem = Problem("signature", path.name, "is no checkpoint of an export log")
        raise VerificationError.of(str(path), [problem])
    if allowed_signers is None:
        raise InvalidOptionError(
            f"The checkpoint {path} counts only with a signature of somebody you trust. "
            "Give allowed signers (allowed_signers=, --allowed-signers), a file of their public keys."
        )
    check(text, _signature_of(path), allowed_signers, name=path.name)
    return match["head"]


def _signature_of(path: Path) -> bytes:
    beside = path.with_name(path.name + SIGNATURE_SUFFIX)
    try:
        return small_file(beside, _LARGEST)
    except FileNotFoundError:
        why = "is missing"
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        why = "is no regular file"
    problem = Problem("signature", path.name, f"has no signature: {beside.name} {why}")
    raise VerificationError.of(str(path), [problem])


def _refuse_other(path: Path, form: re.Pattern[str], what: str) -> None:
    """Refuse a place where something stands that is not what would be put there."""
    try:
        data = small_file(path, _LARGEST)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        data = b""
    if not form.fullmatch(data.decode("latin-1")):
        why = f"It is no {what}, and was left alone (name another place: path=, --output)"
        raise ExportExistsError(errno.EEXIST, why, str(path))


def _draft(path: Path, data: bytes) -> Draft:
    def write(sink: Any) -> None:
        sink.write(data)

    return Draft(folder=path.parent, name=path.name, write=write)
