"""Database servers of the tests: on loopback, in a throw-away folder, ended by their process id."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tools import require

USER = "auditor"
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs; `url` holds its password."""

    scheme: str
    port: int
    password: str
    process: subprocess.Popen[bytes]
    folder: Path
    ending: signal.Signals

    @property
    def url(self) -> str:
        return self.url_of()

    def url_of(self, *, user: str = USER, password: str | None = None, database: str = "audits") -> str:
        """The URL for another user, password or database."""
        secret = self.password if password is None else password
        return f"{self.scheme}://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """End it, and remove what it held."""
        if self.process.poll() is None:
            self.process.send_signal(self.ending)
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def started_postgres() -> Server:
    """A new PostgreSQL with an empty database `audits`; whoever starts it stops it."""
    server = program("postgres", "/usr/lib/postgresql/*/bin")
    folder, password, port = _folder(), secrets.token_urlsafe(12), free_port()
    secret = folder / "password"
    secret.write_text(password)
    data = str(folder / "data")
    _own(folder)
    options = ("--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8")
    initdb = str(Path(server).with_name("initdb"))
    _run([initdb, "--pgdata", data, *options, "--locale", "C.UTF-8", "--no-sync"])
    settings = ("fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}")
    command = [server, "-D", data, "-p", str(port), *(word for item in settings for word in ("-c", item))]
    running = Server(
        scheme="postgresql+psycopg",
        port=port,
        password=password,
        process=_started(command, folder),
        folder=folder,
        ending=signal.SIGINT,  # fast shutdown: clients are cut off
    )
    _await(running, lambda: _psycopg(running, "postgres").close())
    connection = _psycopg(running, "postgres")
    connection.autocommit = True
    connection.execute("CREATE DATABASE audits")
    connection.close()
    return running


def started_mariadb() -> Server:
    """A new MariaDB with an empty database `audits`; whoever starts it stops it."""
    server = program("mariadbd", "/usr/sbin")
    folder, password, port = _folder(), secrets.token_urlsafe(12), free_port()
    _own(folder)
    data = f"--datadir={folder / 'data'}"
    install = program("mariadb-install-db", "/usr/bin")
    _run([install, "--no-defaults", data, "--skip-test-db", "--auth-root-authentication-method=normal"])
    start = folder / "start.sql"
    start.write_text(
        f"CREATE DATABASE audits;\nCREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n"
    )
    _own(folder)
    options = (f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}")
    files = (f"--init-file={start}", f"--pid-file={folder / 'pid'}", "--skip-name-resolve")
    running = Server(
        scheme="mysql+pymysql",
        port=port,
        password=password,
        process=_started([server, "--no-defaults", data, *options, *files], folder),
        folder=folder,
        ending=signal.SIGTERM,
    )
    _await(running, lambda: _pymysql(running).close())
    return running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL for all tests; they take databases of their own."""
    running = started_postgres()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB for all tests; they take databases of their own."""
    running = started_mariadb()
    yield running
    running.stop()


def new_database(server: Server) -> str:
    """The URL of an empty database of its own."""
    name = f"audits_{secrets.token_hex(4)}"
    if server.scheme.startswith("postgresql"):
        connection: Any = _psycopg(server, "postgres")
        connection.autocommit = True
        connection.execute(f"CREATE DATABASE {name}")
    else:
        connection = _pymysql(server)
        connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return server.url_of(database=name)


def program(name: str, places: str) -> str:
    """The path of a server, which need not stand on PATH."""
    for found in sorted(glob.glob(f"{places}/{name}"), reverse=True):
        return found
    return require(name)


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="auditkit-server-"))


@functools.cache
def _servant() -> pwd.struct_passwd | None:
    """Whom a server runs as where the tests run as root, which servers refuse."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "mysql", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _own(folder: Path) -> None:
    servant = _servant()
    if servant is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, servant.pw_uid, servant.pw_gid)


def _as_servant() -> dict[str, Any]:
    servant = _servant()
    if servant is None:
        return {}
    return {"user": servant.pw_uid, "group": servant.pw_gid, "extra_groups": []}


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", timeout=_PATIENCE, check=False, **_as_servant()
    )
    assert done.returncode == 0, done.stderr


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd="/", start_new_session=True, **_as_servant()
        )


def _await(server: Server, ask: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            ask()
            return
        except Exception:
            if server.process.poll() is not None or time.monotonic() > end:
                said = (server.folder / "log").read_text(errors="replace")
                server.stop()
                raise AssertionError(f"the server does not start: {said[-2000:]}") from None
        time.sleep(0.05)


def _psycopg(server: Server, database: str) -> Any:
    import psycopg

    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=USER, password=server.password, dbname=database
    )


def _pymysql(server: Server) -> Any:
    import pymysql

    return pymysql.connect(host="127.0.0.1", port=server.port, user=USER, password=server.password)
