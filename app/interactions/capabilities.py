"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities. Made from the one table."""

from __future__ import annotations

from app.fhir.capability import statement as build
from app.fhir.resource import dump
from app.interactions import Answer, Services
from app.storage.search import MOST_INCLUDED


def statement(services: Services) -> Answer:
    """The CapabilityStatement, for anyone."""
    settings = services.settings
    limits = {"max_bytes": settings.max_bytes, "max_entries": settings.max_entries, "included": MOST_INCLUDED}
    said = build(settings.base_url, limits, strict=settings.references == "strict")
    return Answer(200, dump(said), {"Cache-Control": "public, max-age=60"})
