"""Databases with tables of another shape, which a TOML file describes."""

from __future__ import annotations

import json
import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nightly import ABSENT, NIGHT_1, RESULTS, UUIDS, execute, filled, inserted, mapping
from servers import Server, new_database, postgres  # noqa: F401 - a fixture

import auditkit as ak
from auditkit.errors import DatabaseError, InvalidOptionError, InvalidRunError, NoSourceError
from auditkit.filters import Filter
from auditkit.scan import Scan, Scannable, count_results, scan

pytestmark = pytest.mark.filterwarnings("ignore:duckdb-engine doesn't yet support reflection")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return filled(f"sqlite:///{tmp_path}/nightly.sqlite")


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def url(request: Any, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return filled(new_database(request.getfixturevalue("postgres")))
    return filled(f"{request.param}:///{tmp_path}/nightly.{request.param}")


def failures_of(source: Any, run_id: str = "night-1") -> list[Any]:
    with pytest.raises(InvalidRunError) as caught:
        ak.load_run(run_id, source=source)
    return [(row.position, row.field, row.value) for row in caught.value.rows]


def test_a_nightly_audit_is_read_as_its_mapping_says(url: str, tmp_path: Path) -> None:
    source = ak.open_source(mapping(tmp_path, url))
    assert ak.list_available_runs(source=source) == ["night-1", "night-2"]
    receipt = ak.export_audit_run("night-1", "json", source=source, output_dir=tmp_path / "out")
    assert json.loads(receipt.path.read_text()) == NIGHT_1
    assert receipt.absent_fields == ABSENT
    assert ak.load_run("night-2", source=source).completed_at is None


def test_the_csv_leaves_blank_what_the_tables_lack(url: str, tmp_path: Path) -> None:
    source = mapping(tmp_path, url)
    receipt = ak.export_audit_run("night-1", "csv", source=source, output_dir=tmp_path / "out")
    assert receipt.path.read_text().splitlines()[1] == (
        "night-1,task-a,u-3,,frontend,,50,56,6,minor,,,,2024-01-15T01:01:00Z,,"
        "completed,3,9.5,1,2024-01-15T01:00:00Z,2024-01-15T01:30:00.25Z"
    )
    assert receipt.absent_fields == ABSENT


def test_columns_of_joined_tables_and_constants_become_fields(url: str, tmp_path: Path) -> None:
    source = mapping(
        tmp_path,
        url,
        ('run = "audit_run_id"', 'run = "audit_run_id"\njoin = [{table = "tasks", on = {task_id = "id"}}]'),
        ('user_id = "user_id"', 'user_id = "user_id"\ntask_title = "tasks.title"'),
        ('skill_area = "skill_area"', 'task_difficulty = {constant = "hard"}'),
    )
    results = ak.load_run("night-1", source=source).results
    assert results.task_title.to_list() == ["Build a menu", "Build a menu", "Sort a list"]
    assert results.task_difficulty.to_list() == ["hard"] * 3
    assert results.skill_area.isna().all()


def test_a_join_that_finds_several_rows_is_refused_and_makes_none_up(sqlite: str, tmp_path: Path) -> None:
    execute(sqlite, *inserted("tasks", [("task-b", "Sort a list again")]))
    join = ('run = "audit_run_id"', 'run = "audit_run_id"\njoin = [{table = "tasks", on = {task_id = "id"}}]')
    assert failures_of(mapping(tmp_path, sqlite, join)) == [(3, "order", None)]


def test_a_run_that_stands_there_twice_is_no_run(sqlite: str, tmp_path: Path) -> None:
    execute(sqlite, *inserted("tasks", [("night-1", "one"), ("night-1", "two")]))
    join = (
        'order = ["started_at", "id"]',
        'order = ["started_at", "id"]\njoin = [{table = "tasks", on = {id = "id"}}]',
    )
    source = ak.open_source(mapping(tmp_path, sqlite, join))
    assert [header.id for header in source.listing().headers] == ["night-2"]
    (refused,) = source.open(["night-1"])
    assert "stands there twice" in str(refused)


def test_an_order_that_leaves_rows_at_one_place_is_refused(sqlite: str, tmp_path: Path) -> None:
    loose = mapping(tmp_path, sqlite, ('order = ["timestamp", "id"]', 'order = ["timestamp"]'))
    assert failures_of(loose) == [(2, "order", None)]


def test_a_value_that_is_not_in_the_map_fails_in_its_row(url: str, tmp_path: Path) -> None:
    execute(url, "UPDATE results SET status = 'skipped' WHERE user_id = 'u-2'")
    assert failures_of(mapping(tmp_path, url)) == [(1, "deviationType", "'skipped'")]


def test_a_value_of_a_run_that_is_not_in_the_map_fails_in_the_listing(sqlite: str, tmp_path: Path) -> None:
    status = ('status = "status"\n', 'status = {column = "status", values = {completed = "completed"}}\n')
    source = ak.open_source(mapping(tmp_path, sqlite, status))
    listing = source.listing()
    assert [header.id for header in listing.headers] == ["night-1"]
    assert [(row.run_id, row.field, row.value) for row in listing.failures.rows] == [
        ("night-2", "status", "'running'")
    ]
    (refused,) = source.open(["night-2"])
    assert isinstance(refused, InvalidRunError)


def test_rows_can_be_limited_to_constants(url: str, tmp_path: Path) -> None:
    where = ('order = ["timestamp", "id"]', 'order = ["timestamp", "id"]\nwhere = {task_id = "task-a"}')
    run = ak.load_run("night-1", source=mapping(tmp_path, url, where))
    assert run.results.user_id.to_list() == ["u-3", "u-2"]


def test_timestamps_as_text_lose_no_digits(sqlite: str, tmp_path: Path) -> None:
    execute(
        sqlite,
        "UPDATE results SET timestamp = '2024-01-15 01:02:00.123456789' WHERE user_id = 'u-2'",
        "UPDATE results SET timestamp = '2024-01-15 01:01:00.123456000' WHERE user_id = 'u-3'",
    )
    assert failures_of(mapping(tmp_path, sqlite)) == [(2, "timestamp", "'2024-01-15 01:02:00.123456789'")]
    execute(sqlite, "UPDATE results SET timestamp = '2024-01-15T01:02:00.123456789Z' WHERE user_id = 'u-2'")
    run = ak.load_run("night-1", source=mapping(tmp_path, sqlite))
    receipt = ak.export_audit_run(run, "json", output_dir=tmp_path / "out")
    told = [result["timestamp"] for result in json.loads(receipt.path.read_text())["results"]]
    assert "2024-01-15T01:01:00.123456Z" in told


@pytest.mark.parametrize("count", ["2.75", "99999999999999999999"])
def test_a_total_that_is_no_whole_number_fails(count: str, url: str, tmp_path: Path) -> None:
    amount = f"CAST(CASE id WHEN 'night-1' THEN '{count}' ELSE '1' END AS NUMERIC(30, 2))"
    if url.startswith("sqlite"):
        amount = f"CASE id WHEN 'night-1' THEN '{count}' ELSE '1' END"
    kind = "NUMERIC(30, 2)" if not url.startswith("sqlite") else "TEXT"
    execute(url, "ALTER TABLE runs DROP COLUMN total_submissions")
    execute(url, f"ALTER TABLE runs ADD COLUMN total_submissions {kind}")
    execute(url, f"UPDATE runs SET total_submissions = {amount}")
    (failure,) = ak.open_source(mapping(tmp_path, url)).listing().failures.rows
    assert (failure.run_id, failure.field, failure.rule) == (
        "night-1",
        "totalSubmissions",
        "not a whole number of 64 bits",
    )


def test_an_infinity_of_a_database_is_no_instant(url: str, tmp_path: Path) -> None:
    execute(url, "UPDATE results SET timestamp = 'infinity' WHERE user_id = 'u-2'")
    with pytest.raises(
        (InvalidRunError, DatabaseError), match=r"infinity|a value that cannot be read|not a timestamp"
    ):
        ak.load_run("night-1", source=mapping(tmp_path, url))


def test_an_order_by_a_joined_column_is_refused(sqlite: str, tmp_path: Path) -> None:
    changes = (
        ('run = "audit_run_id"', 'run = "audit_run_id"\njoin = [{table = "tasks", on = {task_id = "id"}}]'),
        ('order = ["timestamp", "id"]', 'order = ["id", "tasks.title"]'),
    )
    with pytest.raises(InvalidOptionError, match=r"results\.order: 'tasks\.title' is of a joined table"):
        ak.open_source(mapping(tmp_path, sqlite, *changes))


def test_an_url_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    path = mapping(tmp_path, "x")
    path.write_text(path.read_text().replace('url = "x"', 'url = ["postgresql://u:hunter2@h/d"]'))
    with pytest.raises(InvalidOptionError, match="wrong at url: it is no text") as caught:
        ak.open_source(path)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_types_that_differ_are_told_in_words(postgres: Server, tmp_path: Path) -> None:  # noqa: F811
    url = filled(new_database(postgres))
    where = ('order = ["timestamp", "id"]', 'order = ["timestamp", "id"]\nwhere = {original_score = "high"}')
    number = ('order = ["timestamp", "id"]', 'order = ["timestamp", "id"]\nwhere = {task_id = 7}')
    for change in (where, number):
        with pytest.raises(DatabaseError, match=r"other types.*docs/mapping\.md"):
            ak.load_run("night-1", source=mapping(tmp_path, url, change))


def test_timestamps_without_a_zone_are_refused_unless_the_file_says_which(url: str, tmp_path: Path) -> None:
    source = mapping(tmp_path, url, ('naive_timestamps = "UTC"', ""))
    with pytest.raises(InvalidRunError, match="naive_timestamps"):
        ak.load_runs(source=source)


def test_scores_without_a_word_which_one_is_the_humans_are_refused(sqlite: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="nothing says which one a human gave"):
        ak.open_source(mapping(tmp_path, sqlite, ('human_score = "original_score"', "")))
    with pytest.raises(InvalidOptionError, match="a human gave 'new_score'"):
        ak.open_source(
            mapping(tmp_path, sqlite, ('human_score = "original_score"', 'human_score = "new_score"'))
        )


def test_no_deviation_is_computed_where_none_is_mapped(sqlite: str, tmp_path: Path) -> None:
    run = ak.load_run("night-1", source=mapping(tmp_path, sqlite, ('deviation = "deviation"\n', "")))
    assert run.results.deviation.isna().all()
    assert "deviation" in run.absent_fields


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[runs.columns]", "[runs.colums]", ["runs.colums", "'columns'"]),
        ("human_score", "humanscore", ["humanscore", "'human_score'"]),
        ('user_id = "user_id"', 'userid = "user_id"', ["results.columns.userid", "'user_id'"]),
        ('run = "audit_run_id"', "run = 7", ["results.run", "7 is no text"]),
        ('run = "audit_run_id"', "", ["results.run", "missing"]),
        ('order = ["timestamp", "id"]', 'order = "id"', ["results.order", "no list"]),
        ('minor = "minor"', 'minor = "small"', ["deviation_type.values.minor", "not one of none, minor"]),
        ('id = "id"\nstarted_at', 'id = {constant = "x"}\nstarted_at', ["runs.columns.id"]),
        ('"UTC"', '"CET"', ["naive_timestamps", "'CET'"]),
        ("[results]\n", "[results\n", ["no TOML", "line"]),
        ('"skill_area"', "{constant = [1]}", ["results.columns.skill_area.constant", "[1]"]),
        ('"skill_area"', '{colum = "skill_area"}', ["results.columns.skill_area"]),
        ('table = "results"', 'table = "results"\nwhere = {a = [1]}', ["results.where.a", "[1]"]),
        ('table = "results"', 'table = "results"\njoin = [{table = "tasks"}]', ["results.join[0].on"]),
        ("sqlite:///", "mongodb:///", ["url", "mongodb"]),
        ("sqlite:///", "sqlite:", ["url", "no URL"]),
    ],
)
def test_a_mistake_in_the_file_is_one_error_that_names_file_and_key(
    sqlite: str, tmp_path: Path, old: str, new: str, said: list[str]
) -> None:
    path = mapping(tmp_path, sqlite, (old, new))
    with pytest.raises((InvalidOptionError, NoSourceError)) as caught:
        ak.open_source(path)
    for part in (str(path), *said):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('table = "runs"', 'table = "run"', ["runs.table", "no table 'run'", "'runs'"]),
        ('"critical_issues_count"', '"critical_issue"', ["critical_flags", "'critical_issues_count'"]),
        ('run = "audit_run_id"', 'run = "run_id"', ["results.run", "'run_id'", "'audit_run_id'"]),
        (
            'order = ["timestamp", "id"]',
            'order = ["timestamp", "uid"]',
            ["results.order", "'uid'", "'user_id'"],
        ),
        (
            'table = "results"',
            'table = "results"\njoin = [{table = "tasks", on = {task_id = "idd"}}]',
            ["results.join", "'tasks' has no column 'idd'", "'id'"],
        ),
    ],
)
def test_a_table_or_column_that_is_not_there_is_named_with_those_that_are(
    url: str, tmp_path: Path, old: str, new: str, said: list[str]
) -> None:
    source = ak.open_source(mapping(tmp_path, url, (old, new)))
    with pytest.raises(InvalidOptionError) as caught:
        source.listing()
    for part in ("nightly.toml", *said):
        assert part in str(caught.value)


def test_names_and_values_cannot_smuggle_sql_in(url: str, tmp_path: Path) -> None:
    evil = "x; DROP TABLE results; --"
    execute(url, f'CREATE TABLE "evil"" t" (id VARCHAR(9), "{evil}" VARCHAR(40))')
    execute(url, *inserted('"evil"" t"', [("a", "1"), ("b", "o''; DROP TABLE results; --")]))
    text = f"""
url = "{url}"
[runs]
table = 'evil" t'
order = ["id"]
where = {{'{evil}' = "o'; DROP TABLE results; --"}}
columns = {{id = "id", task_title = '{evil}'}}
[results]
table = "results"
run = "audit_run_id"
order = ["id"]
columns = {{result_id = "id"}}
"""
    path = tmp_path / "evil.toml"
    path.write_text(text)
    (header,) = ak.open_source(path).listing().headers
    assert (header.id, header.task_title) == ("b", "o'; DROP TABLE results; --")
    assert ak.load_run("b", source=path).results.empty  # and no run of another id
    assert len(ak.load_results("night-1", source=mapping(tmp_path, url))) == 3


def test_parts_of_a_run_are_read_as_the_whole_is(url: str, tmp_path: Path) -> None:
    (run,) = ak.open_source(mapping(tmp_path, url)).open(["night-1"])
    assert isinstance(run, ak.AuditRun)
    assert isinstance(run.batches, Scannable)
    assert count_results(run) == 3
    wanted = Scan(columns=("user_id", "task_title"), filter=Filter(deviation=(5, None)), start=1)
    ((positions, batch),) = scan(run, wanted)
    assert (positions.tolist(), batch.to_pydict()) == ([2], {"user_id": ["u-1"], "task_title": [None]})
    absent_alone = list(scan(run, Scan(columns=("notes",), stop=2)))
    assert np.concatenate([part.positions for part in absent_alone]).tolist() == [0, 1]


def test_results_longer_than_a_batch_keep_their_order(sqlite: str, tmp_path: Path) -> None:
    many = [(f"m-{n:05}", "night-2", *RESULTS[3][2:-1], "2024-02-01 00:00:00") for n in range(20_000)]
    execute(sqlite, *inserted("results", many))
    found = ak.load_run("night-2", source=mapping(tmp_path, sqlite)).results.result_id.to_list()
    assert found == [UUIDS[3], *(row[0] for row in many)]


def test_a_run_whose_header_changed_is_read_with_the_new_one(sqlite: str, tmp_path: Path) -> None:
    (run,) = ak.open_source(mapping(tmp_path, sqlite)).open(["night-2"])
    assert isinstance(run, ak.AuditRun)
    execute(sqlite, "UPDATE runs SET status = 'completed' WHERE id = 'night-2'")
    assert (run.status, run.loaded().status) == ("running", "completed")


def test_a_source_handed_to_another_process_carries_no_password(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = filled(new_database(postgres))
    monkeypatch.setenv("NIGHTLY_PASSWORD", postgres.password)
    hidden = url.replace(postgres.password, "${NIGHTLY_PASSWORD}")
    source = ak.open_source(mapping(tmp_path, hidden))
    (run,) = source.open(["night-1"])
    sent = pickle.dumps(run)
    assert postgres.password.encode() not in sent
    assert len(pickle.loads(sent).results) == 3
    done = ak.export_multiple_runs(
        ["night-1", "night-2"], "csv", source=mapping(tmp_path, hidden), output_dir=tmp_path / "out", jobs=2
    )
    assert [receipt.rows for receipt in done.receipts] == [3, 1]
    for receipt in done.receipts:
        assert postgres.password not in repr(receipt)
    assert postgres.password not in (tmp_path / "out" / "export-log.jsonl").read_text()


def test_a_password_is_never_shown(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "auditkit")
    secret = "s3cr3t@/:%"
    monkeypatch.setenv("NIGHTLY_PASSWORD", secret)
    path = mapping(tmp_path, postgres.url_of(password="${NIGHTLY_PASSWORD}"))
    source = ak.open_source(path)
    with pytest.raises(DatabaseError) as caught:
        source.listing()
    shown = [repr(source), source.location, caplog.text, *traceback.format_exception(caught.value)]
    assert all("s3cr3t" not in text for text in shown)
    assert "refuses the user or the password" in str(caught.value)


def test_a_password_with_signs_that_a_url_escapes_needs_no_escapes(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "p@ss/w:rd%20"
    url = filled(new_database(postgres))
    execute(
        url,
        f"CREATE ROLE nightly LOGIN PASSWORD '{secret.replace('%', '%%')}'",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO nightly",
    )
    monkeypatch.setenv("NIGHTLY_PASSWORD", secret)
    hidden = url.replace(f"auditor:{postgres.password}", "nightly:${NIGHTLY_PASSWORD}")
    assert len(ak.load_runs(source=mapping(tmp_path, hidden))) == 2
    execute(url, "DROP OWNED BY nightly", "DROP ROLE nightly")


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTLY_PASSWORD", raising=False)
    with pytest.raises(NoSourceError, match="NIGHTLY_PASSWORD is not set"):
        ak.open_source("sample_data/nightly.toml")


def test_a_whole_url_may_stand_in_a_variable(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLY_URL", sqlite)
    source = ak.open_source(mapping(tmp_path, "${NIGHTLY_URL}"))
    assert ak.list_available_runs(source=source) == ["night-1", "night-2"]
    assert source.location == f"{os.fspath(tmp_path / 'nightly.toml')} (${{NIGHTLY_URL}})"


def test_a_mapping_that_is_not_there_is_no_such_file() -> None:
    with pytest.raises(FileNotFoundError):
        ak.open_source("nowhere.toml")


def test_a_run_that_is_not_there_is_not_found(sqlite: str, tmp_path: Path) -> None:
    with pytest.raises(ak.errors.RunNotFoundError, match="night-1"):
        ak.load_run("night-3", source=mapping(tmp_path, sqlite))


def test_types_and_schemas_of_postgresql_are_understood(postgres: Server, tmp_path: Path) -> None:  # noqa: F811
    url = new_database(postgres)
    execute(
        url,
        "CREATE SCHEMA night",
        "CREATE TYPE night.state AS ENUM ('ok', 'broken')",
        "CREATE TABLE night.batches (id UUID, begun TIMESTAMPTZ, state night.state, old BOOLEAN, "
        "total NUMERIC)",
        "CREATE TABLE night.items (id BIGINT, batch UUID, at TIMESTAMPTZ, good BOOLEAN)",
        f"INSERT INTO night.batches VALUES ('{UUIDS[0]}', '2024-01-15 02:00+01', 'ok', false, 2), "
        f"('{UUIDS[1]}', '2024-01-15 02:00+01', 'ok', true, 0)",
        f"INSERT INTO night.items VALUES (2, '{UUIDS[0]}', '2024-01-15 03:00+01', true), "
        f"(1, '{UUIDS[0]}', '2024-01-15 03:00:00.5+01', false)",
    )
    path = tmp_path / "night.toml"
    path.write_text(f"""
url = "{url}"
schema = "night"
[runs]
table = "batches"
order = ["id"]
where = {{old = false}}
[runs.columns]
id = "id"
started_at = "begun"
total_submissions = "total"
status = {{column = "state", values = {{ok = "completed", broken = "failed"}}}}
[results]
table = "items"
run = "batch"
order = ["id"]
[results.columns]
result_id = "id"
timestamp = "at"
deviation_type = {{column = "good", values = {{true = "none", false = "major"}}}}
""")
    (header,) = ak.open_source(path).listing().headers
    assert (header.id, header.started_at, header.status) == (UUIDS[0], "2024-01-15T01:00:00Z", "completed")
    (run,) = ak.open_source(path).load()
    assert isinstance(run, ak.AuditRun)
    (batch,) = run.batches()
    found = batch.select(["result_id", "timestamp", "deviation_type"]).to_pydict()
    assert found == {
        "result_id": ["1", "2"],
        "timestamp": ["2024-01-15T02:00:00.5Z", "2024-01-15T02:00:00Z"],
        "deviation_type": ["major", "none"],
    }


def test_a_connection_that_is_cut_while_results_are_read_is_one_error(
    postgres: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    url = filled(new_database(postgres))
    execute(
        url,
        "INSERT INTO results SELECT gen_random_uuid(), 'night-2', 't', 'u', 's', 1, 1, 0, 'pass', "
        "'2024-02-01 00:00:00' FROM generate_series(1, 60000)",
    )
    (run,) = ak.open_source(mapping(tmp_path, url)).open(["night-2"])
    assert isinstance(run, ak.AuditRun)
    batches = run.batches()
    next(batches)
    name = url.rpartition("/")[2]
    execute(
        postgres.url_of(database="postgres"),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    with pytest.raises(DatabaseError) as caught:
        list(batches)
    assert postgres.password not in "".join(traceback.format_exception(caught.value))
