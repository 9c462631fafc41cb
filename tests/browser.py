"""A real browser on a real JupyterLab or Notebook; what would leave the machine is blocked and counted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocket, sync_playwright
from tools import require

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
KERNEL_READY = """async () => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  if (!context) return false;
  await context.ready;
  const kernel = context.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
TOKEN = "a-token-for-tests-only"
START_SECONDS = 60


@dataclass
class Traffic:
    """What a page sent over the network: addresses outside the machine, and bytes of its websockets."""

    outside: list[str] = field(default_factory=list)
    received_bytes: int = 0
    sent_bytes: int = 0

    def attach(self, context: BrowserContext) -> None:
        context.route("**/*", self._route)
        context.on("page", lambda page: page.on("websocket", self._socket))

    def _route(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def _socket(self, socket: WebSocket) -> None:
        if urlsplit(socket.url).hostname != "127.0.0.1":
            self.outside.append(socket.url)
        socket.on("framereceived", self._received)
        socket.on("framesent", self._sent)

    def _received(self, frame: str | bytes) -> None:
        self.received_bytes += len(frame.encode() if isinstance(frame, str) else frame)

    def _sent(self, frame: str | bytes) -> None:
        self.sent_bytes += len(frame.encode() if isinstance(frame, str) else frame)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    path = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def fresh_page(browser: Browser, **options: Any) -> Iterator[tuple[Page, Traffic]]:
    """A page of its own, and what it sent; nothing of it may leave the machine."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, permissions=["clipboard-read", "clipboard-write"], **options
    )
    traffic = Traffic()
    traffic.attach(context)
    try:
        yield context.new_page(), traffic
    finally:
        context.close()
    assert traffic.outside == []


@contextmanager
def jupyter(
    folder: Path, app: str = "lab", theme: str = "JupyterLab Light", save_widgets: bool = False
) -> Iterator[str]:
    """The address of a server on a folder: `app` is lab or notebook."""
    port = free_port()
    home = folder / ".jupyter-for-tests"
    environment = settings_in(home, theme, save_widgets)
    arguments = [
        *(sys.executable, "-m", "jupyter", app, "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        "--JupyterNotebookApp.expose_app_in_browser=True" if app == "notebook" else "--expose-app-in-browser",
        *("--ServerApp.terminals_enabled=False", f"--ServerApp.root_dir={folder}"),
    ]
    with process(arguments, folder, environment) as server:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api/status?token={TOKEN}", server)
        yield address


def settings_in(home: Path, theme: str, save_widgets: bool) -> dict[str, str]:
    """An environment in which Jupyter sees a folder for tests as the user's own."""
    settings = home / "settings"
    wanted = SETTINGS | {
        "@jupyterlab/apputils-extension/themes": {"theme": theme},
        "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": save_widgets},
    }
    for name, values in wanted.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    folders = {name: str(home / folder) for name, folder in names.items()}
    return dict(os.environ) | folders | {"JUPYTERLAB_SETTINGS_DIR": str(settings)}


@contextmanager
def process(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, ended afterwards; what it says goes to a file beside."""
    with (folder / ".server-output").open("wb") as output:
        child = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (URLError, OSError):
            assert server.poll() is None, "the server ended before it answered"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.1)
        else:
            return


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells that were not run."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)


def open_notebook(page: Page, address: str, notebook: str, app: str = "lab") -> None:
    """Open a notebook in JupyterLab or Notebook and wait for its kernel."""
    place = {"lab": f"lab/tree/{notebook}?reset&", "notebook": f"notebooks/{notebook}?"}[app]
    page.goto(f"{address}/{place}token={TOKEN}")
    page.locator(".jp-Notebook:visible").wait_for(timeout=60_000)
    page.wait_for_function(KERNEL_READY, timeout=60_000)


def run_all(page: Page) -> None:
    """Run every cell of the open notebook; the kernel may still be at it afterwards."""
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-all-cells')")


def run_next(page: Page) -> None:
    """Run the current cell of the open notebook and go to the next; the kernel may still be at it."""
    page.evaluate("() => void jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
