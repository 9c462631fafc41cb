"""`auditkit list`, `auditkit find` and `auditkit show`: what a source holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from auditkit.cli.options import echo_json, echo_table, json_option, source_option, visible
from auditkit.run import AuditRun
from auditkit.schema import ACTIONS, DEVIATION_TYPES, RUN_FIELDS
from auditkit.sources import open_source

_SHOWN_FINDINGS = 20
_FOUND = {
    "run": "run_id",
    "row": "position",
    "submission": "submission_id",
    "user": "user_id",
    "user score": "user_score",
    "AI score": "ai_score",
    "type": "deviation_type",
    "action taken": "action_taken",
    "timestamp": "timestamp",
}
ALL_FAILED, SOME_FAILED = 1, 3


@click.command("list")
@source_option
@json_option
@click.pass_context
def list_runs(context: click.Context, source: str | None, as_json: bool) -> None:
    """List the runs of a source."""
    place = open_source(source)
    listing = place.listing()
    if as_json:
        echo_json([{f.key: getattr(header, f.attribute) for f in RUN_FIELDS} for header in listing.headers])
    elif not listing.headers and not listing.failures:
        click.echo(f"No runs in {place.location}.")
    elif listing.headers:
        echo_table(
            ["run", "status", "submissions", "average deviation", "critical", "title"],
            [
                [h.id, h.status, h.total_submissions, h.average_deviation, h.critical_flags, h.task_title]
                for h in listing.headers
            ],
        )
    for failure in listing.failures.rows:
        click.echo(f"Error: {visible(failure)}", err=True)
    if listing.failures:
        context.exit(SOME_FAILED if listing.headers else ALL_FAILED)


@click.command("find")
@click.argument("text", metavar="ID")
@source_option
@json_option
@click.pass_context
def find_results(context: click.Context, text: str, source: str | None, as_json: bool) -> None:
    """Find a submission or a user: in which runs, which rows."""
    from auditkit.search import found_rows, search

    place = open_source(source)
    found, failures = search(text, place)
    rows = list(found_rows(found))
    if as_json:
        echo_json(rows)
    elif rows:
        echo_table(list(_FOUND), [[row[column] for column in _FOUND.values()] for row in rows])
    elif not failures:
        click.echo(f"No submission and no user {visible(text)} in {visible(place.location)}.")
    for failure in failures.rows:
        click.echo(f"Error: {visible(failure)}", err=True)
    if failures:
        context.exit(SOME_FAILED if found else ALL_FAILED)


@click.command()
@click.argument("run_id")
@source_option
@json_option
def show(run_id: str, source: str | None, as_json: bool) -> None:
    """Show a run: header, counts, findings."""
    from auditkit.findings import find

    (run,) = open_source(source).load([run_id])
    if isinstance(run, Exception):
        raise run
    counts = _counts(run)
    findings = find(run.header, run.batches())
    header = {field.key: getattr(run, field.attribute) for field in RUN_FIELDS}
    if as_json:
        echo_json({"run": header, "counts": counts, "findings": findings})
        return
    echo_table(["field", "recorded"], [[key, _as_text(value)] for key, value in header.items()])
    for title, numbers in counts.items():
        click.echo()
        echo_table([title, "results"], list(numbers.items()))
    click.echo()
    if not findings:
        click.echo("No findings: the run agrees with itself.")
        return
    echo_table(
        ["finding", "where", "recorded", "recomputed", "severity"],
        [[f.rule, f.where, f.recorded, f.recomputed, f.severity] for f in findings[:_SHOWN_FINDINGS]],
    )
    if len(findings) > _SHOWN_FINDINGS:
        click.echo(f"… and {len(findings) - _SHOWN_FINDINGS:,} more; --json prints all.")


def _counts(run: AuditRun) -> dict[str, dict[str, int]]:
    types: Counter[Any] = Counter()
    taken: Counter[Any] = Counter()
    for batch in run.batches():
        types.update(batch.column("deviation_type").to_pylist())
        taken.update(batch.column("action_taken").to_pylist())
    return {
        "deviation type": {kind: types[kind] for kind in DEVIATION_TYPES},
        "action taken": {action: taken[action] for action in ACTIONS} | {"undecided": taken[None]},
    }


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)
