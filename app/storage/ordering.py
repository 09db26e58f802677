"""The order of a search's results, and where in it a page ends: the key of the next page, at most KEY_BYTES long.

Twin of `app.fhir.ordering`. The key is the last row's place in the order, so that a page costs the same wherever it
is. https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.fhir.outcome import Fault
from app.fhir.query import Query, Sort
from app.storage.engine import Tx
from app.storage.indexing import FOREVER, PATIENT_PARAMS, STATUS, WHEN, texts
from app.storage.keys import param_number
from app.storage.sql import Sql, all_of, any_of, sql

KEY_BYTES = 240  # sealed and written into an address this stays below 512
LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Key:
    """One part of the order. The expression is never NULL, so that keys compare the same on every database."""

    expression: str
    descending: bool


def keys_of(query: Query) -> list[Key]:
    """Newest first where no order is asked for: by when a resource was made, which no update changes, so that one who
    pages while others write misses nothing and is shown nothing twice."""
    keys = [key for sort in query.sort for key in _of(query.type, sort)]
    return [*keys, Key("r.rid", query.sort[0].descending if query.sort else True)]


def _of(type_name: str, sort: Sort) -> list[Key]:
    param, number = sort.param, param_number(sort.param.key)
    pick = "max" if sort.descending else "min"
    of_row = f"x.patient = r.patient AND x.rid = r.rid AND x.param = {number}"
    if param.name == "_lastUpdated":
        return [Key("r.updated", sort.descending)]
    if param.name == "_id":
        return [Key("r.id", sort.descending)]
    if param.kind == "date":
        return _of_date(type_name, sort, of_row)
    blank = "''"
    if param.kind == "number":
        value, blank = f"(SELECT {pick}(x.low) FROM number x WHERE {of_row})", "0"
    elif param.kind == "string":
        value = f"(SELECT {pick}(x.norm) FROM string x WHERE {of_row})"
    elif param.shape == "identifier":
        value = f"(SELECT {pick}(x.value) FROM identifier x WHERE {of_row})"
    elif param.name == STATUS:
        value = "r.status"
    elif param.kind == "reference":
        value = f"(SELECT {pick}(x.target) FROM reference x WHERE {of_row})"
        if param.name in PATIENT_PARAMS.get(type_name, ()):
            value = f"COALESCE((SELECT p.id FROM person p WHERE p.patient = r.patient), {value})"
    else:
        value = f"(SELECT {pick}(x.word) FROM token x WHERE {of_row})"
    # What has no value comes last in either direction.
    absent = Key(f"(CASE WHEN {value} IS NULL THEN 1 ELSE 0 END)", False)
    return [absent, Key(f"COALESCE({value}, {blank})", sort.descending)]


def _of_date(type_name: str, sort: Sort, of_row: str) -> list[Key]:
    """A period counts by its beginning when ascending and by its end when descending; open ends lie beyond all."""
    column, open_end, pick = ("high", FOREVER, "max") if sort.descending else ("low", -FOREVER, "min")
    if WHEN.get(type_name) == sort.param.name and sort.descending:
        return [Key("r.latest", True)]
    if WHEN.get(type_name) == sort.param.name:
        there = "(r.low IS NOT NULL OR r.high IS NOT NULL)"
        value = f"COALESCE(r.{column}, {open_end})"
    else:
        there = f"EXISTS (SELECT 1 FROM date x WHERE {of_row})"
        value = f"COALESCE((SELECT {pick}(COALESCE(x.{column}, {open_end})) FROM date x WHERE {of_row}), 0)"
    return [Key(f"(CASE WHEN {there} THEN 0 ELSE 1 END)", False), Key(value, sort.descending)]


def after(keys: Sequence[Key], values: Sequence[Any]) -> Sql:
    """The condition of the rows that come after the row with these values."""
    if all(key.descending == keys[0].descending for key in keys):
        left = ", ".join(key.expression for key in keys)
        sign = "<" if keys[0].descending else ">"
        return sql(f"({left}) {sign} ({', '.join('?' * len(values))})", *values)
    parts = []
    for depth, key in enumerate(keys):
        equal = [sql(f"{keys[i].expression} = ?", values[i]) for i in range(depth)]
        parts.append(
            "(" + all_of([*equal, sql(f"{key.expression} {'<' if key.descending else '>'} ?", values[depth])]) + ")"
        )
    return any_of(parts)


def encode(values: Sequence[Any]) -> str:
    """The key of the row with these values. Where they are too long, texts are cut, the longest first, and the row
    itself, whose rid is the last value, is asked for the rest when the key is used."""
    kept, cut = list(values), list[int]()
    while len(text := orjson.dumps([cut, kept])) > KEY_BYTES:
        longest = max((at for at, value in enumerate(kept) if isinstance(value, str)), key=lambda at: len(kept[at]))
        kept[longest] = kept[longest][: len(kept[longest]) * 3 // 4]
        cut = sorted({*cut, longest})
    return text.decode()


def decode(tx: Tx, keys: Sequence[Key], cursor: str) -> list[Any]:
    """The values behind a key. Raises Fault "invalid" where it is not one of a search in this order."""
    try:
        cut, values = orjson.loads(cursor)
    except ValueError as error:
        raise Fault("invalid", "the page link is damaged; expected a link as the server gave it") from error
    if len(values) != len(keys):
        raise Fault("invalid", "the page link is of another search; expected a link as the server gave it")
    if not cut:
        return list(values)
    found = tx.one(f"SELECT {', '.join(key.expression for key in keys)} FROM resource r WHERE r.rid = ?", values[-1])
    if found is not None and all(_begins(now, then) for now, then in zip(found, values, strict=True)):
        return list(found)
    # The row has changed since: its place is that which it had when the page was made.
    then = _once_said(tx, values[-1])
    return [
        _completed(value, then, key.descending) if number in cut else value
        for number, (key, value) in enumerate(zip(keys, values, strict=True))
    ]


def _once_said(tx: Tx, rid: int) -> list[str]:
    """The texts that a resource was ordered by in the versions that it had."""
    rows = tx.rows(
        "SELECT h.content FROM resource r JOIN history h ON h.patient = r.patient AND h.rid = r.rid"
        " WHERE r.rid = ? AND NOT h.deleted",
        rid,
    )
    return [text for (content,) in rows for text in texts(tx, orjson.loads(content), bytes(content))]


def _completed(start: str, said: list[str], descending: bool) -> str:
    """The text that was cut. One that nobody can tell any more is told so that nothing after it is missed."""
    met = [one for one in said if one.startswith(start)]
    return (max if descending else min)(met, default=start + LAST if descending else start)


def _begins(now: Any, then: Any) -> bool:
    return now.startswith(then) if isinstance(now, str) and isinstance(then, str) else bool(now == then)
