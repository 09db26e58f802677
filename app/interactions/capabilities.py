"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities. Made from the one table."""

from __future__ import annotations

from app.fhir.capability import statement as build
from app.fhir.resource import dump
from app.interactions import Answer, Services


def statement(services: Services) -> Answer:
    """The CapabilityStatement, for anyone."""
    return Answer(
        200,
        dump(
            build(
                services.settings.base_url,
                max_bytes=services.settings.max_bytes,
                max_entries=services.settings.max_entries,
            )
        ),
        {"Cache-Control": "public, max-age=60"},
    )
