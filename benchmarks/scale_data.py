"""What the rows of `make bench-scale` read, made on first use beside the run files."""

import atexit
import subprocess
import sys
from pathlib import Path

from benchmarks.data import CACHE, GENERATOR, ROOT, run_file, run_id

_servers: list[str] = []


def sqlite_url(results: int) -> str:
    """An embedded database with one run of so many results."""
    path = CACHE / f"audit-{results}.sqlite"
    url = f"sqlite:///{path}"
    if not _is_made(path):
        _auditkit("db", "init", url)
        _auditkit("db", "load", str(run_file(results)), "--into", url)
    return url


def postgres_url(results: int) -> str:
    """A throw-away PostgreSQL server on loopback with one run of so many results."""
    if not _servers:
        sys.path.append(str(ROOT / "tests"))  # the tests know how to start one
        from servers import started_postgres

        server = started_postgres()
        _servers.append(server.url)
        atexit.register(server.stop)
        _auditkit("db", "init", server.url)
    _auditkit("db", "load", str(run_file(results)), "--into", _servers[0])
    return _servers[0]


def parquet_file(results: int, times: int) -> str:
    """A Parquet file with one run that repeats the results of another so many times."""
    path = CACHE / f"run-{results}x{times}.parquet"
    if not _is_made(path):
        print(f"making {path.relative_to(ROOT)}", file=sys.stderr)
        script = (sys.executable, "-m", "benchmarks.repeat", str(run_file(results)), run_id(results))
        subprocess.run((*script, str(times), str(path)), cwd=ROOT, check=True)
    return str(path)


def _is_made(path: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= GENERATOR.stat().st_mtime


def _auditkit(*arguments: str) -> None:
    subprocess.run(
        (sys.executable, "-m", "auditkit", *arguments), cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
