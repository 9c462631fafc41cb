"""What vouches for the end of an export log: a head that was kept elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from auditkit.errors import InvalidOptionError
from auditkit.evidence.check import looks_like_bag, verify_bag
from auditkit.evidence.checkpoint import read_checkpoint

SHA256 = re.compile("[0-9a-f]{64}")


def anchor_head(anchor: Any, allowed_signers: Any) -> str:
    """The head that an anchor names: itself, or that of a receipt, a bag, a signed checkpoint.

    Raises
    ------
    InvalidOptionError
        If it is none of these.
    VerificationError
        If a bag is not as it was made, or a checkpoint not signed as it should be.
    """
    head = getattr(anchor, "log_head", anchor)
    if isinstance(head, str) and SHA256.fullmatch(head.lower()):
        return head.lower()
    try:
        path = Path(head)
    except TypeError:
        path = Path()
    if looks_like_bag(path):
        head = str(verify_bag(path, allowed_signers).log_head).lower()
        if SHA256.fullmatch(head):
            return head
    if path.is_file():
        return read_checkpoint(path, allowed_signers)
    raise InvalidOptionError(
        f"anchor={anchor!r} is no anchor. Give a head of the log (64 hexadecimal digits), a receipt, an "
        "evidence bag or a signed checkpoint."
    )
