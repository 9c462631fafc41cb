"""`auditkit evidence`: runs as a bag that anybody can check."""

from __future__ import annotations

from typing import Any

import click

from auditkit.cli.cover import cover, cover_options
from auditkit.cli.options import echo_json, in_words, json_option, source_option
from auditkit.errors import BatchError
from auditkit.formats import BUILT_IN
from auditkit.startup import show_pandas

ALL_FAILED = 1


@click.command()
@click.argument("run_ids", nargs=-1, metavar="RUN_ID...")
@click.option("--runId", "more_ids", multiple=True, metavar="ID", help="A run id, given as an option.")
@click.option("--output", metavar="PATH", help="The folder to be made; nothing may stand there. Required.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME",
    help="csv, json, jsonl, parquet, xlsx, or an installed one. Repeatable.  [default: csv and json]",
)
@source_option
@click.option("--flatten-results", is_flag=True, help="JSON: an array of flat records.")
@click.option("--no-metadata", is_flag=True, help="Leave out what the run says of itself but its id.")
@click.option("--no-formula-guard", is_flag=True, help="CSV: leave text that looks like a formula as it is.")
@click.option("--excel", is_flag=True, help="CSV: with a byte order mark and CRLF line ends.")
@click.option("--compression", type=click.Choice(["gzip", "zstd"]), help="Compress the files.")
@click.option("--sign", metavar="KEY", help="Sign with this Ed25519 key, as `auditkit keygen` makes it.")
@cover_options
@json_option
@click.pass_context
def evidence(
    context: click.Context,
    /,
    run_ids: tuple[str, ...],
    more_ids: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Export runs as an evidence bag.

    A folder with the runs, checksums of everything, control totals, findings, and a page that tells
    which commands check it. `auditkit verify` checks all of it.
    """
    from auditkit.evidence import export_evidence

    ids = [*run_ids, *more_ids]
    if not ids:
        raise click.UsageError("Name at least one run. `auditkit list` shows all.")
    if not given["output"]:
        raise click.UsageError("Name the folder to be made: --output PATH.")
    formats = given["formats"] or ("csv", "json")
    if not set(formats) <= BUILT_IN.keys():
        show_pandas()
    try:
        bag = export_evidence(
            ids,
            given["output"],
            formats,
            source=given["source"],
            include_metadata=not given["no_metadata"],
            flatten_results=given["flatten_results"],
            formula_guard=not given["no_formula_guard"],
            excel=given["excel"],
            compression=given["compression"],
            sign=given["sign"],
            **cover(given),
        )
    except BatchError as error:
        if as_json:
            echo_json({"failures": error.failures})
        for failure in error.failures:
            click.echo(f"Error: {in_words(failure.error)}", err=True)
        click.echo("No bag was made.", err=True)
        context.exit(ALL_FAILED)
    if as_json:
        echo_json(bag)
    else:
        _echo(bag)


def _echo(bag: Any) -> None:
    signed = f", signed by {bag.signed_by}" if bag.signed_by else ""
    click.echo(f"{bag.path}: {len(bag.files):,} files, {bag.rows:,} rows, {bag.bytes:,} bytes{signed}")
    click.echo(f"SHA-256 of its tag manifest: {bag.tagmanifest_sha256}")
    if bag.log_head is not None:
        click.echo(f"Head of the log: {bag.log_head}")
