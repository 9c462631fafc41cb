"""The web page: a real server, a real browser, and what neither may give away."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import nbformat
import psutil
import pytest
from browser import chromium, fresh_page, write_notebook
from children import environment, python
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

import auditkit
from conftest import ROOT

RUNS = ROOT / "sample_data" / "runs"
SECONDS = 30
LOADED_FROM_OUTSIDE = re.compile(
    r"""<(?:script|link|img|iframe|embed|object|source|video|audio)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//"""
    r"""|@import|url\(\s*["']?(?:https?:)?//|import\(\s*["'`]https?:""",
    re.IGNORECASE,
)
PLAIN_PAGE = """\
import os
from IPython.display import HTML
HTML("|".join(["MADE", os.getcwd(), os.environ["AUDITKIT_SOURCE"], os.environ["AUDITKIT_OUTPUT_DIR"], "END"]))
"""
SERVE = """\
import sys
from pathlib import Path
from auditkit.web.start import serve
say = lambda line: print(line, flush=True)
serve(sys.argv[1], say=say, port=0, notebook=Path(sys.argv[2]), idle_seconds=int(sys.argv[3]))
"""


@dataclass
class Command:
    """A running `auditkit web`, with the address that it printed."""

    process: subprocess.Popen[str]
    address: str
    folder: Path

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    @property
    def server(self) -> psutil.Process:
        (server,) = psutil.Process(self.process.pid).children()
        return server

    @property
    def configuration(self) -> Path:
        (option,) = (word for word in self.server.cmdline() if "config_file_paths=" in word)
        return Path(option.partition("=")[2]) / "voila.py"

    def kernels(self) -> list[psutil.Process]:
        children = [child for child in self.server.children() if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in children if "ipykernel_launcher" in child.cmdline()]

    def get(self, path: str, *, token: str | None = None, **headers: str) -> Answer:
        if token is not None:
            headers["Authorization"] = f"token {token}"
        return self.ask("GET", path, headers)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    def cookies(self) -> str:
        return "; ".join(line.partition(";")[0] for line in self.headers.get_all("Set-Cookie") or [])

    def kernel_id(self) -> str:
        (found,) = re.findall(
            r'<script id="jupyter-config-data"[^>]*>\s*(\{.*?\})\s*</script>', self.text, re.S
        )
        kernel_id: str = json.loads(found)["kernelId"]
        return kernel_id


def surroundings(folder: Path, **changes: str | None) -> dict[str, str]:
    """An environment in which the user has no Jupyter of their own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    taken_out = dict.fromkeys(name for name in os.environ if name.startswith(("JUPYTER", "IPYTHON")))
    return environment(**taken_out, **{"HOME": str(home), "PYTHONWARNINGS": None, **changes})


@contextmanager
def running(folder: Path, *arguments: str | os.PathLike[str], **changes: str | None) -> Iterator[Command]:
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *map(os.fspath, arguments)],
            cwd=folder,
            env=surroundings(folder, **changes),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            assert address, (folder / "errors").read_text()
            yield Command(process, address, folder)
        finally:
            process.terminate()


def web(*arguments: str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
    return ["-m", "auditkit", "web", *arguments]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command as a user starts it."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "exports").mkdir()
    (folder / "exports" / "chart.png").write_text("a secret of this test")
    with running(folder, *web("--source", RUNS, "--port", "0")) as command:
        yield command


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The same server with a page that needs no widgets."""
    folder = tmp_path_factory.mktemp("plain")
    write_notebook(folder / "plain.ipynb", PLAIN_PAGE)
    with running(folder, "-c", SERVE, RUNS, folder / "plain.ipynb", "600") as command:
        yield command


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A server whose page cannot be made, and which keeps a kernel for a second."""
    folder = tmp_path_factory.mktemp("broken")
    write_notebook(folder / "broken.ipynb", "raise ValueError('only for the terminal')")
    with running(folder, "-c", SERVE, RUNS, folder / "broken.ipynb", "1") as command:
        yield command


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


# --- who may come in ------------------------------------------------------------------------------------


def test_the_address_is_of_this_machine_and_has_a_long_token(command: Command) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{48}", command.address)


@pytest.mark.parametrize("token", [None, "", "0" * 48])
def test_without_the_token_there_is_a_sign_in_page_and_no_kernel(command: Command, token: str | None) -> None:
    before = len(command.kernels())
    answer = command.get("/", token=token)
    assert answer.status == http.HTTPStatus.FOUND
    assert answer.headers["Location"].startswith("/login?")
    page = command.get(answer.headers["Location"])
    assert page.status == http.HTTPStatus.OK
    assert "Sign in to auditkit" in page.text
    assert "http" not in page.text
    assert len(command.kernels()) == before


def test_the_sign_in_form_takes_the_token_and_nothing_else(command: Command) -> None:
    form = command.get("/login")
    (xsrf,) = re.findall(r'name="_xsrf" value="([^"]+)"', form.text)
    headers = {"Cookie": form.cookies(), "Content-Type": "application/x-www-form-urlencoded"}

    def sign_in(password: str) -> Answer:
        return command.ask("POST", "/login", headers, urlencode({"_xsrf": xsrf, "password": password}))

    refused = sign_in("0" * 48)
    assert refused.status == http.HTTPStatus.UNAUTHORIZED
    assert "not the token" in refused.text
    welcome = sign_in(command.token)
    assert (welcome.status, welcome.headers["Location"]) == (http.HTTPStatus.FOUND, "/")
    assert command.get("/login", Cookie=welcome.cookies()).headers["Location"] == "/"


def test_the_token_makes_a_session_that_other_sites_cannot_use(plain: Command) -> None:
    answer = plain.get(f"/?token={plain.token}")
    (session,) = (line for line in answer.headers.get_all("Set-Cookie") or [] if line.startswith("username"))
    assert "HttpOnly" in session
    assert "SameSite=Strict" in session
    kernel = f"/api/kernels/{answer.kernel_id()}"
    assert plain.get(kernel, Cookie=answer.cookies()).status == http.HTTPStatus.OK
    assert plain.get(kernel).status == http.HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1"])
def test_another_name_for_this_machine_is_refused(command: Command, host: str) -> None:
    before = len(command.kernels())
    assert command.get("/", token=command.token, Host=host).status == http.HTTPStatus.FORBIDDEN
    assert command.get("/login", Host=host).status == http.HTTPStatus.FORBIDDEN
    assert len(command.kernels()) == before


def test_only_one_address_of_the_machine_is_listened_at(command: Command) -> None:
    addresses = {link.laddr.ip for link in command.server.net_connections() if link.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", command.port))


def test_the_token_stands_in_a_file_of_the_user_and_in_no_argument(command: Command) -> None:
    file = command.configuration
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert command.token in file.read_text()
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any(str(file.parent) in line for line in lines)
    assert not [line for line in lines if command.token in line]


# --- what it gives away ---------------------------------------------------------------------------------

REFUSED = (http.HTTPStatus.FORBIDDEN, http.HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize(
    "path",
    [
        "/voila/files/app.ipynb",
        "/voila/files/start.py",
        "/voila/files/exports/chart.png",
        "/voila/files/share/voila/templates/auditkit/index.html.j2",
        "/voila/files/..%2F..%2Fpyproject.toml",
        "/voila/static/..%2F..%2Fapp.py",
        "/voila/templates/auditkit/static/..%2Findex.html.j2",
        "/voila/templates/auditkit/index.html.j2",
        "/voila/render/app.ipynb",
        "/voila/render/exports",
        "/voila/tree",
        "/voila/tree/exports",
        "/voila/api/contents",
        "/voila/api/contents/app.ipynb",
        "/api/contents",
        "/api/contents/app.ipynb",
        "/api/kernels",
        "/api/sessions",
        "/api/terminals",
        "/terminals/websocket/1",
        "/files/app.ipynb",
        "/files/exports/chart.png",
        "/exports/chart.png",
        "/app.ipynb",
    ],
)
def test_no_file_no_folder_and_no_other_page_is_given_away_even_with_the_token(
    command: Command, path: str
) -> None:
    before = len(command.kernels())
    answer = command.get(path, token=command.token)
    while answer.status == http.HTTPStatus.FOUND:
        answer = command.get(answer.headers["Location"], token=command.token)
    assert answer.status in (*REFUSED, http.HTTPStatus.INTERNAL_SERVER_ERROR)
    if path.startswith("/voila/files/"):
        assert answer.status == http.HTTPStatus.FORBIDDEN  # not even whether there is such a file
    assert "a secret of this test" not in answer.text
    assert "Workbench" not in answer.text
    assert "extends" not in answer.text
    assert not LOADED_FROM_OUTSIDE.search(answer.text)
    assert len(command.kernels()) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/kernels"), ("PUT", "/api/contents/x.ipynb"), ("POST", "/api/terminals"), ("POST", "/")],
)
def test_nothing_can_be_made_on_the_server(command: Command, method: str, path: str) -> None:
    before = len(command.kernels())
    answer = command.ask(method, path, {"Authorization": f"token {command.token}"}, "{}")
    assert answer.status == http.HTTPStatus.METHOD_NOT_ALLOWED
    assert len(command.kernels()) == before


@pytest.mark.parametrize("query", ["template=lab", "template=base", "theme=dark", "voila-template=lab"])
def test_the_address_cannot_choose_another_template(plain: Command, query: str) -> None:
    answer = plain.get(f"/?{query}", token=plain.token)
    assert '<meta name="generator" content="auditkit web">' in answer.text
    assert "cdn" not in answer.text.lower()


def test_the_page_names_no_address_outside_the_machine(plain: Command) -> None:
    answer = plain.get("/", token=plain.token)
    assert answer.status == http.HTTPStatus.OK
    assert '<html lang="en">' in answer.text
    assert "<title>auditkit: audit runs</title>" in answer.text
    assert "Starting Python" in answer.text
    assert not LOADED_FROM_OUTSIDE.search(answer.text)
    named = set(re.findall(r"(?:https?|wss?)://([\w.-]+)", answer.text))
    assert named <= {"127.0.0.1", "localhost"}
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert {urlsplit(word).hostname for word in policy.split() if "://" in word} == {"127.0.0.1", "localhost"}
    assert "*" not in policy
    assert plain.token not in answer.text


def test_the_kernel_works_where_the_command_was_started(plain: Command) -> None:
    answer = plain.get("/", token=plain.token)
    assert f"MADE|{plain.folder}|{RUNS}|exports|END" in answer.text


def test_a_kernel_is_reached_with_the_token_from_our_own_page_only(plain: Command) -> None:
    page = plain.get("/", token=plain.token)
    address = f"ws://127.0.0.1:{plain.port}/api/kernels/{page.kernel_id()}/channels"

    def refused(**options: str) -> int:
        with pytest.raises(InvalidStatus) as caught, connect(address, **options):
            pass
        return caught.value.response.status_code

    ours = f"http://127.0.0.1:{plain.port}"
    assert refused() == http.HTTPStatus.FORBIDDEN
    assert refused(origin=ours) == http.HTTPStatus.FORBIDDEN
    cookie = {"Cookie": page.cookies()}
    assert refused(additional_headers=cookie, origin="http://evil.example") == http.HTTPStatus.FORBIDDEN
    with connect(address, additional_headers=cookie, origin=ours) as channel:
        trap = plain.folder / "trap"
        request(channel, "execute_request", code=f"open({str(trap)!r}, 'w')", silent=False)
        request(channel, "kernel_info_request")
        assert answered(channel) == ["kernel_info_reply"]
        assert not trap.exists()


def request(channel: ClientConnection, kind: str, **content: object) -> None:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "session": "test",
        "username": "",
        "version": "5.3",
    }
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    channel.send(json.dumps(message))


def answered(channel: ClientConnection) -> list[str]:
    """The replies of a kernel, up to the one about itself."""
    replies: list[str] = []
    while "kernel_info_reply" not in replies:
        message = json.loads(channel.recv(timeout=SECONDS))
        if message["channel"] == "shell":
            replies.append(message["msg_type"])
    return replies


def test_what_a_kernel_says_is_encrypted_on_its_way(plain: Command) -> None:
    plain.get("/", token=plain.token)
    connections = list(plain.configuration.parent.glob("voila_*/kernel-*.json"))
    assert connections
    for file in connections:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "curve_publickey" in json.loads(file.read_text())


def test_a_page_that_cannot_be_made_says_where_to_look(broken: Command) -> None:
    page = broken.get("/", token=broken.token).text
    assert "The page could not be made. What went wrong stands where auditkit web was started." in page
    assert "only for the terminal" not in page
    assert "only for the terminal" in (broken.folder / "errors").read_text()


def test_the_kernel_of_a_page_that_is_gone_is_ended(broken: Command) -> None:
    assert broken.get("/", token=broken.token).kernel_id()
    until(lambda: not broken.kernels(), "the kernel went on")


# --- in a browser ---------------------------------------------------------------------------------------


def open_page(page: Page, address: str) -> list[str]:
    """Open the page and wait for it; what the browser complains of is collected."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.locator("#rendered_cells")).to_be_visible(timeout=SECONDS * 1000)
    expect(page.locator("#auditkit-waiting")).to_be_hidden()
    return complaints


def test_the_workbench_shows_the_runs_without_a_request_to_the_outside(
    command: Command, browser: Browser
) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        with fresh_page(browser, color_scheme=scheme) as (page, traffic):
            complaints = open_page(page, command.address)
            expect(page.get_by_text("run-001").first).to_be_visible(timeout=SECONDS * 1000)
            assert complaints == []
            assert traffic.outside == []
            assert traffic.received_bytes > 0
            assert page.url == f"http://127.0.0.1:{command.port}/"
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert page.evaluate("document.body.dataset.jpThemeLight") == str(scheme == "light").lower()
    assert len(colours) == 2


def test_a_page_loaded_again_has_a_new_kernel_and_ends_the_old_one(
    command: Command, browser: Browser
) -> None:
    with fresh_page(browser) as (page, _):
        others = {kernel.pid for kernel in command.kernels()}
        open_page(page, command.address)
        page.wait_for_function("window.jupyterapp !== undefined")
        (old,) = (kernel for kernel in command.kernels() if kernel.pid not in others)
        page.reload()
        until(lambda: not old.is_running(), "the old kernel went on")
        expect(page.locator("#rendered_cells")).to_be_visible(timeout=SECONDS * 1000)


def test_the_page_says_when_its_kernel_and_when_its_server_is_gone(tmp_path: Path, browser: Browser) -> None:
    write_notebook(tmp_path / "plain.ipynb", PLAIN_PAGE)
    with (
        running(tmp_path, "-c", SERVE, RUNS, tmp_path / "plain.ipynb", "60") as own,
        fresh_page(browser) as (page, _),
    ):
        open_page(page, own.address)
        message = page.locator("#auditkit-lost")
        expect(message).to_be_hidden()
        (kernel,) = own.kernels()
        kernel.kill()
        until_said(page, "Python process of this page has ended")
        own.process.send_signal(signal.SIGHUP)
        assert own.process.wait(SECONDS) == 0
        until_said(page, "The server does not answer")


def until_said(page: Page, words: str) -> None:
    """Wait for a message, having the page look for one more often than it does by itself."""

    def said() -> bool:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(100)
        return words in page.locator("#auditkit-lost").inner_text()

    until(said, words)
    expect(page.locator("#auditkit-lost")).to_be_visible()


# --- starting and stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_ends_every_process_and_leaves_no_file(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, *web("--source", RUNS, "--port", "0"), TMPDIR=str(tmp_path)) as command:
        command.get("/", token=command.token)
        processes = [command.server, *command.kernels()]
        assert len(processes) == 2
        command.process.send_signal(number)
        assert command.process.wait(SECONDS) == 0
        assert command.process.stdout
        assert command.process.stdout.read().splitlines()[-1] == "Stopped."
    assert (tmp_path / "errors").read_text() == ""
    until(lambda: not any(process.is_running() for process in processes), "a process went on")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} - {"errors", "home"}
    assert not {path for path in left if not path.startswith("home/.cache")}


def test_the_server_does_not_outlive_the_command(tmp_path: Path) -> None:
    with running(tmp_path, *web("--source", RUNS, "--port", "0"), TMPDIR=str(tmp_path)) as command:
        server = command.server
        command.process.kill()
        until(lambda: not server.is_running(), "the server went on")
    assert list(tmp_path.glob("auditkit-web-*")) == []  # the token stood in it


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start_and_fail(tmp_path, "--source", RUNS, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: Port {port} is taken. Give another one with --port, or 0 for one that is free.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--source", "nowhere"], 1, "No such folder, file or glob of audit runs: nowhere"),
        ([], 2, "No source of audit runs is named."),
        (["--source", "nope://host/runs"], 2, "Nothing of the kind nope:// can be used here."),
        (["--port", "65536"], 2, "65536 is not in the range"),
    ],
)
def test_what_cannot_be_started_is_said_at_once(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = start_and_fail(tmp_path, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def start_and_fail(
    folder: Path, *arguments: str | os.PathLike[str], **env: str | None
) -> subprocess.CompletedProcess[str]:
    return python(*web(*arguments), cwd=folder, env=surroundings(folder) | {"PYTHONWARNINGS": None} | env)


def test_another_template_than_ours_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "copy" / "auditkit"
    shutil.copytree(Path(auditkit.__file__).parent, package)
    shutil.rmtree(package / "web" / "share" / "voila" / "templates" / "auditkit")
    done = start_and_fail(tmp_path, "--source", RUNS, "--port", "0", PYTHONPATH=str(package.parent))
    assert done.returncode == 1
    assert "Error: The web server does not use auditkit's page" in done.stderr
    assert "token=" not in done.stdout


def test_without_voila_the_error_says_what_to_install(tmp_path: Path) -> None:
    """The same installation with Voilà left out: links to everything else."""
    (installed,) = (Path(path) for path in sys.path if path.endswith("site-packages"))
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in installed.iterdir():
        if not entry.name.startswith(("voila", "__editable__")):
            (packages / entry.name).symlink_to(entry)
    path = os.pathsep.join([str(Path(auditkit.__file__).parents[1]), str(packages)])
    env = surroundings(tmp_path) | {"PYTHONPATH": path, "PYTHONWARNINGS": None}
    done = python("-S", *web("--source", RUNS), cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: The web page needs voila. Install it with: pip install 'auditkit[web]'\n"


def test_other_commands_import_nothing_of_the_web_page(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom auditkit.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'voila', 'jupyter_server', 'nbconvert', 'tornado', 'pandas', 'auditkit.web'}\n"
        "print('IMPORTED', sorted(heavy & set(sys.modules)))\n"
    )
    for arguments in (["--help"], ["web", "--help"], ["list", "--source", str(RUNS)]):
        done = python("-c", code, *arguments, cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == "IMPORTED []", done.stderr


def test_the_app_is_a_sound_notebook_of_one_cell() -> None:
    notebook = nbformat.read(
        Path(auditkit.__file__).parent / "web" / "app.ipynb", as_version=nbformat.NO_CONVERT
    )
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    (cell,) = notebook.cells
    assert "akw.Workbench(" in cell.source
    assert cell.outputs == []


# --- reports --------------------------------------------------------------------------------------------

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reports of three notebooks, as a user makes them."""
    folder = tmp_path_factory.mktemp("reports")
    widget_notebook(folder / "widgets.ipynb")
    notebooks = [*map(str, sorted((ROOT / "notebooks").glob("0[12]_*.ipynb"))), "widgets.ipynb"]
    arguments = ["-m", "jupyter", "nbconvert", "--to", "auditkit", "--output-dir", str(folder), *notebooks]
    done = python(*arguments, cwd=folder, env=surroundings(folder) | {"PYTHONWARNINGS": None})
    assert done.returncode == 0, done.stderr
    return folder


def widget_notebook(path: Path) -> None:
    data = {
        WIDGET_VIEW: {"model_id": "abc", "version_major": 2, "version_minor": 0},
        "application/javascript": "alert('script')",
        "text/html": "<p>what the widget shows without a kernel</p>",
        "text/plain": "Workbench()",
    }
    hostile = (
        '<img src="https://evil.example/a.png"><script src="https://evil.example/a.js"></script>'
        "<style>@import 'https://evil.example/a.css';</style><iframe src='https://evil.example/'></iframe>"
    )
    outputs = [
        nbformat.v4.new_output("display_data", data=data),
        nbformat.v4.new_output(
            "display_data", data={WIDGET_VIEW: data[WIDGET_VIEW], "text/plain": "only in words"}
        ),
        nbformat.v4.new_output("display_data", data={"text/html": hostile}),
    ]
    cell = nbformat.v4.new_code_cell("workbench", outputs=outputs, execution_count=1)
    state = {
        "state": {"abc": {"model_name": "M", "model_module": "anywidget", "state": {}}},
        "version_major": 2,
        "version_minor": 0,
    }
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {WIDGET_STATE: state}})
    nbformat.write(notebook, path)


@pytest.mark.parametrize("name", ["01_load_and_inspect.html", "02_export_evidence.html"])
def test_a_report_of_our_notebooks_loads_nothing(reports: Path, name: str) -> None:
    html = (reports / name).read_text(encoding="utf-8")
    assert "<table" in html
    assert '<html lang="en">' in html
    assert not LOADED_FROM_OUTSIDE.search(html)
    assert "<script" not in html


def test_a_report_shows_a_widget_as_it_is_without_a_kernel(reports: Path, browser: Browser) -> None:
    html = (reports / "widgets.html").read_text(encoding="utf-8")
    assert WIDGET_VIEW not in html
    assert WIDGET_STATE not in html
    assert "alert('script')" not in html
    with fresh_page(browser) as (page, traffic):
        page.goto((reports / "widgets.html").as_uri())
        expect(page.get_by_text("what the widget shows without a kernel")).to_be_visible()
        expect(page.get_by_text("only in words")).to_be_visible()
        page.wait_for_timeout(300)
        assert traffic.outside == []


def test_a_report_follows_the_colour_scheme(reports: Path, browser: Browser) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        with fresh_page(browser, color_scheme=scheme) as (page, _):
            page.goto((reports / "01_load_and_inspect.html").as_uri())
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
