"""`auditkit export`: runs as evidence files."""

from __future__ import annotations

from typing import Any, cast

import click

from auditkit.cli.cover import cover, cover_options
from auditkit.cli.options import echo_json, in_words, json_option, output_dir_option, source_option
from auditkit.errors import BatchError
from auditkit.export import export_audit_run, export_multiple_runs
from auditkit.formats import BUILT_IN
from auditkit.receipts import BatchResult
from auditkit.startup import show_pandas

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
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Export with so many processes.")
@click.option(
    "--parts", is_flag=True, help="Write one huge run as numbered files of a million results, and a manifest."
)
@click.option(
    "--part-rows", type=click.IntRange(min=1), metavar="N", help="The same with so many results in each file."
)
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
    if given["parts"] or given["part_rows"]:
        result = _in_parts(ids, given)
    else:
        result = export_multiple_runs(ids, **_options(given), on_error="collect")
    if as_json:
        echo_json(result)
    else:
        _echo(result)
    if result.failures:
        context.exit(SOME_FAILED if result.receipts else ALL_FAILED)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of the exporting functions."""
    same = (
        "format",
        "source",
        "output_dir",
        "flatten_results",
        "excel",
        "compression",
        "if_exists",
        "checksum",
    )
    return {
        **{name: given[name] for name in (*same, "jobs")},
        "include_metadata": not given["no_metadata"],
        "formula_guard": not given["no_formula_guard"],
        **cover(given),
    }


def _in_parts(ids: list[str], given: dict[str, Any]) -> BatchResult:
    if len(ids) != 1:
        raise click.UsageError("--parts and --part-rows are for one run. Export the others without them.")
    try:
        receipt = export_audit_run(ids[0], **_options(given), parts=given["part_rows"] or True)
    except BatchError as error:
        return cast(BatchResult, error.result)
    return BatchResult(receipts=[receipt], failures=[])


def _echo(result: BatchResult) -> None:
    for receipt in result.receipts:
        kept = " (kept: the same bytes were there)" if receipt.reused else ""
        for part in receipt.parts:
            click.echo(f"{part.path}: {part.rows:,} rows, {part.bytes:,} bytes")
        click.echo(f"{receipt.path}: {receipt.rows:,} rows, {receipt.bytes:,} bytes{kept}")
    for failure in result.failures:
        click.echo(f"Error: {in_words(failure.error)}", err=True)
