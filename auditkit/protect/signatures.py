"""Signatures that `ssh-keygen -Y verify` checks: made, and checked here just as strictly or more so."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.protect.keys import fingerprint, require_cryptography
from auditkit.protect.signers import read_allowed_signers
from auditkit.protect.ssh import ED25519, Fields, ed25519_point, from_base64, packed, shown, signing_key

NAMESPACE = "auditkit"

# PROTOCOL.sshsig of OpenSSH
_MAGIC, _VERSION = b"SSHSIG", 1
_HASHES = (b"sha512", b"sha256")
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_COLUMNS = 70
_LARGEST_BYTES = 1 << 16
_ARMOR = re.compile(_BEGIN + rb"\n(?P<body>(?:[A-Za-z0-9+/=]+\n)+)" + _END + rb"\n?")


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Who signed: the key, and who that is according to the file of allowed signers, if one was given."""

    fingerprint: str
    identities: tuple[str, ...] = ()
    trusted: bool = False


def sign(message: bytes, key_file: str | os.PathLike[str], namespace: str = NAMESPACE) -> bytes:
    """The signature of a message, as `ssh-keygen -Y sign` writes it: the same key, the same bytes.

    Parameters
    ----------
    message : bytes
        What is signed.
    key_file : path
        An Ed25519 key in the OpenSSH format without a passphrase, which nobody but its owner may use.
    namespace : str
        What the signature is for; for another purpose it does not hold. Printable ASCII.

    Raises
    ------
    InvalidKeyError
        If the file holds no such key, or others may use it.
    InvalidOptionError
        If the namespace is empty, or has other characters.
    MissingExtraError
        If cryptography is not installed.
    OSError
        With the path, if the file cannot be read.

    Examples
    --------
    >>> from auditkit.protect.keys import make_key
    >>> from auditkit.protect.signatures import check, sign
    >>> key = make_key(folder / "sign.key", "sign")
    >>> signature = sign(b"24 results", key.secret)
    >>> check(b"24 results", signature, None).fingerprint == key.fingerprint
    True
    >>> check(b"25 results", signature, None)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    auditkit.errors.VerificationError: signature: it does not fit ...
    """
    _check_namespace(namespace)
    key = signing_key(key_file)
    public = packed(ED25519, key.public_key().public_bytes_raw())
    signature = key.sign(_signed_data(message, namespace, _HASHES[0]))
    blob = _MAGIC + _VERSION.to_bytes(4, "big")
    blob += packed(public, namespace.encode("ascii"), b"", _HASHES[0], packed(ED25519, signature))
    text = base64.b64encode(blob)
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return b"\n".join([_BEGIN, *lines, _END, b""])


def check(
    message: bytes,
    signature: bytes,
    allowed_signers: str | os.PathLike[str] | None,
    *,
    namespace: str = NAMESPACE,
    when: datetime | None = None,
    name: str = "signature",
) -> Signer:
    """Who signed a message, once the signature has proved right.

    What is accepted here, `ssh-keygen -Y verify` accepts as well. The reverse does not hold: a signature
    has one spelling here but for the length of its lines and the last line end, so nothing may stand
    before or after it, between its base64 digits or in its reserved field; and only Ed25519 is checked.

    Parameters
    ----------
    message : bytes
        What is said to be signed.
    signature : bytes
        In the armored form of `ssh-keygen -Y sign`.
    allowed_signers : path or None
        Who may sign, in the format of ssh-keygen. Lines with `cert-authority` allow nobody here. None
        asks only whether the signature fits the key inside it, which whoever forges one brings along:
        the signer is not trusted then.
    namespace : str
        What the signature has to be for.
    when : datetime with a time zone, optional
        The time at which the key has to be valid, by `valid-after` and `valid-before` of its line; now,
        if left out. The signature itself does not say when it was made.
    name : str
        The path that an error names.

    Returns
    -------
    Signer
        With the identities of every line of `allowed_signers` by which the key may sign.

    Raises
    ------
    VerificationError
        If the signature is damaged, does not fit the message, is for another namespace, or was made with
        a key that is not allowed at that time.
    InvalidKeyError
        If `allowed_signers` cannot be understood, with the line.
    InvalidOptionError
        If `namespace` is empty or not printable ASCII, or `when` has no time zone.
    MissingExtraError
        If cryptography is not installed.
    OSError
        If `allowed_signers` cannot be read.
    """
    _check_namespace(namespace)
    if when is not None and when.tzinfo is None:
        raise InvalidOptionError(f"when={when.isoformat()} has no time zone. Give one, such as timezone.utc.")
    try:
        public = _verified_key(message, signature, namespace)
        if allowed_signers is None:
            return Signer(fingerprint=fingerprint(public))
        identities = _identities(public, allowed_signers, namespace, when or datetime.now(UTC))
    except _Refused as refused:
        detail = str(refused)
        raise VerificationError(
            f"{name}: {detail}. Do not rely on what it should vouch for.",
            [Problem("signature", name, detail)],
        ) from None
    return Signer(fingerprint=fingerprint(public), identities=identities, trusted=True)


class _Refused(Exception):
    """What is wrong with a signature, in words."""


def _check_namespace(namespace: str) -> None:
    if not namespace or not namespace.isascii() or not namespace.isprintable():
        raise InvalidOptionError(
            f"namespace={namespace!a} is empty or not printable ASCII. Give another one."
        )


def _signed_data(message: bytes, namespace: str, hash_name: bytes) -> bytes:
    digest = hashlib.new(hash_name.decode("ascii"), message).digest()
    return _MAGIC + packed(namespace.encode("ascii"), b"", hash_name, digest)


def _verified_key(message: bytes, signature: bytes, namespace: str) -> bytes:
    """The public key inside a signature that fits it, the message and the namespace."""
    require_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public, its_namespace, hash_name, inner = _parsed(signature)
        if its_namespace != namespace.encode("ascii"):
            raise _Refused(f"it is for the namespace {shown(its_namespace)}, not for {namespace}")
        point, raw = ed25519_point(public), _raw_signature(inner)
    except ValueError as error:
        raise _Refused(f"it is no signature that can be checked: {error}") from None
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(raw, _signed_data(message, namespace, hash_name))
    except (InvalidSignature, ValueError):
        raise _Refused("it does not fit what it should vouch for: one of the two was changed") from None
    return public


def _parsed(signature: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The public key, namespace, name of the hash and signature proper."""
    match = _ARMOR.fullmatch(signature) if len(signature) <= _LARGEST_BYTES else None
    if match is None:
        raise ValueError(f"it is not base64 between {_BEGIN.decode()} and {_END.decode()}")
    fields = Fields(from_base64(b"".join(match["body"].split())))
    if fields.take(len(_MAGIC)) != _MAGIC or fields.number() != _VERSION:
        raise ValueError("it is not of version 1 of the format")
    public, namespace, reserved, hash_name, inner = fields.fields(5)
    if reserved:
        raise ValueError("its reserved field, which nothing vouches for, is not empty")
    if hash_name not in _HASHES:
        raise ValueError(f"its hash {shown(hash_name)} is neither sha512 nor sha256")
    return public, namespace, hash_name, inner


def _raw_signature(inner: bytes) -> bytes:
    kind, raw = Fields(inner).fields(2)
    if kind != ED25519:
        raise ValueError(f"it is of type {shown(kind)}, not 'ssh-ed25519'")
    return raw


def _identities(
    public: bytes, allowed_signers: str | os.PathLike[str], namespace: str, when: datetime
) -> tuple[str, ...]:
    """Whose the key is, by all lines that allow it."""
    lines = [
        line for line in read_allowed_signers(allowed_signers) if line.public == public and not line.authority
    ]
    objections = [line.objection(namespace, when) for line in lines]
    found = {
        identity: None
        for line, objection in zip(lines, objections, strict=True)
        if objection is None
        for identity in line.identities
    }
    if not found:
        why = "; ".join(filter(None, objections)) or "it is not listed"
        key, file = fingerprint(public), os.fspath(allowed_signers)
        raise _Refused(f"the key {key} that made it is not allowed by {file}: {why}")
    return tuple(found)
