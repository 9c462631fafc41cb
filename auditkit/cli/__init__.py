"""The command `auditkit`: its commands in one group, and how it ends."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from auditkit import __version__
from auditkit.cli.database import database
from auditkit.cli.decrypting import decrypt
from auditkit.cli.evidence import evidence
from auditkit.cli.exporting import export
from auditkit.cli.folder import clean, hold, stats
from auditkit.cli.keys import keygen
from auditkit.cli.looking import find_results, list_runs, show
from auditkit.cli.options import in_words, visible
from auditkit.cli.verifying import checkpoint, verify
from auditkit.cli.web import web
from auditkit.errors import (
    AuditkitError,
    InvalidOptionError,
    InvalidRunIdError,
    NoSourceError,
    UnknownFormatError,
)
from auditkit.startup import quick_start

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
_USAGE_ERRORS = (InvalidOptionError, InvalidRunIdError, NoSourceError, UnknownFormatError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="auditkit")
def auditkit() -> None:
    """Load audit runs, look at them, and save evidence files.

    Exit codes: 0 all done, 1 failed, 2 wrong usage, 3 some of several failed.
    """


for _command in (
    list_runs,
    find_results,
    show,
    export,
    evidence,
    verify,
    checkpoint,
    keygen,
    decrypt,
    stats,
    hold,
    clean,
    database,
    web,
):
    auditkit.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code; expected errors are one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever the terminal cannot show
    warnings.showwarning = _warn  # in a line of its own, without a place in a file
    with quick_start():
        sys.exit(_run(arguments))


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {visible(message)}", err=True)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = auditkit.main(arguments, prog_name="auditkit", standalone_mode=False)
        return int(code or 0)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return INTERRUPTED
    except (AuditkitError, OSError) as error:
        click.echo(f"Error: {in_words(error)}", err=True)
        return WRONG_USAGE if isinstance(error, _USAGE_ERRORS) else FAILED
