"""What a store says when it does not do as it is told, in our words: its own may hold secrets."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.store.names import StorePath

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{2,63}")
_CREDENTIALS = (
    "The store refused. Check the credentials (environment or configuration, as AWS_ACCESS_KEY_ID), "
    "their rights to this bucket, and the endpoint"
)
_UNREACHABLE = "The store cannot be reached. Check the endpoint (as AWS_ENDPOINT_URL) and the network"
_WORDS = {
    errno.ENOENT: "There is no such object, folder or bucket. Check the name and the endpoint",
    errno.EACCES: _CREDENTIALS,
    errno.ECONNREFUSED: _UNREACHABLE,
    errno.ETIMEDOUT: "The store did not answer in time. Try again, or check the endpoint",
    errno.EBUSY: "The store is too busy. Try again later",
    errno.ESTALE: "It was changed while it was read. Try again",
    errno.ENOSYS: "The store does not know this operation",
}
_OTHERWISE = "The store failed. Try again; if that does not help, look into its own log"
_BY_NAME = {
    "NoCredentialsError": errno.EACCES,
    "PartialCredentialsError": errno.EACCES,
    "CredentialRetrievalError": errno.EACCES,
    "ProfileNotFound": errno.EACCES,
    "DefaultCredentialsError": errno.EACCES,
    "ClientAuthenticationError": errno.EACCES,
    "EndpointConnectionError": errno.ECONNREFUSED,
    "ClientConnectorError": errno.ECONNREFUSED,
    "ConnectTimeoutError": errno.ETIMEDOUT,
    "ReadTimeoutError": errno.ETIMEDOUT,
    "FSTimeoutError": errno.ETIMEDOUT,
    "FileExpired": errno.ESTALE,
}
_BY_CODE = {"NoSuchBucket": errno.ENOENT, "SlowDown": errno.EBUSY, "ConditionalRequestConflict": errno.EBUSY}


@contextmanager
def store_errors(path: StorePath) -> Iterator[None]:
    """Let what a store or its driver raises become an OSError about that path, without what they say."""
    try:
        yield
    except AuditkitError:
        raise
    except Exception as error:
        raise told(error, path) from None


def told(error: Exception, path: StorePath) -> OSError | MissingExtraError:
    """The error in our words."""
    if isinstance(error, ImportError):
        kind = path.url.partition("://")[0]
        return MissingExtraError(
            f"The driver for {kind}:// is not installed. Install it with: pip install 'auditkit[cloud]'"
        )
    number, code = _number(error), code_of(error)
    if isinstance(error, FileExistsError):
        return FileExistsError(errno.EEXIST, "It exists", str(path))
    if code == "NoSuchBucket":
        said = f"There is no bucket {path.root!r}. Make it, or correct its name or the endpoint"
    else:
        said = _WORDS.get(number, _OTHERWISE)
    return OSError(number, f"{said} ({code or type(error).__name__})", str(path))


def code_of(error: BaseException) -> str | None:
    """The word by which S3 calls the error: `AccessDenied`; None if it has none."""
    for one in (error, error.__cause__):
        response: Any = getattr(one, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
    return None


def _number(error: Exception) -> int:
    code = code_of(error)
    if code in _BY_CODE:
        return _BY_CODE[code]
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_NAME:
            return _BY_NAME[kind.__name__]
    for known, number in (
        (FileNotFoundError, errno.ENOENT),
        (PermissionError, errno.EACCES),
        (TimeoutError, errno.ETIMEDOUT),
    ):
        if isinstance(error, known):
            return number
    return error.errno if isinstance(error, OSError) and error.errno else errno.EIO
