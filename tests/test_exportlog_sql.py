"""The export log in a database, too: the same lines, whatever happens to the database."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from children import environment
from servers import Server, new_database, postgres, started_postgres  # noqa: F401 - a fixture

import auditkit as ak
from auditkit.errors import DatabaseError, NoSourceError, VerificationError
from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, publish
from auditkit.sources.sql.exportlog import SqlExportLog

pytestmark = pytest.mark.filterwarnings("ignore:duckdb-engine doesn't yet support reflection")

RUNS = "sample_data/runs"
_EXPORTING = """\
import sys
import auditkit as ak
from auditkit.sources.sql.exportlog import SqlExportLog
source, folder, url, *ids = sys.argv[1:]
for run_id in ids:
    ak.export_audit_run(run_id, "csv", source=source, output_dir=folder, log=SqlExportLog(url))
"""


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def url(request: Any, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return new_database(request.getfixturevalue("postgres"))
    return f"{request.param}:///{tmp_path}/log.{request.param}"


def rows_of(url: str) -> list[dict[str, Any]]:
    """The table as the database itself gives it."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT * FROM audit_export_log ORDER BY log, seq")
        rows = [dict(row) for row in found.mappings()]
    engine.dispose()
    return rows


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "export-log.jsonl").read_bytes().splitlines(keepends=True)


def export(run_id: str, folder: Path, log: Any, format: str = "csv") -> ak.ExportReceipt:
    return ak.export_audit_run(run_id, format, source=RUNS, output_dir=folder, log=log)


def same_lines(url: str, *folders: Path) -> None:
    """The table holds the lines of these logs, and nothing else."""
    by_log: dict[str, list[bytes]] = {}
    for row in rows_of(url):
        by_log.setdefault(row["log"], []).append(row["record"].encode() + b"\n")
    logs = [lines_of(folder) for folder in folders]
    assert by_log == {hashlib.sha256(lines[0]).hexdigest(): lines for lines in logs}


def test_the_table_gets_the_lines_of_the_file_with_what_they_say_in_columns(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export("run-001", folder, SqlExportLog(url))
    receipt = export("run-003", folder, SqlExportLog(url), "json")
    same_lines(url, folder)
    lines = lines_of(folder)
    for number, (row, line) in enumerate(zip(rows_of(url), lines, strict=True), 1):
        said = json.loads(line)
        assert (row["seq"], row["hash"]) == (number, hashlib.sha256(line).hexdigest())
        for name in ("prev", "event", "time", "actor", "path", "format", "rows", "bytes", "sha256"):
            assert row[name] == said[name]
        assert json.loads(row["run_ids"]) == said["run_ids"]
    assert receipt.log_head == rows_of(url)[-1]["hash"]


def test_the_frame_is_that_of_the_file(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export("run-001", folder, SqlExportLog(url))
    frame = SqlExportLog(url).read()
    assert frame.drop(columns="log").equals(ak.read_export_log(folder))


def test_a_url_alone_is_enough(url: str, tmp_path: Path) -> None:
    export("run-001", tmp_path / "out", url)
    same_lines(url, tmp_path / "out")


def test_lines_from_before_the_table_are_caught_up_with(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export("run-001", folder, None)
    export("run-002", folder, SqlExportLog(url))
    assert len(rows_of(url)) == 4
    same_lines(url, folder)
    assert SqlExportLog(url).copy(folder / "export-log.jsonl") == 0


def test_several_logs_share_a_table(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in (*folders, *folders):
        export("run-001", folder, SqlExportLog(url))
    same_lines(url, *folders)
    assert SqlExportLog(url).read().log.nunique() == 2


def test_exports_from_four_processes_into_three_folders_are_all_there(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("shared", "shared", "one", "two")]
    ids = ["run-001", "run-002", "run-003"]
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore:duckdb-engine", "-c", _EXPORTING, RUNS, folder, url, *ids],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    for child in children:
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said.decode()
    same_lines(url, *dict.fromkeys(folders))
    assert len(rows_of(url)) == 2 * 4 * 3
    assert len(SqlExportLog(url).read()) == 2 * 4 * 3


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_without_its_database_no_export_becomes_visible(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export("run-001", folder, None)
    nowhere = "postgresql+psycopg://auditor:s3cr3t@127.0.0.1:1/audits"
    with pytest.raises(DatabaseError, match="cannot be reached"):
        export("run-002", folder, SqlExportLog(nowhere))
    assert sorted(path.name for path in folder.iterdir()) == [
        "audit-run-run-001-2024-01-15.csv",
        "export-log.jsonl",
    ]
    assert ak.read_export_log(folder).event.to_list() == ["begin", "commit", "begin", "failed"]
    assert "s3cr3t" not in (folder / "export-log.jsonl").read_text()


def test_a_database_lost_before_the_commit_leaves_the_file_and_is_caught_up_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = started_postgres()
    try:
        folder = tmp_path / "out"
        log = SqlExportLog(server.url)
        export("run-001", folder, log)
        beside = log.beside(ExportLog(path=folder / "export-log.jsonl"))
        draft = Draft(folder=folder, name="late.csv", write=_write_late)
        with caplog.at_level(logging.WARNING, "auditkit"):
            (published,) = publish([draft], log=_Stopping(beside, server))
        assert not isinstance(published, Exception), published
        assert (folder / "late.csv").read_bytes() == b"late"
        assert ak.read_export_log(folder).event.to_list()[-1] == "commit"
        assert "The next export catches up" in caplog.text
        assert server.password not in caplog.text
    finally:
        server.stop()
    other = f"sqlite:///{tmp_path}/again.sqlite"
    export("run-002", folder, SqlExportLog(other))
    same_lines(other, folder)


def _write_late(sink: Any) -> None:
    sink.write(b"late")


class _Stopping:
    """A log whose database server ends once an export has begun."""

    def __init__(self, log: Any, server: Server):
        self._log = log
        self._server = server

    def publishing(self, staged: Any) -> Any:
        @contextmanager
        def around() -> Any:
            with self._log.publishing(staged) as begun:
                self._server.process.send_signal(self._server.ending)
                self._server.process.wait(60)
                yield begun

        return around()


def test_what_an_outage_kept_out_is_there_after_the_next_export(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export("run-001", folder, SqlExportLog(url))
    execute(url, "DELETE FROM audit_export_log WHERE seq = 2")  # as if it had been lost at the commit
    export("run-002", folder, SqlExportLog(url))
    same_lines(url, folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit_export_log SET record = replace(record, 'csv', 'xls') WHERE seq = 2", "line 2"),
        ("DELETE FROM audit_export_log WHERE seq = 2", "line 2"),
        ("DELETE FROM audit_export_log WHERE seq = 1", "line 1"),
    ],
)
def test_a_changed_table_is_noticed(url: str, tmp_path: Path, change: str, said: str) -> None:
    for run_id in ("run-001", "run-002"):
        export(run_id, tmp_path / "out", SqlExportLog(url))
    SqlExportLog(url).read()
    execute(url, change.replace("%", "%%"))
    with pytest.raises(VerificationError, match=said):
        SqlExportLog(url).read()


def test_a_log_file_that_lost_its_end_is_noticed_by_the_next_export(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for run_id in ("run-001", "run-002"):
        export(run_id, folder, SqlExportLog(url))
    log = folder / "export-log.jsonl"
    log.write_bytes(b"".join(lines_of(folder)[:2]))
    with pytest.raises(VerificationError, match="3 lines, the database 4"):
        export("run-003", folder, SqlExportLog(url))
    assert len(list(folder.glob("*run-003*"))) == 0


def test_a_password_is_shown_nowhere(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    wrong = SqlExportLog(postgres.url_of(password="s3cr3t"))
    with pytest.raises(DatabaseError) as caught:
        export("run-001", tmp_path / "out", wrong)
    copy = pickle.loads(pickle.dumps(wrong))
    shown = [repr(wrong), str(wrong), wrong.location, repr(copy), repr(vars(copy))]
    for text in (*shown, *traceback.format_exception(caught.value)):
        assert "s3cr3t" not in text


def test_a_batch_in_processes_is_logged_in_the_database(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ids = ["run-001", "run-002", "run-003"]
    ak.export_multiple_runs(ids, "csv", source=RUNS, output_dir=folder, log=SqlExportLog(url), jobs=2)
    same_lines(url, folder)
    assert sum(row["event"] == "commit" for row in rows_of(url)) == 3


def test_what_is_no_url_of_a_database_is_refused_without_being_shown() -> None:
    with pytest.raises(NoSourceError) as caught:
        SqlExportLog("postgresql://a:s3cr3t@host:port/x")
    assert "s3cr3t" not in str(caught.value)
