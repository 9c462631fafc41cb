"""A local file put into a store whole or not at all: one conditional request makes it visible."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from auditkit.errors import InvalidOptionError
from auditkit.store.access import filesystem, found_at
from auditkit.store.names import StorePath
from auditkit.store.refusals import code_of, store_errors

_PART = 16 << 20
_MOST_PARTS = 10_000
_CONFLICT, _TRIES, _PAUSE_SECONDS = "ConditionalRequestConflict", 5, 0.2
_TAKEN = "PreconditionFailed"
_Answer = TypeVar("_Answer")


def require_writable(folder: StorePath) -> None:
    """Nothing, if something can be put there.

    Raises
    ------
    InvalidOptionError
        If it can only be read.
    MissingExtraError
        If its driver is not installed.
    """
    scheme = folder.url.partition("://")[0]
    if scheme in ("http", "https"):
        raise InvalidOptionError(f"Nothing can be put at {folder}: {scheme}:// is only read. Give a bucket.")
    with store_errors(folder):
        filesystem(folder)


def put(file: Path, path: StorePath, *, replace: bool) -> str | None:
    """Put a file there; what tells it from any other object (of S3 its ETag), where the store says it.

    On S3 nobody can take the name meanwhile (`If-None-Match`). Elsewhere it is looked at first: of two
    writers at the same moment the second may replace what the first put.

    Raises
    ------
    FileExistsError
        If something stands there, unless it is to be replaced.
    OSError
        In words; nothing is to be seen then, and no part of an upload is left.
    """
    with store_errors(path):
        if not replace and found_at(path) is not None:
            raise FileExistsError(errno.EEXIST, "It exists")
        system, key = filesystem(path)
        if hasattr(system, "call_s3"):
            return _put_s3(_S3(system, key), file, replace)
        _put_elsewhere(system, key, file, replace)
        return None


def etag_of(path: StorePath) -> str | None:
    """What S3 calls the object that stands there now."""
    with store_errors(path):
        system, key = filesystem(path)
        found = system.info(key).get("ETag")
        return found if isinstance(found, str) else None


def check_bucket(path: StorePath) -> None:
    """Nothing, if the bucket is there and can be listed; it costs less to know before a file is made.

    Raises
    ------
    OSError
    """
    with store_errors(path):
        system, key = filesystem(path)
        if hasattr(system, "call_s3"):
            bucket, prefix, _ = system.split_path(key)
            system.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _put_elsewhere(system: Any, key: str, file: Path, replace: bool) -> None:
    try:
        if file.stat().st_size <= _PART:
            _created(system.pipe_file, key, file.read_bytes(), replace=replace)
        else:
            _created(partial(system.put_file, str(file)), key, replace=replace)
    except FileExistsError:
        raise
    except BaseException:
        if not replace:  # what stands there now is torn, and ours
            with suppress(Exception):
                system.rm_file(key)
        raise


def _created(how: Callable[..., object], *arguments: Any, replace: bool) -> None:
    """Let a driver create an object, exclusively where it can."""
    if not replace:
        try:
            how(*arguments, mode="create")
            return
        except TypeError:  # it has no such option
            pass
    how(*arguments)


class _S3:
    """One object of S3, spoken to by the words of its protocol."""

    def __init__(self, system: Any, key: str):
        self._system = system
        bucket, name, _ = system.split_path(key)
        self._object = {"Bucket": bucket, "Key": name}

    def __call__(self, method: str, **arguments: Any) -> Any:
        return self._system.call_s3(method, **self._object, **arguments)


def _put_s3(s3: _S3, file: Path, replace: bool) -> str:
    size = file.stat().st_size
    make = _put_whole if size <= _PART else _put_in_parts
    if replace:
        return make(s3, file, {})
    try:
        return _insistently(lambda: make(s3, file, {"IfNoneMatch": "*"}))
    except Exception as error:
        if code_of(error) == _TAKEN:
            raise FileExistsError(errno.EEXIST, "It exists") from None
        if code_of(error) == "NotImplemented":  # a store of another make; we have looked before
            return make(s3, file, {})
        raise


def _insistently(action: Callable[[], _Answer]) -> _Answer:
    """Try again where another writer was at work on the same name at that moment."""
    for again in range(1, _TRIES):
        try:
            return action()
        except Exception as error:
            if code_of(error) != _CONFLICT:
                raise
            time.sleep(_PAUSE_SECONDS * again)
    return action()


def _put_whole(s3: _S3, file: Path, condition: dict[str, str]) -> str:
    return str(s3("put_object", Body=file.read_bytes(), **condition)["ETag"])


def _put_in_parts(s3: _S3, file: Path, condition: dict[str, str]) -> str:
    length = max(_PART, -(-file.stat().st_size // _MOST_PARTS))
    with _upload(s3) as upload, file.open("rb") as data:
        parts = [
            {
                "PartNumber": number,
                "ETag": s3("upload_part", **upload, PartNumber=number, Body=part)["ETag"],
            }
            for number, part in enumerate(_blocks(data, length), start=1)
        ]
        done = s3("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}, **condition)
    return str(done["ETag"])


@contextmanager
def _upload(s3: _S3) -> Iterator[dict[str, str]]:
    """An upload in parts, which nobody sees before it is complete; whatever fails, no part is left."""
    upload = {"UploadId": s3("create_multipart_upload")["UploadId"]}
    try:
        yield upload
    except BaseException:  # Ctrl-C, too
        with suppress(Exception):
            s3("abort_multipart_upload", **upload)
        raise


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while block := file.read(length):
        yield block
