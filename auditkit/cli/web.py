"""`auditkit web`: the workbench in a browser."""

from __future__ import annotations

import click

from auditkit.cli.options import output_dir_option, source_option


@click.command()
@source_option
@output_dir_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8866,
    show_default=True,
    help="Port on this machine; 0 takes one that is free.",
)
def web(source: str | None, output_dir: str, port: int) -> None:
    """Look at runs and export them in a browser.

    Starts a server that only this machine reaches, and prints its address. Ctrl+C stops it.
    """
    from auditkit.web.start import serve

    serve(source, say=click.echo, output_dir=output_dir, port=port)
