"""`auditkit stats`, `auditkit clean` and `auditkit hold`: the folder of the exports."""

from __future__ import annotations

import click

from auditkit.cli.options import echo_json, echo_table, json_option, output_dir_option
from auditkit.holds import hold_export
from auditkit.shelf import cleanup_old_exports, get_export_stats

_log_option = click.option("--log", metavar="FILE", help="The export log, where it does not stand beside.")


@click.command()
@output_dir_option
@json_option
def stats(output_dir: str, as_json: bool) -> None:
    """Count the exports in a folder."""
    found = get_export_stats(output_dir)
    if as_json:
        echo_json(found)
        return
    click.echo(f"{found.total_files:,} exports in {output_dir}, {found.total_size}")
    if found.total_files:
        click.echo()
        echo_table(["format", "files"], list(found.files_by_format.items()))
        click.echo("\nNewest:")
        for name in found.recent_exports:
            click.echo(f"  {name}")


@click.command()
@output_dir_option
@click.option(
    "--days-old",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Remove what is older than this.",
)
@click.option("--yes", is_flag=True, help="Really remove; without it, only say what would be removed.")
@_log_option
@json_option
def clean(output_dir: str, days_old: float, yes: bool, log: str | None, as_json: bool) -> None:
    """Remove old exports, and nothing else. What is held stays."""
    paths = cleanup_old_exports(output_dir, days_old=days_old, dry_run=not yes, log=log)
    if as_json:
        echo_json({"removed": yes, "files": paths})
        return
    for path in paths:
        click.echo(f"{'removed' if yes else 'would remove'} {path}")
    if not paths:
        click.echo(f"Nothing in {output_dir} is older than {days_old:g} days.")
    elif not yes:
        click.echo("This was a dry run. --yes removes them.")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--release", is_flag=True, help="End the hold.")
@click.option("--reason", metavar="TEXT", help="For the log: a case number, for example.")
@_log_option
@json_option
def hold(files: tuple[str, ...], release: bool, reason: str | None, log: str | None, as_json: bool) -> None:
    """Keep exports from being cleaned up or replaced; the export log says so."""
    head = ""
    for file in files:
        head = hold_export(file, release=release, reason=reason, log=log)
        if not as_json:
            click.echo(f"{file} is {'released' if release else 'held: `auditkit clean` keeps it'}")
    if as_json:
        echo_json({"held": not release, "files": files, "log_head": head})
