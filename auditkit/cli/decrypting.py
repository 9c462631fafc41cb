"""`auditkit decrypt`: an encrypted export in the clear again."""

from __future__ import annotations

import click

from auditkit.cli.options import echo_json, json_option


@click.command()
@click.argument("file")
@click.option("--identity", required=True, metavar="KEY", help="Your secret key: of age, or of SSH.")
@click.option("--output", metavar="FILE", help="Where to put it [default: beside it, without .age].")
@json_option
def decrypt(file: str, identity: str, output: str | None, as_json: bool) -> None:
    """Decrypt an export. Nothing is written unless all of it is authentic."""
    from auditkit.protect.decryption import decrypt_export

    path = decrypt_export(file, identity, output)
    if as_json:
        echo_json({"path": path})
    else:
        click.echo(f"{path}: decrypted")
