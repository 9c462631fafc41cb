"""The TOML file that describes the tables of a foreign database: read, and refused where it is wrong."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from auditkit.errors import InvalidOptionError
from auditkit.rules import broken_rule
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, Field
from auditkit.sources.sql.mapping_shape import ForeignSchema, Join, Origin, Ref, Rows

_TOP = ("url", "schema", "naive_timestamps", "human_score", "runs", "results")
_TABLE = ("table", "schema", "order", "join", "where", "columns")
_SCORES = ("user_score", "ai_score")


def read_mapping(path: str | os.PathLike[str]) -> ForeignSchema:
    """What a mapping file says.

    Raises
    ------
    InvalidOptionError
        If it is no TOML, or says something that has no meaning; the message names file and key.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            top = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise InvalidOptionError(
            f"The mapping {name} is no TOML: {where}. Mend that place; docs/mapping.md shows an example."
        ) from None
    return _Reader(name).schema(top)


class _Reader:
    """Reads one file; every refusal names it."""

    def __init__(self, path: str):
        self._path = path

    def refused(self, key: str, what: str) -> InvalidOptionError:
        return InvalidOptionError(f"The mapping {self._path} is wrong at {key}: {what}")

    def schema(self, top: Mapping[str, Any]) -> ForeignSchema:
        self.known("", top, _TOP)
        url = self.text("", top, "url")
        schema = self.text("", top, "schema", required=False)
        zone = top.get("naive_timestamps")
        if zone not in (None, "UTC"):
            raise self.refused(
                "naive_timestamps",
                f'{zone!r} is not known. Write naive_timestamps = "UTC", or leave it out: timestamps '
                "without a time zone are then refused.",
            )
        runs = self.rows("runs", top, schema, RUN_FIELDS)
        results = self.rows("results", top, schema, RESULT_FIELDS)
        self._check_id(runs)
        self._check_scores(top, results)
        run = self.text("results.", top["results"], "run")
        return ForeignSchema(
            path=self._path, url=url, naive_utc=zone == "UTC", runs=runs, results=results, run=run
        )

    def rows(self, key: str, top: Mapping[str, Any], schema: str | None, fields: Iterable[Field]) -> Rows:
        table = self.table(key, top.get(key))
        self.known(f"{key}.", table, (*_TABLE, "run") if key == "results" else _TABLE)
        own = self.text(f"{key}.", table, "schema", required=False) or schema
        joins = tuple(
            self.join(f"{key}.join[{number}]", item, schema)
            for number, item in enumerate(self.listed(f"{key}.join", table.get("join", [])))
        )
        name = self.text(f"{key}.", table, "table")
        joined = [join.table for join in joins]
        if len({name, *joined}) != 1 + len(joined):
            raise self.refused(f"{key}.join", "a table stands there twice. Join each once.")
        order = self.order(f"{key}.order", table.get("order"))
        refs = tuple(self.ref(item, joined) for item in order)
        for ref in refs if key == "results" else ():
            if ref.table is not None:
                raise self.refused(
                    f"{key}.order",
                    f"{str(ref)!r} is of a joined table, and could hide that a join finds several rows. "
                    "Order by columns of the table itself.",
                )
        where = self.table(f"{key}.where", table.get("where", {}))
        for column, value in where.items():
            self.constant(f"{key}.where.{column}", value)
        return Rows(
            key=key,
            table=name,
            schema=own,
            joins=joins,
            order=refs,
            where=tuple((self.ref(column, joined), value) for column, value in where.items()),
            origins=self.origins(f"{key}.columns", table.get("columns"), fields, joined),
        )

    def order(self, key: str, value: Any) -> list[str]:
        order = self.listed(key, value)
        if not order or not all(isinstance(item, str) and item for item in order):
            raise self.refused(
                key, 'write the columns that put the rows in order, such as ["timestamp", "id"].'
            )
        return order

    def join(self, key: str, item: Any, schema: str | None) -> Join:
        table = self.table(key, item)
        self.known(f"{key}.", table, ("table", "schema", "on"))
        on = self.table(f"{key}.on", table.get("on"))
        if not on or not all(isinstance(value, str) and value for value in on.values()):
            raise self.refused(
                f"{key}.on", 'write which column of the rows is which one there: on = {task_id = "id"}.'
            )
        return Join(
            table=self.text(f"{key}.", table, "table"),
            schema=self.text(f"{key}.", table, "schema", required=False) or schema,
            on=tuple(on.items()),
        )

    def origins(
        self, key: str, columns: Any, fields: Iterable[Field], joined: Collection[str]
    ) -> dict[str, Origin]:
        table = self.table(key, columns)
        by_name = {field.attribute or field.column: field for field in fields}
        self.known(f"{key}.", table, tuple(by_name), "field")
        if not table:
            raise self.refused(key, 'no field is mapped. Write field = "column" for each that is there.')
        return {
            by_name[name].column: self.origin(f"{key}.{name}", by_name[name], value, joined)
            for name, value in table.items()
        }

    def origin(self, key: str, field: Field, value: Any, joined: Collection[str]) -> Origin:
        if isinstance(value, str) and value:
            return Origin(ref=self.ref(value, joined))
        shape = 'write "column", {column = "…", values = {…}} or {constant = …}.'
        if not isinstance(value, dict) or ("column" in value) == ("constant" in value):
            raise self.refused(key, f"{shape[0].upper()}{shape[1:]}")
        allowed = ("constant",) if "constant" in value else ("column", "table", "values")
        self.known(f"{key}.", value, allowed)
        if "constant" in value:
            self.constant(f"{key}.constant", value["constant"])
            self.allowed(f"{key}.constant", field, value["constant"])
            return Origin(constant=value["constant"])
        table = self.text(f"{key}.", value, "table", required=False)
        if table is not None and table not in joined:
            raise self.refused(f"{key}.table", f"{table!r} is not joined{near(table, joined)}")
        column = self.text(f"{key}.", value, "column")
        ref = Ref(table, column) if table else self.ref(column, joined)
        return Origin(ref=ref, values=self.values(f"{key}.values", field, value.get("values")))

    def values(self, key: str, field: Field, values: Any) -> dict[str, Any] | None:
        if values is None:
            return None
        for theirs, ours in self.table(key, values).items():
            self.allowed(f"{key}.{theirs}", field, ours)
        return dict(values)

    def ref(self, text: str, joined: Collection[str]) -> Ref:
        """`column`, or `table.column` of one that is joined."""
        table, dot, column = text.partition(".")
        return Ref(table, column) if dot and column and table in joined else Ref(None, text)

    def known(self, key: str, table: Mapping[str, Any], names: Collection[str], noun: str = "key") -> None:
        for name in table:
            if name not in names:
                raise self.refused(f"{key}{name}", f"there is no {noun} {name!r}{near(name, names)}")

    def table(self, key: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            what = "it is missing" if value is None else f"{value!r} is no table of TOML"
            raise self.refused(key, f"{what}. docs/mapping.md shows how it is written.")
        return value

    def listed(self, key: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            what = "it is missing" if value is None else f"{value!r} is no list"
            raise self.refused(key, f"{what}. Write it in brackets: [ … ].")
        return value

    def text(self, key: str, table: Mapping[str, Any], name: str, required: bool = True) -> Any:
        value = table.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or not value:
            shown = "it" if name == "url" else repr(value)  # which may hold a password
            what = "it is missing" if value is None else f"{shown} is no text, or empty"
            raise self.refused(f"{key}{name}", f'{what}. Write {name} = "…".')
        return value

    def constant(self, key: str, value: Any) -> None:
        if not isinstance(value, str | int | float | bool):
            raise self.refused(key, f"{value!r} is neither text, number, true nor false. Write one of these.")

    def allowed(self, key: str, field: Field, value: Any) -> None:
        rule = broken_rule(field, value)
        if rule:
            raise self.refused(key, f"{value!r} is {rule}. Write a value that the field may have.")

    def _check_id(self, runs: Rows) -> None:
        origin = runs.origins.get("run_id")
        if origin is None or origin.ref is None or origin.values is not None or origin.ref.table is not None:
            raise self.refused(
                "runs.columns.id",
                'the id of a run has to be a column of its table, as it is. Write id = "…".',
            )

    def _check_scores(self, top: Mapping[str, Any], results: Rows) -> None:
        human = self.text("", top, "human_score", required=False)
        refs = {name: str(results.origins[name].ref) for name in _SCORES if name in results.origins}
        if refs and human is None:
            raise self.refused(
                f"results.columns.{next(iter(refs))}",
                'scores are mapped, and nothing says which one a human gave. Write human_score = "…" '
                "with the column of that one at the top of the file, or leave the scores out.",
            )
        if human is not None and not refs:
            raise self.refused("human_score", "no scores are mapped. Map user_score, or leave it out.")
        if human is not None and refs.get("user_score", human) != human:
            raise self.refused(
                "results.columns.user_score",
                f"it is the column {refs['user_score']!r}, but human_score says that a human gave {human!r}. "
                "user_score is the score of the human.",
            )
        if human is not None and refs.get("ai_score") == human:
            raise self.refused(
                "results.columns.ai_score",
                f"it is the column {human!r}, which a human gave as human_score says. Name the other one.",
            )


def near(name: str, names: Collection[str]) -> str:
    """The end of a sentence about a name that is none: the nearest ones, or all."""
    close = difflib.get_close_matches(name, sorted(names), 3, 0.5)
    if close:
        return f". Did you mean {' or '.join(map(repr, close))}?"
    if not names:
        return ". There are none."
    shown = sorted(names)
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return f". There are: {', '.join(shown[:20])}{more}."
