"""A signed checkpoint: the head of an export log at some moment, to be kept where the log is not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import log_path
from auditkit.publish import Draft, publish

CHECKPOINT_NAME = "export-log.checkpoint"
SIGNATURE_SUFFIX = ".sig"
_TITLE = "auditkit export log"
_TEXT = re.compile(rf"{_TITLE}\n(?P<lines>[0-9]{{1,18}})\n(?P<head>[0-9a-f]{{64}})\n", re.ASCII)
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
        it, as `.sig`. An older checkpoint there is replaced.
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
    with ExportLog(path=place).opened() as log:
        lines, head = log.next_seq - 1, log.head
    text = f"{_TITLE}\n{lines}\n{head}\n".encode("ascii")
    target = place.with_name(CHECKPOINT_NAME) if path is None else Path(path)
    signature = signed(text, sign)
    for name, data in ((target.name, text), (target.name + SIGNATURE_SUFFIX, signature)):
        (outcome,) = publish([_draft(target.parent, name, data)], if_exists="replace")
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
            "Give allowed_signers=, a file of their public keys."
        )
    beside = path.with_name(path.name + SIGNATURE_SUFFIX)
    try:
        with beside.open("rb") as file:
            signature = file.read(_LARGEST)
    except FileNotFoundError:
        problem = Problem("signature", path.name, f"has no signature: {beside.name} is missing")
        raise VerificationError.of(str(path), [problem]) from None
    check(text, signature, allowed_signers, name=path.name)
    return match["head"]


def _draft(folder: Path, name: str, data: bytes) -> Draft:
    def write(sink: Any) -> None:
        sink.write(data)

    return Draft(folder=folder, name=name, write=write)
