"""Starts the web page, waits until it answers, says where it is, and ends it without a trace."""

from __future__ import annotations

import errno
import http.client
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.sources import open_source
from auditkit.web.server import CHECK_HEADER, HOST, SHARE

NOTEBOOK = Path(__file__).with_name("app.ipynb")
PORT = 8866
IDLE_SECONDS = 600
OUTPUT_DIR_VARIABLE = "AUDITKIT_OUTPUT_DIR"

_ANSWERS_WITHIN_SECONDS = 60
_ENDS_WITHIN_SECONDS = 15
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_KERNEL = {
    "display_name": "Python",
    "language": "python",
    "metadata": {"supported_encryption": ["curve"]},
    "argv": [
        sys.executable,
        "-P",  # no module of the working folder stands in for another
        "-Xfrozen_modules=off",  # else the kernel warns of it
        *("-m", "ipykernel_launcher", "-f", "{connection_file}"),
        "--IPKernelApp.ignore_cwd=True",
    ],
}


def serve(
    source: str | None = None,
    *,
    say: Callable[[str], object],
    output_dir: str = "exports",
    port: int = PORT,
    notebook: Path = NOTEBOOK,
    idle_seconds: int = IDLE_SECONDS,
) -> None:
    """Run the web page until Ctrl+C or SIGTERM.

    Parameters
    ----------
    source : str, optional
        As for `open_source`.
    say : callable
        Takes the lines for the user: the address, and how to stop.
    output_dir : str
        Where the page saves exports; a relative one starts at the working folder.
    port : int
        0 takes a free one.
    notebook : path
        What the page shows.
    idle_seconds : int
        How long the kernel of a page that is gone is kept.

    Raises
    ------
    MissingExtraError
        Without Voilà.
    OSError
        If there is nothing at the source, or the port cannot be had.
    AuditkitError
        If the server ends by itself, or serves another page than ours.
    """
    _require_extra()
    open_source(source)
    port = _usable_port(port)
    token = secrets.token_hex(24)
    with _signals_that_stop(), TemporaryDirectory(prefix="auditkit-web-") as folder:
        _write_configuration(Path(folder), token, port, idle_seconds)
        server = _start(Path(folder), notebook, _surroundings(folder, source, output_dir))
        try:
            _wait_for_our_page(server, port, token)
            say(f"http://{HOST}:{port}/?token={token}")
            say("Open this address in a browser. Ctrl+C stops the page.")
            raise _ended(server.wait())
        except KeyboardInterrupt:
            say("Stopped.")
        finally:
            _end(server)


def _require_extra() -> None:
    for module in ("voila", "ipykernel"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(
                f"The web page needs {module}. Install it with: pip install 'auditkit[web]'"
            )


def _usable_port(port: int) -> int:
    with socket.socket() as trial:
        if os.name == "posix":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            trial.bind((HOST, port))
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            raise OSError(
                error.errno, f"Port {port} {why}. Give another one with --port, or 0 for one that is free."
            ) from error
        return int(trial.getsockname()[1])


def _write_configuration(folder: Path, token: str, port: int, idle_seconds: int) -> None:
    values = {
        "token": token,
        "port": port,
        "folder": str(folder),
        "working_folder": os.getcwd(),
        "idle_seconds": idle_seconds,
    }
    with open(os.open(folder / "voila.py", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"from auditkit.web.server import configure\n\nconfigure(c, **{values!a})\n")
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(_KERNEL), encoding="utf-8")


def _surroundings(folder: str, source: str | None, output_dir: str) -> dict[str, str]:
    paths = [folder, str(SHARE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    changes = {
        "JUPYTER_PATH": os.pathsep.join(paths),
        "JUPYTER_CONFIG_DIR": os.path.join(folder, "config"),
        "JUPYTER_RUNTIME_DIR": os.path.join(folder, "runtime"),
        "IPYTHONDIR": os.path.join(folder, "ipython"),
        OUTPUT_DIR_VARIABLE: output_dir,
    }
    if source is not None:
        changes["AUDITKIT_SOURCE"] = source
    return os.environ | changes


def _start(folder: Path, notebook: Path, surroundings: dict[str, str]) -> subprocess.Popen[bytes]:
    options = [f"--Voila.config_file_paths={folder}", str(notebook)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "voila", *options],
        env=surroundings,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C is heard here, and handed on once
    )


def _wait_for_our_page(server: subprocess.Popen[bytes], port: int, token: str) -> None:
    last_moment = time.monotonic() + _ANSWERS_WITHIN_SECONDS
    while (status := _answer(port, token)) is None:
        if server.poll() is not None:
            raise _ended(server.returncode)
        if time.monotonic() > last_moment:
            raise AuditkitError(
                f"The web server gave no answer in {_ANSWERS_WITHIN_SECONDS} seconds. Try again."
            )
        time.sleep(0.1)
    if status != http.HTTPStatus.NO_CONTENT:
        raise AuditkitError(
            f"The web server does not use auditkit's page (it answered {status}). Install auditkit again."
        )


def _answer(port: int, token: str) -> int | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Authorization": f"token {token}", CHECK_HEADER: "1"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _ended(code: int) -> AuditkitError:
    return AuditkitError(
        f"The web server ended by itself, with exit code {code}. Its own message stands above."
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl+C must not leave half of it behind
    server.terminate()
    try:
        server.wait(_ENDS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdin:
        server.stdin.close()


@contextmanager
def _signals_that_stop() -> Iterator[None]:
    """SIGTERM and a closed terminal stop like Ctrl+C does, unless they are ignored."""
    before = {number: signal.getsignal(number) for number in _STOPPING}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
