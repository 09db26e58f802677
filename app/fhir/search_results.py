"""The parameters that say how results come: order, amount, totals, summaries, includes.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from app.fhir.faults import Wrong, nearest, shown
from app.fhir.query import Include, Sort
from app.fhir.registry import TYPES, followed
from app.fhir.search_names import held, known

DEFAULT_COUNT = 20
MAX_COUNT = 500
MAX_SORT = 8
MAX_CURSOR = 512

TOTALS = ("none", "estimate", "accurate")
SUMMARIES = ("true", "text", "data", "count", "false")

# Passed over here: content negotiation answers them.
ELSEWHERE = ("_format", "_pretty")

_COUNT = re.compile(r"\d{1,9}\Z", re.ASCII)
_ELEMENT = re.compile(r"[a-z][A-Za-z0-9]{0,63}\Z", re.ASCII)
_CURSOR = re.compile(r"[A-Za-z0-9_\-.=~]+\Z", re.ASCII)


def count(value: str) -> int:
    """`_count`: capped, not refused, when it asks for more than there may be."""
    if not _COUNT.match(value):
        raise Wrong('"_count" is not a whole number: expected 0 or more')
    return min(int(value), MAX_COUNT)


def one_of(name: str, value: str, known_values: tuple[str, ...]) -> str:
    if value not in known_values:
        raise Wrong(f"{shown(name)} has a value that is not known: expected {', '.join(known_values)}")
    return value


def elements(value: str) -> tuple[str, ...]:
    """`_elements`: names of elements at the root of the resource."""
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if not all(_ELEMENT.match(name) for name in names):
        raise Wrong('"_elements" is not a list of element names: expected names at the root, with commas between')
    return names


def cursor(value: str) -> str:
    if len(value) > MAX_CURSOR or not _CURSOR.match(value):
        raise Wrong('"_cursor" is not one that this server made: expected a link of a Bundle, as it was given')
    return value


def sort(type_name: str, value: str) -> tuple[Sort, ...]:
    """`_sort`: keys in order, each with a dash for descending."""
    keys = value.split(",")
    if len(keys) > MAX_SORT:
        raise Wrong(f'"_sort" has {len(keys)} keys: at most {MAX_SORT} are taken')
    found = []
    for key in keys:
        name = key.strip()
        descending = name.startswith("-")
        param = known(type_name, name.removeprefix("-"))
        if param.shape == "uid":
            raise Wrong(f'"_sort" by {shown(param.name)} is not supported: UIDs have no order, expected another')
        found.append(Sort(param, descending))
    return tuple(found)


def include(type_name: str, name: str, value: str) -> Include:
    """`_include` or `_revinclude`, with or without `:iterate`."""
    base, colon, modifier = name.partition(":")
    if colon and modifier != "iterate":
        raise Wrong(f'the modifier {shown(modifier)} is not supported on {shown(base)}: the nearest known is "iterate"')
    parts = value.split(":")
    if "*" in parts:
        raise Wrong(f'{shown(base)} of everything is not supported: expected "Type:parameter"')
    if len(parts) not in (2, 3) or not all(parts):
        raise Wrong(f'{shown(base)} is not complete: expected "Type:parameter" or "Type:parameter:Target"')
    source = held(parts[0])
    param = known(source, parts[1])
    targets = followed(param)
    target = parts[2] if len(parts) == 3 else None
    if not targets:
        raise Wrong(f"{shown(f'{source}:{param.name}')} leads to no type held here: {_known(type_name, base)}")
    if target is not None and target not in targets:
        raise Wrong(f"{shown(f'{source}:{param.name}')} does not lead to {shown(target)}: {nearest(target, targets)}")
    return Include(source, param, target, base == "_revinclude", bool(colon))


def check_include(type_name: str, one: Include, reached: AbstractSet[str]) -> None:
    """An include begins at the type that is searched; with `:iterate` also at one of `reached`, that others bring."""
    begins = _ends(one) if one.reverse else {one.source}
    if type_name in begins or (one.iterate and begins & reached):
        return
    base = "_revinclude" if one.reverse else "_include"
    hint = "" if one.iterate else '; from a type that another include brings it takes ":iterate"'
    raise Wrong(
        f"{shown(f'{one.source}:{one.param.name}')} does not begin at {type_name}: {_known(type_name, base)}{hint}"
    )


def reached(includes: Iterable[Include]) -> frozenset[str]:
    """The types that includes bring into the answer."""
    return frozenset(kind for one in includes for kind in ({one.source} if one.reverse else _ends(one)))


def _ends(one: Include) -> AbstractSet[str]:
    return {one.target} if one.target else set(followed(one.param))


def _known(type_name: str, base: str) -> str:
    row = TYPES[type_name]
    names = row.rev_includes if base == "_revinclude" else row.includes
    return "known are " + ", ".join(f'"{name}"' for name in names[:8]) + (" and others" if len(names) > 8 else "")
