"""What the Voilà process is told: who may come in, what it gives away, and that its pages are ours."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

SHARE = Path(__file__).parent / "share"
TEMPLATE = SHARE / "voila" / "templates" / "auditkit"
HOST = "127.0.0.1"
CHECK_HEADER = "X-Auditkit-Check"
CELL_ERROR = "The page could not be made. What went wrong stands where auditkit web was started."


def configure(
    config: Any, *, token: str, port: int, folder: str, working_folder: str, idle_seconds: int
) -> None:
    """Set up Voilà; the configuration file calls this with what differs from start to start."""
    config.Voila.update(
        ip=HOST,
        port=port,
        port_retries=0,
        open_browser=False,  # the address, and with it the token, would be an argument of the browser
        token=token,
        log_level="ERROR",
        connection_dir_root=folder,
        tornado_settings=_tornado_settings(port),
    )
    config.PasswordIdentityProvider.allow_password_change = False
    config.IdentityProvider.cookie_options = {"samesite": "Strict"}
    config.NotebookNotary.data_dir = folder
    config.VoilaExecutor.cell_error_instruction = CELL_ERROR
    _set_up_pages(config.VoilaConfiguration)
    _set_up_kernels(config, working_folder, idle_seconds)
    logging.getLogger("tornado").setLevel(logging.ERROR)
    _end_with_the_command(folder)


def _tornado_settings(port: int) -> dict[str, Any]:
    import jinja2

    page_policy = {
        "default-src": "'none'",
        "script-src": "'self' 'unsafe-inline' blob:",  # blob: is how a widget brings its module
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": f"'self' ws://{HOST}:{port} ws://localhost:{port}",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "allow_remote_access": False,  # refuses a Host that is not this machine (DNS rebinding)
        "headers": {
            "Content-Security-Policy": "; ".join(map(" ".join, page_policy.items())),
            "Referrer-Policy": "same-origin",
        },
        # Jupyter's own pages for login and errors link to addresses outside the machine
        "jinja2_env": jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True),
    }


def _set_up_pages(pages: Any) -> None:
    pages.template = TEMPLATE.name
    pages.allow_template_override = "NO"
    pages.allow_theme_override = "NO"
    pages.prelaunch_hook = only_our_page
    pages.show_tracebacks = False
    pages.file_allowlist = []  # these files would be given away without a token
    pages.file_denylist = [".*"]
    pages.extension_allowlist = [
        "@jupyter-widgets/jupyterlab-manager",
        "@voila-dashboards/widgets-manager8",
        "anywidget",
    ]


def _set_up_kernels(config: Any, working_folder: str, idle_seconds: int) -> None:
    import zmq

    config.MappingKernelManager.root_dir = working_folder
    config.MappingKernelManager.cull_idle_timeout = idle_seconds
    config.MappingKernelManager.cull_interval = max(1, min(60, idle_seconds))
    config.KernelRestarter.restart_limit = 0  # a new kernel knows nothing of the page: better none
    # any user of the machine may listen to what a kernel sends through its ports
    config.KernelManager.transport_encryption = "auto" if zmq.has("curve") else "disabled"


def only_our_page(handler: Any, notebook: Any, cwd: str) -> None:
    """Refuse to make a page from another template; Voilà calls this before it starts a kernel."""
    from tornado.web import Finish, HTTPError

    found = next(
        (path for path in map(Path, handler.template_paths) if (path / "index.html.j2").exists()), None
    )
    if found is None or not TEMPLATE.exists() or not found.samefile(TEMPLATE):
        raise HTTPError(500, "The page is not made from auditkit's template.")
    _ = handler.xsrf_token  # sets the cookie with which a page that is closed ends its kernel
    if CHECK_HEADER in handler.request.headers:
        handler.set_status(204)
        raise Finish


def _end_with_the_command(folder: str) -> None:
    def wait() -> None:
        while os.read(0, 1):  # standard input is held open by the command, however that one ends
            pass
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # a killed command leaves it behind
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
