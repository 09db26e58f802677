"""By what `_sort` orders, said once to be read: the oracle for ORDER BY in storage.

https://hl7.org/fhir/R4/search.html#sort. Of several values, ascending takes the least and descending the greatest; a
date or period counts by its beginning when ascending and by its end when descending, one without that limit before all
others; a reference by its id or address. A resource without a value comes last either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.fhir.matches_values import concepts, contacts, identifiers, references, spans, strings
from app.fhir.query import Param, Sort
from app.fhir.text import normalise

Key = tuple[int, float | int | str]


def sort_key(resource: dict[str, Any], sort: Sort, *, base_url: str = "", zone: str = "Europe/London") -> Key | None:
    """What stands for the resource under one key of `_sort`; None where it has no value. Keys of one Sort compare."""
    found = list(_keys(resource, sort, base_url, zone))
    if not found:
        return None
    return max(found) if sort.descending else min(found)


def in_order(resources: Iterable[dict[str, Any]], sorts: Iterable[Sort], **where: str) -> list[dict[str, Any]]:
    """The resources in the order of several keys, the first the most significant; ties stay as they were."""
    ordered = list(resources)
    for sort in reversed(list(sorts)):
        keyed = [(sort_key(one, sort, **where), one) for one in ordered]
        having = [(key, one) for key, one in keyed if key is not None]
        having.sort(key=lambda pair: pair[0], reverse=sort.descending)
        ordered = [one for _, one in having] + [one for key, one in keyed if key is None]
    return ordered


def _keys(resource: dict[str, Any], sort: Sort, base_url: str, zone: str) -> Iterator[Key]:
    param = sort.param
    if param.kind in ("date", "number"):
        for low, high in spans(resource, param, zone):
            limit, open_ended = (high, 1) if sort.descending else (low, -1)
            yield (open_ended, 0) if limit is None else (0, limit)
    else:
        yield from ((0, text) for text in _texts(resource, param, base_url))


def _texts(resource: dict[str, Any], param: Param, base_url: str) -> Iterator[str]:
    match param.kind:
        case "reference":
            for _, id, url, _, _ in references(resource, param, base_url):
                if id or url:
                    yield id or url or ""
        case "string":
            yield from map(normalise, strings(resource, param))
        case "uri":
            yield from strings(resource, param)
        case _ if param.shape == "identifier":
            yield from (value for _, value, _, _ in identifiers(resource, param) if value)
        case _:
            source = contacts if param.shape == "contact" else concepts
            yield from (code for _, code, _ in source(resource, param) if code)
