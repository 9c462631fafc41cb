"""`auditkit export`: runs as evidence files."""

from __future__ import annotations

from typing import Any

import click

from auditkit.cli.cover import cover, cover_options
from auditkit.cli.options import echo_json, in_words, json_option, output_dir_option, source_option
from auditkit.cli.startup import show_pandas
from auditkit.export import export_multiple_runs
from auditkit.formats import BUILT_IN
from auditkit.receipts import BatchResult

ALL_FAILED, SOME_FAILED = 1, 3


@click.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--runId", "more_ids", multiple=True, metavar="ID", help="A run id, given as an option.")
@click.option(
    "--format", metavar="NAME", help="csv, json, jsonl, parquet, xlsx, or an installed one. Required."
)
@source_option
@output_dir_option
@click.option("--flatten-results", is_flag=True, help="JSON: an array of flat records.")
@click.option("--no-metadata", is_flag=True, help="Leave out what the run says of itself but its id.")
@click.option("--no-formula-guard", is_flag=True, help="CSV: leave text that looks like a formula as it is.")
@click.option("--excel", is_flag=True, help="CSV: with a byte order mark and CRLF line ends.")
@click.option("--compression", type=click.Choice(["gzip", "zstd"]), help="Compress the file.")
@click.option(
    "--if-exists",
    type=click.Choice(["version", "error", "replace"]),
    default="version",
    show_default=True,
    help="What to do about a file of that name with other bytes.",
)
@click.option("--checksum", is_flag=True, help="Write FILE.sha256 beside each file, for sha256sum -c.")
@cover_options
@json_option
@click.pass_context
def export(
    context: click.Context,
    /,
    run_ids: tuple[str, ...],
    more_ids: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Export runs, each as a file of its own."""
    ids = [*run_ids, *more_ids]
    if not ids:
        raise click.UsageError("Name at least one run. `auditkit list` shows all.")
    if not given["format"]:
        raise click.UsageError("Name a format: --format csv, json, jsonl, parquet, xlsx or an installed one.")
    if given["format"] not in BUILT_IN:
        show_pandas()
    result = export_multiple_runs(
        ids,
        given["format"],
        source=given["source"],
        output_dir=given["output_dir"],
        include_metadata=not given["no_metadata"],
        flatten_results=given["flatten_results"],
        formula_guard=not given["no_formula_guard"],
        excel=given["excel"],
        compression=given["compression"],
        if_exists=given["if_exists"],
        checksum=given["checksum"],
        **cover(given),
        on_error="collect",
    )
    if as_json:
        echo_json(result)
    else:
        _echo(result)
    if result.failures:
        context.exit(SOME_FAILED if result.receipts else ALL_FAILED)


def _echo(result: BatchResult) -> None:
    for receipt in result.receipts:
        kept = " (kept: the same bytes were there)" if receipt.reused else ""
        click.echo(f"{receipt.path}: {receipt.rows:,} rows, {receipt.bytes:,} bytes{kept}")
    for failure in result.failures:
        click.echo(f"Error: {in_words(failure.error)}", err=True)
