"""An operator's export: everything that is held, read page by page through the enforcement point, each page recorded."""

from __future__ import annotations

from app.access import audit
from app.fhir.registry import TYPES
from app.interactions import Asked, Services
from app.storage import transfers
from app.storage.engine import Tx
from app.storage.resources import Stored
from app.storage.transfers import BEGINNING, Place

PAGE = 1000

# What can be written can be exported: the audit has an export of its own, and what is published comes with the software.
EXPORTED = tuple(name for name, kind in TYPES.items() if "create" in kind.interactions)


def page(services: Services, asked: Asked, type_name: str, place: Place = BEGINNING, count: int = PAGE) -> list[Stored]:
    """The next resources of a type, as they are kept. What changes meanwhile comes again at the end."""

    def work(tx: Tx) -> list[Stored]:
        grant = services.enforcement.for_export(tx, asked.subject)
        found = transfers.after(tx, grant, type_name, place, count)
        audit.record(
            tx,
            asked.subject,
            grant,
            "search-type",
            type_name,
            status=200,
            disclosed=found,
            detail="export by an operator",
            request_id=asked.request_id,
        )
        return found

    return services.store.retry(work)
