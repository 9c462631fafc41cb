"""What a mapping file says: where the rows of runs and results stand, and what each field is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Constant = str | int | float | bool


@dataclass(frozen=True)
class Ref:
    """A column of a table that is read; None: of the first one."""

    table: str | None
    column: str

    def __str__(self) -> str:
        return self.column if self.table is None else f"{self.table}.{self.column}"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a field comes from: a column, its values renamed if there are `values`; or a constant."""

    ref: Ref | None = None
    values: Mapping[str, Any] | None = None
    constant: Any = None


@dataclass(frozen=True, kw_only=True)
class Join:
    """Another table: the row whose columns equal those of the first one."""

    table: str
    schema: str | None
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of runs or of results: where they stand, in which order, and what becomes of them."""

    key: str
    table: str
    schema: str | None
    joins: tuple[Join, ...]
    order: tuple[Ref, ...]
    where: tuple[tuple[Ref, Constant], ...]
    origins: Mapping[str, Origin]
    """By the key of the field."""

    def refs(self) -> list[tuple[str, Ref]]:
        """Every column that is read, with the key of the file that names it."""
        found = [
            (f"{self.key}.columns.{name}", origin.ref)
            for name, origin in self.origins.items()
            if origin.ref is not None
        ]
        found += [(f"{self.key}.order", ref) for ref in self.order]
        found += [(f"{self.key}.where", ref) for ref, _ in self.where]
        for join in self.joins:
            for ours, theirs in join.on:
                found += [
                    (f"{self.key}.join", Ref(None, ours)),
                    (f"{self.key}.join", Ref(join.table, theirs)),
                ]
        return found


@dataclass(frozen=True, kw_only=True)
class ForeignSchema:
    """What a mapping file says. The URL is as it stands there, `${NAME}` not yet replaced."""

    path: str
    url: str = field(repr=False)
    naive_utc: bool
    runs: Rows
    results: Rows
    run: str
    """The column of the results that names their run."""
