"""What ssh is made of: fields that carry their length (RFC 4251, section 5), strict base64, keys."""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING

from auditkit.errors import InvalidKeyError
from auditkit.protect.keys import read_secret, require_cryptography

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = b"ssh-ed25519"

# PROTOCOL.key of OpenSSH
_POINT_BYTES = 32
_MAGIC = b"openssh-key-v1\0"
_BEGIN, _END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
_FILE = re.compile(_BEGIN + rb"\r?\n(?P<body>[A-Za-z0-9+/=\r\n]+)" + _END + rb"\s*")


def packed(*fields: bytes) -> bytes:
    """The fields, each behind its length."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Fields:
    """What is left of some bytes while fields are taken off; too few of them are a `ValueError`."""

    def __init__(self, data: bytes):
        self._data = data

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self._data):
            raise ValueError("it is cut off")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self) -> int:
        """The next four bytes as a number."""
        return int.from_bytes(self.take(4), "big")

    def field(self) -> bytes:
        """The next field without its length."""
        return self.take(self.number())

    def fields(self, count: int) -> list[bytes]:
        """All fields that are left; more or fewer than `count` are a `ValueError`."""
        found = [self.field() for _ in range(count)]
        if self._data:
            raise ValueError("it goes on behind its end")
        return found


def from_base64(text: bytes) -> bytes:
    """The bytes of a text in base64; any other spelling than the one we would write is a `ValueError`."""
    try:
        data = base64.b64decode(text)
    except ValueError:
        data = b""
    if base64.b64encode(data) != text:
        raise ValueError("its base64 is damaged")
    return data


def ed25519_point(public: bytes) -> bytes:
    """The 32 bytes of an Ed25519 public key in its SSH encoding; any other one is a `ValueError`."""
    fields = Fields(public)
    kind = fields.field()
    if kind != ED25519:
        raise ValueError(f"its key is of type {shown(kind)}, not 'ssh-ed25519'")
    (point,) = fields.fields(1)
    if len(point) != _POINT_BYTES:
        raise ValueError(f"its key has {len(point)} bytes, not {_POINT_BYTES}")
    return point


def shown(text: bytes) -> str:
    """Text of unknown origin, short and harmless."""
    return ascii(text[:40].decode("latin-1"))


def signing_key(path: str | os.PathLike[str]) -> Ed25519PrivateKey:
    """The Ed25519 key of a file in the OpenSSH format, which has no passphrase and nobody else can use.

    Raises
    ------
    InvalidKeyError
        If the file holds no such key, or others may use it.
    MissingExtraError
        If cryptography is not installed.
    OSError
        With the path, if the file cannot be read.
    """
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    data = read_secret(path)
    try:
        point = _public_half(data)
        key = load_ssh_private_key(data, password=None)
        if not isinstance(key, Ed25519PrivateKey) or key.public_key().public_bytes_raw() != point:
            raise ValueError("its two halves do not belong together")
    except ValueError as error:
        raise InvalidKeyError(
            f"{os.fspath(path)} is no key to sign with: {error}. "
            "Make one with `auditkit keygen FILE` or `ssh-keygen -t ed25519 -N ''`."
        ) from None
    return key


def _public_half(data: bytes) -> bytes:
    """The point that stands in front of the secret half, once it is clear that this one can be used."""
    match = _FILE.fullmatch(data)
    fields = Fields(from_base64(b"".join(match["body"].split())) if match else b"")
    if match is None or fields.take(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not in the private key format of OpenSSH")
    cipher, kdf = fields.field(), fields.field()
    if (cipher, kdf) != (b"none", b"none"):
        raise ValueError("it has a passphrase (`ssh-keygen -p -f FILE` takes it away)")
    fields.field()  # options of the key derivation
    fields.number()  # of keys
    return ed25519_point(fields.field())
