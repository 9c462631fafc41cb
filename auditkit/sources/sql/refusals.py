"""What a database says when it does not do as it is told, in our words: its own may hold secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from auditkit.errors import AuditkitError, DatabaseError, MissingExtraError
from auditkit.sources.sql.address import FILES, Address

MAKE_TABLES = "`auditkit db init URL` makes the tables that auditkit reads"
_RAISED_BY_DRIVERS = frozenset({"DatabaseError", "InterfaceError", "Error", "SQLAlchemyError"})
_EXTRAS = {"duckdb": "duckdb"}
_NAME = r"[\w.]+"

_NO_TABLE = re.compile(
    rf"no such table: ({_NAME})|relation \"({_NAME})\"|Table '({_NAME})' doesn't|Table with name ({_NAME})"
)
_NO_COLUMN = re.compile(
    rf"no such column: ({_NAME})|column (?:\"({_NAME})\"|({_NAME})) (?:of|does|not)"
    rf"|Unknown column '({_NAME})'|has no column named ({_NAME})"
    rf"|have a column (?:with name|named) \"({_NAME})\""
)
_SAID = (
    (("28", "1045", "1044", "1698"), (r"password authentication failed|no password supplied|Access denied",)),
    (("3D", "1049"), (r"database \".*\" does not exist|Unknown database",)),
    (("42P01", "1146"), (r"no such table|Table with name|relation \".*\" does not exist",)),
    (
        ("42703", "1054"),
        (r"no such column|has no column|[Cc]olumn .* (?:does not exist|not found)|not have a column",),
    ),
    (("42501", "1142", "1227", "25006", "1792"), (r"permission denied|readonly database|read-only mode",)),
    (("57P01", "57P02", "57P03", "08", "2006", "2013", "1927"), (r"server closed|terminat|Lost connection",)),
    (("2002", "2003", "2005"), (r"[Cc]onnection refused|[Cc]ould not connect|failed to resolve|timeout",)),
    (("40", "55P03", "1205", "1213"), (r"database is locked|lock on file|Conflict|deadlock",)),
    (("22021", "22P05", "1366"), (r"cannot contain NUL",)),
    (("53", "1021", "1114", "54"), (r"disk is full|No space left|too many connections",)),
    (("42883", "42804"), (r"Conversion Error|Cannot compare|operator does not exist",)),
    (("22007", "22008"), (r"(?:timestamp|date) too (?:large|small)|Could not decode|can't decode",)),
    ((), (r"disk image is malformed",)),
    ((), (r"different configuration",)),
)
_WORDS = (
    "{} refuses the user or the password. Check both; PGPASSWORD, ~/.pgpass or the URL carry the password",
    "{} is not there: the server knows no such database. Check its name, or create it",
    "{} has no table {name}. {hint}",
    "{} lacks the column {name}. {hint}, or add the column",
    "{} does not allow this. Ask for the rights to read the tables, or to write them with `auditkit db load`",
    "The connection to {} was cut. Try again; if that does not help, look into the log of the server",
    "{} cannot be reached. Check that the server runs, and host, port and network",
    "{} is being changed by somebody else. Try again later",
    "{} cannot hold one of the texts. Load into a database of UTF-8, without NUL characters in texts",
    "{} has no room or no connection left. Free some, and try again",
    "{} has columns of other types than are asked for. {hint}",
    "{} holds a value that cannot be read, such as a date past the year 9999, or text that is no UTF-8. "
    "Look for it there, and correct it",
    "{} is damaged. Restore it from a copy, or see what `sqlite3 FILE .recover` saves of it",
    "{} is open in this process in another mode. Finish reading it before writing to it, or the reverse",
)


class BusyDatabase(DatabaseError):
    """Another one was writing the same: the transaction can be tried again."""


@contextmanager
def database_errors(address: Address, hint: str = MAKE_TABLES) -> Iterator[None]:
    """Let what a driver raises become one error about that database, without what the driver says."""
    try:
        yield
    except (AuditkitError, GeneratorExit):
        raise
    except ImportError:
        raise _missing(address) from None
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise told(error, address, hint) from None


def is_driver_error(error: BaseException) -> bool:
    """Whether a driver raised it, or SQLAlchemy for it."""
    if isinstance(error, OverflowError | UnicodeDecodeError):  # a value that a driver cannot give
        return True
    return any(kind.__name__ in _RAISED_BY_DRIVERS for kind in type(error).__mro__)


def told(error: Exception, address: Address, hint: str = MAKE_TABLES) -> AuditkitError:
    """The error in our words."""
    if type(error).__name__ == "NoSuchModuleError":
        return _missing(address)
    cause = driver_error(error)
    code, text = _code(cause), str(cause)
    kind = BusyDatabase if _may_go_well_again(code, text) else DatabaseError
    if _is_shut_by_its_folder(address, text):
        return DatabaseError(
            f"{address.location} cannot be opened without the right to write into its folder, where SQLite "
            f"notes who reads ({type(cause).__name__}). Give the reader that right, or a copy of the file."
        )
    for (codes, patterns), words in zip(_SAID, _WORDS, strict=True):
        if (code and codes and code.startswith(codes)) or (
            not code and any(re.search(p, text) for p in patterns)
        ):
            name = _named(_NO_COLUMN if "column" in words else _NO_TABLE, text)
            shown = f" ({code or type(cause).__name__})"
            return kind(f"{words.format(address.location, name=name, hint=hint)}{shown}.")
    return kind(_otherwise(address, cause, code))


def driver_error(error: Exception) -> Exception:
    """What the driver itself raised."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, Exception) else error


def _is_shut_by_its_folder(address: Address, text: str) -> bool:
    return (
        address.kind == "sqlite"
        and ("unable to open" in text or "readonly database" in text)
        and os.access(address.path, os.R_OK)
        and not os.access(os.path.dirname(address.path), os.W_OK)
    )


def _may_go_well_again(code: str | None, text: str) -> bool:
    if code:
        return code.startswith(("40", "23", "1213", "1205", "1062", "1020"))
    return re.search(r"UNIQUE constraint|[Cc]onflict|[Dd]uplicate key", text) is not None


def _otherwise(address: Address, cause: Exception, code: str | None) -> str:
    if address.kind in FILES and "not a" in str(cause):
        return f"{address.location} is no {address.kind} database. Check the path ({type(cause).__name__})."
    if "unable to open" in str(cause):
        return f"{address.location} cannot be opened. Check the path, and the rights to file and folder."
    what = f"{type(cause).__name__} {code}" if code else type(cause).__name__
    if isinstance(cause, OverflowError):
        return f"{address.location} holds a number that cannot be read ({what}). Look for it, and correct it."
    if address.kind in FILES:
        return (
            f"{address.location} failed ({what}). Check that the file is whole, and its tables as expected."
        )
    return (
        f"{address.location} failed ({what}). Check host, port, user and names in the URL; "
        "the log of the database says more."
    )


def _code(cause: Exception) -> str | None:
    """The SQLSTATE or the number of an error, where the driver gives one."""
    number = cause.args[0] if cause.args else None
    if isinstance(number, int) and number:  # of MySQL, whose SQLSTATE says less
        return str(number)
    state = getattr(cause, "sqlstate", None)
    known = isinstance(state, str) and re.fullmatch(r"[0-9A-Z]{5}", state) and state != "00000"
    return state if known else None


def _named(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return repr(next(group for group in match.groups() if group)) if match else "that is asked for"


def _missing(address: Address) -> MissingExtraError:
    extra = _EXTRAS.get(address.kind, "sql")
    return MissingExtraError(
        f"The driver for {address.url.partition('://')[0]}:// is not installed. "
        f"Install it with: pip install 'auditkit[{extra}]'"
    )
