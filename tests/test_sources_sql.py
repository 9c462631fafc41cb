"""Runs in databases: what they refuse, in words without secrets, and what is never half done."""

from __future__ import annotations

import logging
import os
import pickle
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from children import python, succeed
from records import a_result, a_run, dumped, exported, found, meaning, saved
from servers import Server, free_port, mariadb, new_database, postgres  # noqa: F401 - fixtures

import auditkit as ak
from auditkit.crew.inside import sendable
from auditkit.errors import (
    AuditkitError,
    DatabaseError,
    InvalidOptionError,
    InvalidRunError,
    MissingExtraError,
    NoSourceError,
)
from auditkit.scan import Scan, count_results, scan
from auditkit.sources.base import open_source
from auditkit.sources.sql import adbc
from auditkit.sources.sql.address import address_of
from auditkit.sources.sql.loading import init_database, load_into_database

SECRET = "hunter2-Sälz"
LONG = 20_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An SQLite database with one run of three results."""
    return loaded(f"sqlite:///{tmp_path}/audit.sqlite", tmp_path, a_run())


@pytest.fixture(scope="module")
def big(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: F811
    """A PostgreSQL database with a run of more than the sockets between hold."""
    url = loaded(new_database(postgres), tmp_path_factory.mktemp("big"), a_run(1, id="big"))
    execute(
        url,
        "INSERT INTO audit_results SELECT run_id, n, result_id, submission_id, user_id, user_score, "
        "ai_score, deviation, deviation_type, suggested_action, action_taken, task_title, skill_area, "
        "task_difficulty, timestamp, reviewer, repeat('note ', 100), extra "
        "FROM audit_results, generate_series(1, 120000) AS n",
    )
    return url


@pytest.fixture(params=["adbc", "rows"])
def driver(request: pytest.FixtureRequest) -> str:
    """An end of a URL with which PostgreSQL is read by ADBC, or row by row."""
    return "" if request.param == "adbc" else "?gssencmode=disable"


def loaded(url: str, folder: Path, *runs: dict[str, Any]) -> str:
    init_database(url)
    report = load_into_database(saved(folder / "runs.json", dumped(list(runs), None)), url)
    assert not report.failed, report.failed
    return url


def execute(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(address_of(url).url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return list(result) if result.returns_rows else []


def refusal(url: str, caplog: pytest.LogCaptureFixture | None = None) -> str:
    """The error of reading a run, after seeing that no secret stands in it, its traceback or the log."""
    with pytest.raises(AuditkitError) as caught:
        ak.load_run("run-001", source=url)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    told += "" if caplog is None else caplog.text
    told += str(pickle.loads(pickle.dumps(sendable(caught.value))))
    password = sa.make_url(url).password
    for secret in (SECRET, *([str(password)] if password else [])):
        assert secret not in told
    return str(caught.value)


def test_a_database_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    said = refusal(f"sqlite:///{tmp_path}/none.sqlite")
    assert "There is no database" in said
    assert "auditkit db init" in said
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    saved(tmp_path / "x.sqlite", b"this is text, and long enough to be looked at" * 100)
    assert "is no sqlite database" in refusal(f"sqlite:///{tmp_path}/x.sqlite")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("sqlite://", "in memory"),
        ("duckdb:///:memory:", "in memory"),
        (f"postgresql://user:{SECRET}@host:port/db", "no URL of a database"),
        (f"mysql+nothing://user:{SECRET}@host/db", "not installed"),
    ],
)
def test_urls_that_mean_no_database_are_refused_without_their_secrets(asked: str, wanted: str) -> None:
    with pytest.raises((NoSourceError, MissingExtraError), match=wanted) as caught:
        ak.load_run("run-001", source=asked)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_bare_names_of_servers_take_the_drivers_of_the_extra() -> None:
    drivers = {
        name: address_of(f"{name}://u@h/d").parsed.drivername for name in ("postgresql", "mysql", "mariadb")
    }
    assert drivers == {
        "postgresql": "postgresql+psycopg",
        "mysql": "mysql+pymysql",
        "mariadb": "mariadb+pymysql",
    }


def test_the_location_has_neither_password_nor_options() -> None:
    source = open_source(f"postgresql://me:{SECRET}@host:1234/audits?sslpassword={SECRET}")
    assert source.location == "postgresql+psycopg://me@host:1234/audits"
    assert SECRET not in repr(source)


def test_a_relative_path_goes_on_meaning_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source(loaded("sqlite:///audit.sqlite", tmp_path, a_run()))
    monkeypatch.chdir("/")
    assert source.location == "sqlite:///audit.sqlite"
    assert len(source.listing().headers) == 1


def test_sqlite_is_in_wal_mode(url: str) -> None:
    assert execute(url, "PRAGMA journal_mode") == [("wal",)]


def test_a_database_in_a_folder_that_cannot_be_written_says_what_to_do(url: str, tmp_path: Path) -> None:
    # read as if nobody wrote, it would be read in two states while another user does
    for path in tmp_path.iterdir():
        os.chmod(path, 0o444)
    os.chmod(tmp_path, 0o555)
    script = "import auditkit, sys; print(auditkit.load_run('run-001', source=sys.argv[1]).critical_flags)"
    try:
        done = python("-c", script, url, cwd=Path.cwd(), humble=True)
    finally:
        os.chmod(tmp_path, 0o755)
    assert done.returncode == 1
    assert "cannot be opened without the right to write into its folder" in done.stderr
    assert "or a copy of the file" in done.stderr


def test_a_database_that_is_mounted_read_only_is_read(url: str, tmp_path: Path) -> None:
    for path in tmp_path.iterdir():
        os.chmod(path, 0o444)
    os.chmod(tmp_path, 0o555)
    script = (  # a mount needs rights that tests do not have: the system is made to say there is one
        "import os, sys, types, auditkit; os.statvfs = lambda _: types.SimpleNamespace(f_flag=os.ST_RDONLY); "
        "print(auditkit.load_run('run-001', source=sys.argv[1]).critical_flags)"
    )
    try:
        done = python("-c", script, url, cwd=Path.cwd(), humble=True)
    finally:
        os.chmod(tmp_path, 0o755)
    assert succeed(done) == "0\n"


def test_a_database_that_nobody_writes_to_in_wal_mode_needs_no_such_right(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "audit.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    os.chmod(tmp_path, 0o555)
    script = "import auditkit, sys; print(auditkit.load_run('run-001', source=sys.argv[1]).critical_flags)"
    try:
        done = python("-c", script, url, cwd=Path.cwd(), humble=True)
    finally:
        os.chmod(tmp_path, 0o755)
    assert succeed(done) == "0\n"


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_database_that_is_made_is_for_its_owner_alone(kind: str, tmp_path: Path) -> None:
    init_database(f"{kind}:///{tmp_path}/audit.db")
    assert (tmp_path / "audit.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "asked",
    [
        "postgresql://user:{0}@{0}@host/db",
        "postgresql://user:x@{0}/{0}@host/db",
        "mysql://user:x@{0}?{0}@host/db",
    ],
)
def test_an_at_sign_in_a_password_is_refused_and_shows_no_end_of_it(asked: str) -> None:
    with pytest.raises(NoSourceError, match="%40 for @") as caught:
        address_of(asked.format(SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert address_of("postgresql://me@corp:a%40b@host/db?user=me@corp").location == (
        "postgresql+psycopg://me%40corp@host/db"
    )


def test_text_in_a_number_column_is_judged_by_the_filter_itself(url: str, tmp_path: Path) -> None:
    execute(url, "ALTER TABLE audit_results DROP COLUMN user_score")
    execute(url, "ALTER TABLE audit_results ADD COLUMN user_score TEXT")
    execute(url, "UPDATE audit_results SET user_score = CASE position WHEN 1 THEN '9' ELSE '100' END")
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    (part,) = scan(run, Scan(filter=ak.Filter(user_score=(None, 50))))
    assert part.positions.tolist() == [1]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("position = 1.5 WHERE position = 1", "not a whole number of 64 bits"),
        ("position = 'abc' WHERE position = 1", "not a number"),
        ("position = -5 WHERE position = 0", "positions have to increase from 0"),
    ],
)
@pytest.mark.parametrize("asked", [ak.Filter(), ak.Filter(user_score=(0, None))], ids=["all", "filtered"])
def test_positions_that_are_none_are_failures_with_a_filter_too(
    url: str, asked: ak.Filter, change: str, rule: str
) -> None:
    execute(url, f"UPDATE audit_results SET {change}")
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    with pytest.raises(InvalidRunError, match=rule):
        list(scan(run, Scan(filter=asked)))


def test_a_position_that_stands_twice_is_a_failure_with_a_filter_too(url: str) -> None:
    execute(url, "CREATE TABLE other AS SELECT * FROM audit_results")
    execute(url, "DROP TABLE audit_results")
    execute(url, "ALTER TABLE other RENAME TO audit_results")
    execute(url, "UPDATE audit_results SET position = 1 WHERE position = 2")
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    with pytest.raises(InvalidRunError, match="comes behind row 1: positions have to increase"):
        list(scan(run, Scan(filter=ak.Filter(user_score=(0, None)))))


def test_an_id_that_is_no_text_is_one_error(url: str) -> None:
    execute(url, "UPDATE audit_runs SET run_id = x'ff'")
    with pytest.raises(DatabaseError, match="holds a value that cannot be read"):
        ak.list_available_runs(source=url)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgres"])
def test_rows_missing_at_the_end_are_told(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"{kind}:///{tmp_path}/audit.db"
    if kind == "postgres":
        url = new_database(request.getfixturevalue("postgres"))
    loaded(url, tmp_path, a_run(8))
    execute(url, "DELETE FROM audit_results WHERE position >= 6")
    assert "8 rows were loaded, none is there from row 6 on: rows are missing" in refusal(url)
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    with pytest.raises(InvalidRunError, match="8 rows were loaded, 6 are there: rows are missing"):
        count_results(run)
    with pytest.raises(InvalidRunError, match="none is there from row 6 on"):
        list(scan(run, Scan(start=2, stop=7)))
    assert sum(len(part.positions) for part in scan(run, Scan(start=2, stop=6))) == 4
    assert list(scan(run, Scan(stop=0))) == []
    execute(url, "DELETE FROM audit_results")
    assert "8 rows were loaded, none is there from row 0 on" in refusal(url)
    execute(url, "UPDATE audit_runs SET result_count = NULL")  # as where others fill the tables
    assert len(ak.load_run("run-001", source=url).results) == 0


def test_a_damaged_file_is_told_without_words_of_servers(url: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite"
    execute(url, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[100:] = b"\x7f" * (len(data) - 100)
    path.write_bytes(data)
    assert "is damaged. Restore it from a copy" in refusal(url)


def test_a_duckdb_file_that_is_open_in_another_mode_says_so(tmp_path: Path) -> None:
    url = loaded(f"duckdb:///{tmp_path}/audit.db", tmp_path, a_run())
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    batches = run.batches()
    next(batches)
    with pytest.raises(DatabaseError, match=r"in another mode\. Finish reading"):
        init_database(url)
    batches.close()  # type: ignore[attr-defined]


def test_one_id_is_loaded_as_one_and_none_twice(url: str, tmp_path: Path) -> None:
    assert load_into_database(tmp_path / "runs.json", url, run_ids="run-001").unchanged == ("run-001",)
    with pytest.raises(InvalidOptionError, match="stands twice"):
        load_into_database(tmp_path / "runs.json", url, run_ids=["run-001", "run-001"])


def test_what_stands_in_the_wal_of_a_writer_is_read(url: str, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "audit.sqlite")
    writer.execute("UPDATE audit_runs SET critical_flags = 7")
    writer.commit()
    assert (tmp_path / "audit.sqlite-wal").stat().st_size > 0
    assert ak.load_run("run-001", source=url).critical_flags == 7
    writer.close()


def test_a_reader_sees_one_moment_while_another_one_writes(tmp_path: Path) -> None:
    url = loaded(f"sqlite:///{tmp_path}/audit.sqlite", tmp_path, a_run(LONG))
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    batches = run.batches()
    held = [next(batches)]
    execute(url, "DELETE FROM audit_results WHERE position > 10")
    assert sum(map(len, [*held, *batches])) == LONG


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgres"])
def test_a_missing_table_or_column_is_named(
    kind: str, tmp_path: Path, driver: str, request: pytest.FixtureRequest
) -> None:
    url = f"{kind}:///{tmp_path}/audit.db"
    if kind == "postgres":
        url = new_database(request.getfixturevalue("postgres")) + driver
    loaded(url, tmp_path, a_run())
    execute(url, "ALTER TABLE audit_results RENAME COLUMN notes TO remarks")
    assert "lacks the column 'audit_results.notes'" in refusal(url).replace(
        "'notes'", "'audit_results.notes'"
    )
    execute(url, "DROP TABLE audit_results")
    assert "has no table 'audit_results'. `auditkit db init URL` makes the tables" in refusal(url)
    execute(url, "DROP TABLE audit_runs")
    assert "has no table 'audit_runs'" in refusal(url)


def test_a_server_that_is_down_or_refuses_is_told_in_words(
    postgres: Server,  # noqa: F811
    driver: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    down = f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/audits{driver}"
    assert "cannot be reached" in refusal(down, caplog)
    assert "refuses the user or the password" in refusal(
        postgres.url_of(password="no-" + "way") + driver, caplog
    )
    assert "knows no such database" in refusal(postgres.url_of(database="nowhere") + driver, caplog)


BROKEN = {
    "UPDATE audit_results SET deviation_type = 'huge' WHERE position = 2": (2, "deviationType"),
    "UPDATE audit_results SET user_id = NULL WHERE position = 12000": (12_000, "userId"),
    "UPDATE audit_results SET timestamp = 'yesterday' WHERE position = 19999": (19_999, "timestamp"),
    "UPDATE audit_results SET extra = '[]' WHERE position = 9000": (9_000, "extra"),
}


@pytest.mark.parametrize(
    ("kind", "driver"),
    [("sqlite", ""), ("duckdb", ""), ("postgres", ""), ("postgres", "?gssencmode=disable")],
)
def test_rows_that_break_the_schema_are_all_told_and_no_file_is_left(
    kind: str, tmp_path: Path, driver: str, request: pytest.FixtureRequest
) -> None:
    url = f"{kind}:///{tmp_path}/audit.db"
    if kind == "postgres":
        url = new_database(request.getfixturevalue("postgres")) + driver
    loaded(url, tmp_path, a_run(LONG))
    for statement in BROKEN:
        execute(url, statement)
    with pytest.raises(InvalidRunError) as caught:
        ak.export_audit_run("run-001", "csv", source=url, output_dir=tmp_path / "out")
    told = {(failure.position, failure.field) for failure in caught.value.rows}
    assert told == set(BROKEN.values())
    assert {failure.run_id for failure in caught.value.rows} == {"run-001"}
    assert exported(tmp_path / "out") == {}


def test_values_of_other_types_are_refused_where_sqlite_let_them_in(url: str) -> None:
    execute(url, "UPDATE audit_results SET notes = x'00ff', user_score = 'many' WHERE position = 1")
    with pytest.raises(InvalidRunError) as caught:
        ak.load_run("run-001", source=url)
    assert {(row.position, row.field) for row in caught.value.rows} == {(1, "notes"), (1, "userScore")}


def test_missing_rows_are_told(url: str) -> None:
    execute(url, "DELETE FROM audit_results WHERE position = 1")
    assert "row 2, position: comes behind row 0: rows are missing" in refusal(url)
    execute(url, "DELETE FROM audit_results WHERE position = 0")
    assert "row 2, position: is the first row: rows are missing" in refusal(url)


def test_a_broken_header_is_a_failure_of_that_run_alone(tmp_path: Path) -> None:
    url = loaded(f"sqlite:///{tmp_path}/a.sqlite", tmp_path, a_run(id="a"), a_run(id="b"), a_run(id="c"))
    execute(url, "UPDATE audit_runs SET status = 'odd', total_submissions = 1.5 WHERE run_id = 'b'")
    listing = open_source(url).listing()
    assert [header.id for header in listing.headers] == ["a", "c"]
    assert {(row.run_id, row.field) for row in listing.failures.rows} == {
        ("b", "status"),
        ("b", "totalSubmissions"),
    }
    good, bad = open_source(url).open(["c", "b"])
    assert isinstance(good, ak.AuditRun)
    assert isinstance(bad, InvalidRunError)


def test_a_header_that_changed_meanwhile_is_exported_as_it_is_by_now(url: str, tmp_path: Path) -> None:
    (run,) = open_source(url).open()
    assert isinstance(run, ak.AuditRun)
    execute(url, "UPDATE audit_runs SET critical_flags = 7")
    assert run.loaded().critical_flags == 7
    execute(url, "DELETE FROM audit_runs")
    with pytest.raises(InvalidRunError, match="is not there any more"):
        run.loaded()


def test_a_connection_cut_in_the_middle_is_one_error_and_leaves_no_file(
    big: str, driver: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = open_source(big + driver)
    (run,) = source.open(["big"])
    assert isinstance(run, ak.AuditRun)
    whole = run.batches

    def cut() -> Iterator[Any]:
        for number, batch in enumerate(whole()):
            if number == 1:
                execute(
                    big,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()",
                )
            yield batch

    object.__setattr__(run, "batches", cut)
    with pytest.raises(DatabaseError, match="was cut") as caught:
        ak.export_audit_run(run, "csv", output_dir=tmp_path / "out")
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert str(sa.make_url(big).password) not in told
    assert exported(tmp_path / "out") == {}


def test_a_huge_run_is_counted_and_read_in_part_without_reading_it_all(big: str, driver: str) -> None:
    (run,) = open_source(big + driver).open(["big"])
    assert isinstance(run, ak.AuditRun)
    assert count_results(run) == 120_001
    (part,) = scan(run, Scan(start=119_998, columns=("notes",)))
    assert part.positions.tolist() == [119_998, 119_999, 120_000]
    assert part.batch.to_pylist() == [{"notes": "note " * 100}] * 3


def test_loading_again_changes_nothing_and_a_changed_run_is_replaced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    loaded(url, tmp_path, a_run(id="a"), a_run(id="b"))
    before = execute(url, "SELECT * FROM audit_runs"), execute(url, "SELECT * FROM audit_results")
    runs = saved(tmp_path / "runs.json", dumped([a_run(id="a"), a_run(id="b")]))
    assert load_into_database(runs, url).unchanged == ("a", "b")
    assert before == (execute(url, "SELECT * FROM audit_runs"), execute(url, "SELECT * FROM audit_results"))
    changed = a_run([a_result(5, notes="new")], id="a")
    saved(runs, dumped([changed, a_run(id="b"), a_run(0, id="c")]))
    report = load_into_database(runs, url)
    assert (report.loaded, report.unchanged) == (("a", "c"), ("b",))
    assert ak.list_available_runs(source=url) == ["a", "b", "c"]
    assert found(ak.load_run("a", source=url)) == meaning(changed)


def test_rows_taken_away_by_hand_are_loaded_again(url: str, tmp_path: Path) -> None:
    execute(url, "DELETE FROM audit_results WHERE position = 2")
    assert load_into_database(tmp_path / "runs.json", url).loaded == ("run-001",)
    assert found(ak.load_run("run-001", source=url)) == meaning(a_run())


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgres"])
def test_a_run_that_cannot_be_loaded_changes_nothing_and_the_others_go_on(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"{kind}:///{tmp_path}/audit.db"
    if kind == "postgres":
        url = new_database(request.getfixturevalue("postgres"))
    init_database(url)
    folder = tmp_path / "runs"
    folder.mkdir()
    for name in "abc":
        saved(folder / f"{name}.json", dumped(a_run(id=name)))
    assert load_into_database(folder, url).loaded == ("a", "b", "c")
    rows = [a_result(number) for number in range(LONG)]
    saved(folder / "b.json", dumped(a_run([*rows, a_result(1, deviationType="odd")], id="b")))
    saved(folder / "c.json", dumped(a_run(1, id="c")))
    report = load_into_database(folder, url)
    assert (report.loaded, report.unchanged) == (("c",), ("a",))
    assert [(failure.run_id, type(failure.error)) for failure in report.failed] == [("b", InvalidRunError)]
    assert found(ak.load_run("b", source=url)) == meaning(a_run(id="b"))


def test_a_nul_character_is_refused_by_postgresql_with_field_and_row(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    url = new_database(postgres)
    init_database(url)
    runs = saved(tmp_path / "runs.json", dumped(a_run([a_result(0), a_result(1, notes="a\0b", userId="\0")])))
    (failure,) = load_into_database(runs, url).failed
    assert isinstance(failure.error, InvalidRunError)
    assert [(row.position, row.field) for row in failure.error.rows] == [(1, "userId"), (1, "notes")]
    assert ak.list_available_runs(source=url) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_loads_at_once_double_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    if kind == "postgres":
        url = new_database(request.getfixturevalue("postgres"))
    at_once(url, tmp_path)


def at_once(url: str, folder: Path) -> None:
    """Load the same runs twice at once, and see that each is there once."""
    init_database(url)
    runs = [a_run(2_000, id=f"run-{number}") for number in range(6)]
    file = saved(folder / "runs.json", dumped(runs, None))
    reports: list[Any] = []
    threads = [
        threading.Thread(target=lambda: reports.append(load_into_database(file, url))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.failed for report in reports] == [(), ()]
    assert sorted(sum((report.loaded for report in reports), ())) == [run["id"] for run in runs]
    assert sorted(ak.list_available_runs(source=url)) == [run["id"] for run in runs]
    assert execute(url, "SELECT count(*) FROM audit_results") == [(12_000,)]


def test_a_database_without_the_tables_is_one_error_of_the_load(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with pytest.raises(DatabaseError, match="auditkit db init"):
        load_into_database("sample_data/runs", f"sqlite:///{tmp_path}/empty.sqlite")


def test_postgresql_is_read_by_arrow_where_its_driver_is_there(postgres: Server) -> None:  # noqa: F811
    assert adbc.is_usable(address_of(postgres.url))
    assert not adbc.is_usable(address_of(postgres.url + "?gssencmode=disable"))


@pytest.mark.mariadb
def test_mariadb_says_in_words_what_it_refuses(mariadb: Server, tmp_path: Path) -> None:  # noqa: F811
    assert "refuses the user or the password" in refusal(mariadb.url_of(password=SECRET.replace("ä", "a")))
    assert "knows no such database" in refusal(mariadb.url_of(database="nowhere"))
    url = new_database(mariadb)
    assert f"has no table '{sa.make_url(url).database}.audit_runs'" in refusal(url)
    loaded(url, tmp_path, a_run())
    execute(url, "ALTER TABLE audit_results RENAME COLUMN notes TO remarks")
    assert "lacks the column 'audit_results.notes'" in refusal(url)


@pytest.mark.mariadb
def test_mariadb_takes_two_loads_at_once(mariadb: Server, tmp_path: Path) -> None:  # noqa: F811
    at_once(new_database(mariadb), tmp_path)


@pytest.mark.parametrize(
    "use",
    [
        "ak.open_source('sqlite:///audit.sqlite')",
        "ak.open_source('nightly.toml')",
        "ak.init_database('sqlite:///audit.sqlite')",
        "ak.SqlExportLog('sqlite:///audit.sqlite')",
    ],
)
def test_without_sqlalchemy_everything_says_which_extra_to_install(use: str, tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["sqlalchemy"] = None
import auditkit as ak
try:
    {use}
except ak.errors.MissingExtraError as error:
    print(error)
"""
    said = succeed(python("-c", script, cwd=tmp_path))
    assert said.strip().endswith("pip install 'auditkit[sql]'")
