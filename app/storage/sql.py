"""SQL text with its bound values, put together from pieces. No value is ever written into the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sql:
    text: str
    params: tuple[Any, ...] = ()

    def __add__(self, other: Sql | str) -> Sql:
        if isinstance(other, str):
            return Sql(self.text + other, self.params)
        return Sql(self.text + other.text, self.params + other.params)

    def __radd__(self, other: str) -> Sql:
        return Sql(other + self.text, self.params)


TRUE = Sql("TRUE")
FALSE = Sql("FALSE")


def sql(text: str, *params: Any) -> Sql:
    return Sql(text, params)


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    listed = list(parts)
    params: tuple[Any, ...] = ()
    for part in listed:
        params += part.params
    return Sql(separator.join(part.text for part in listed), params)


def all_of(parts: Sequence[Sql]) -> Sql:
    return joined(" AND ", _shallow(" AND ", parts)) if parts else TRUE


def any_of(parts: Sequence[Sql]) -> Sql:
    if not parts:
        return FALSE
    return parts[0] if len(parts) == 1 else "(" + joined(" OR ", _shallow(" OR ", parts)) + ")"


WIDEST = 64


def _shallow(separator: str, parts: Sequence[Sql]) -> Sequence[Sql]:
    """The same condition in groups: to a database each connective is a level of depth, and SQLite takes a thousand."""
    while len(parts) > WIDEST:
        groups = [parts[at : at + WIDEST] for at in range(0, len(parts), WIDEST)]
        parts = ["(" + joined(separator, group) + ")" for group in groups]
    return parts
