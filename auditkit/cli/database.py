"""`auditkit db`: the tables of a database, and runs loaded into them."""

from __future__ import annotations

import click

from auditkit.cli.options import echo_json, in_words, json_option, visible

ALL_FAILED, SOME_FAILED = 1, 3


@click.group("db")
def database() -> None:
    """Keep runs in a database: SQLite, PostgreSQL, MySQL or MariaDB, DuckDB."""


@database.command()
@click.argument("url")
@json_option
def init(url: str, as_json: bool) -> None:
    """Make the tables in the database at URL, such as sqlite:///audit.sqlite; what is there stays."""
    from auditkit.sources.sql.loading import init_database

    location = init_database(url)
    if as_json:
        echo_json({"location": location})
    else:
        click.echo(f"{visible(location)} has the tables audit_runs and audit_results")


@database.command()
@click.argument("source")
@click.option(
    "--into", "url", required=True, metavar="URL", help="The database, as `auditkit db init` got it."
)
@click.option("--runId", "run_ids", multiple=True, metavar="ID", help="Only this run. Repeatable.")
@json_option
@click.pass_context
def load(context: click.Context, source: str, url: str, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Load the runs of SOURCE, each as a whole; one that is there with the same content is left alone."""
    from auditkit.sources.sql.loading import load_into_database

    report = load_into_database(source, url, run_ids=run_ids or None)
    if as_json:
        echo_json(report)
    else:
        counts = f"{len(report.loaded):,} runs loaded, {len(report.unchanged):,} unchanged"
        click.echo(f"{counts}, {len(report.failed):,} failed: {visible(report.location)}")
    for failure in report.failed:
        click.echo(f"Error: {in_words(failure.error)}", err=True)
    if report.failed:
        context.exit(SOME_FAILED if report.loaded or report.unchanged else ALL_FAILED)
