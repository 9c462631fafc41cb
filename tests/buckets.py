"""A real S3 server on loopback, an empty bucket of it, and the same folder in other kinds of stores."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from threading import Thread
from typing import Any

import pytest

KEY_ID, SECRET = "testing-key-id", "wJalrXUtnFEMI-testing-secret"


def settings(endpoint: str) -> dict[str, str]:
    """The environment by which s3fs finds a server, and does not look for another one."""
    return {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_MAX_ATTEMPTS": "1",
    }


@dataclass
class Bucket:
    """A bucket, and a client that sees it as somebody else does."""

    name: str
    endpoint: str
    client: Any

    @property
    def url(self) -> str:
        """`s3://` and its name."""
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes) -> None:
        """Put an object there."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def objects(self) -> dict[str, bytes]:
        """All objects, by key."""
        listed = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {one["Key"]: self.read(one["Key"]) for one in listed}

    def read(self, key: str) -> bytes:
        """The bytes of one."""
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def remove(self, key: str) -> None:
        """Remove one."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def uploads(self) -> list[str]:
        """The keys of uploads in parts that were begun and neither completed nor aborted."""
        listed = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [one["Key"] for one in listed]


_connected: dict[str, str] = {}


def forget_connections() -> None:
    """Let the next connection be made by what the environment says then."""
    import fsspec
    import s3fs

    for kind in (s3fs.S3FileSystem, fsspec.get_filesystem_class("memory")):
        kind.clear_instance_cache()
    _connected.clear()


@cache
def client_of(endpoint: str) -> Any:
    """A client of the S3 server."""
    import botocore.session

    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )


@pytest.fixture(name="s3_server", scope="session")
def s3_server_fixture() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="bucket")
def bucket_fixture(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket; the environment names its server and the keys."""
    use(monkeypatch, settings(s3_server))
    client = client_of(s3_server)
    name = f"evidence-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return Bucket(name=name, endpoint=s3_server, client=client)


def bucket_of(runs: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a bucket with the files of a folder, for as long as the fixture that asks lives."""
    endpoint = request.getfixturevalue("s3_server")
    patched = pytest.MonkeyPatch()
    request.addfinalizer(patched.undo)
    use(patched, settings(endpoint))
    name = f"runs-{uuid.uuid4().hex[:12]}"
    client_of(endpoint).create_bucket(Bucket=name)
    for path in runs.iterdir():
        client_of(endpoint).put_object(Bucket=name, Key=path.name, Body=path.read_bytes())
    return f"s3://{name}"


def use(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Connect by these variables; anew, if others held before."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if _connected != variables:
        forget_connections()
        _connected.clear()
        _connected.update(variables)


Rule = Callable[[str, str, int], str]
"""What becomes of a request: its method, its target, and how many like it came before, in the words below."""


class Gate:
    """A way to the S3 server on which things happen.

    `pass`; `cut`: the connection ends at once; `lose`: the server does it, and the answer is lost;
    `halve`: the answer ends in the middle; `403 SomeCode` and the like: the server is not asked.
    """

    def __init__(self, endpoint: str):
        self.rule: Rule = lambda method, target, before: "pass"
        self.seen: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Passing, self, endpoint))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def told(self, method: str, target: str) -> str:
        """What becomes of this request."""
        before = sum(one == method for one, _ in self.seen)
        self.seen.append((method, target))
        return self.rule(method, target, before)


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which tells a client that waits to go on

    def __init__(self, gate: Gate, endpoint: str, *arguments: Any):
        self._gate = gate
        self._endpoint = endpoint
        super().__init__(*arguments)

    def _pass_on(self) -> None:
        word = self._gate.told(self.command, self.path)
        self.close_connection = True
        if word == "cut":
            self._hang_up()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if word[0].isdigit():
            self._refuse(word)
            return
        status, headers, answer = self._asked(body)
        if word == "lose":
            self._hang_up()
            return
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        length = headers["Content-Length"] if self.command == "HEAD" else str(len(answer))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if word == "halve" else answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _asked(self, body: bytes) -> tuple[int, Any, bytes]:
        host, port = self._endpoint.removeprefix("http://").split(":")
        server = HTTPConnection(host, int(port))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("connection", "expect")
        }
        server.request(self.command, self.path, body=body, headers=headers)
        answer = server.getresponse()
        data = answer.read()
        server.close()
        return answer.status, answer.headers, data

    def _refuse(self, word: str) -> None:
        status, _, code = word.partition(" ")
        said = (
            f"<Error><Code>{code}</Code><Message>You are {KEY_ID} with {SECRET}.</Message></Error>".encode()
        )
        self.send_response(int(status))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(name="gate")
def gate_fixture(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The way to the bucket's server, watched and cut as a test wants; s3fs tries twice, not five times."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)
    gate = Gate(bucket.endpoint)
    use(monkeypatch, settings(gate.endpoint))
    yield gate
    gate.close()
