"""Search of our own conformance resources. They are few and public: matched, sorted and paged in memory, for anyone, and
no business of the audit. https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.matches import matches
from app.fhir.ordering import in_order
from app.fhir.query import Query


@dataclass(frozen=True, slots=True)
class Found:
    """One page, the number of all that match, and the key of the next page."""

    page: list[dict[str, Any]]
    total: int
    next: str | None


def search(held: Mapping[str, dict[str, Any]], query: Query, *, base_url: str, zone: str) -> Found:
    """What of `held` the query finds, by id where it asks for no order."""
    ordered = in_order((held[id] for id in sorted(held)), query.sort, base_url=base_url, zone=zone)
    found = [one for one in ordered if matches(one, query.where, base_url=base_url, zone=zone)]
    if query.summary == "count" or query.count == 0:
        return Found([], len(found), None)
    start = 0
    if query.cursor is not None:
        start = next((place + 1 for place, one in enumerate(found) if one["id"] == query.cursor), len(found))
    page = found[start : start + query.count]
    return Found(page, len(found), page[-1]["id"] if start + query.count < len(found) else None)
