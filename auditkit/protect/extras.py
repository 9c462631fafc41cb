"""Unknown fields as they may be seen: those that are kept, with every text in them changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from auditkit.errors import InvalidOptionError
from auditkit.formats.json.values import Digits, parse, stringify


def kept_extra(
    texts: Iterable[str | None], names: Collection[str], change: Callable[[Sequence[str]], Sequence[str]]
) -> list[str | None]:
    """JSON texts of unknown fields, without those of other names; None where none is kept.

    Parameters
    ----------
    texts : iterable of str or None
        JSON objects, or None for no unknown fields.
    names : collection of str
        The fields that are kept.
    change : callable
        Changes texts, all at once: the keys and values inside those fields. Numbers stay what they are.

    Raises
    ------
    InvalidOptionError
        If two keys of one object become the same.
    """
    kept = [_named(text, names) for text in texts]
    found: list[str] = []
    for fields in kept:
        _mapped(fields, lambda text: _noted(text, found))
    changed = iter(change(found))
    return [stringify(_mapped(fields, lambda _: next(changed))) if fields else None for fields in kept]


def _named(text: str | None, names: Collection[str]) -> dict[str, Any]:
    if text is None or not names:
        return {}
    return {name: value for name, value in parse(text).items() if name in names}


def _noted(text: str, found: list[str]) -> str:
    found.append(text)
    return text


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A parsed value whose keys and texts are changed, in the order in which they stand."""
    if isinstance(value, dict):
        members = [(change(key), _mapped(item, change)) for key, item in value.items()]
        changed = dict(members)
        if len(changed) < len(members):
            raise InvalidOptionError(
                "Two names inside an unknown field would have the same pseudonym. "
                "Take that field out of keep_extra."
            )
        return changed
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) and not isinstance(value, Digits) else value
