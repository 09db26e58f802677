"""vread: https://hl7.org/fhir/R4/http.html#vread. A version shows only if it does now and would have then."""

from __future__ import annotations

from app.access import audit
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.presenting import content, versioned
from app.interactions.read import gone, unknown
from app.interactions.writing import allowed
from app.storage import resources
from app.storage.engine import Tx


def vread(services: Services, asked: Asked, type_name: str, id: str, version: str) -> Answer:
    """One version. Raises Fault not-found, or deleted where the version is a deletion."""
    allowed(type_name, "vread")
    return carry(services, asked, "vread", type_name, lambda tx: apply(services, tx, asked, type_name, id, version))


def apply(services: Services, tx: Tx, asked: Asked, type_name: str, id: str, version: str) -> Answer:
    """vread inside a transaction that is open already."""
    grant = services.enforcement.permit(tx, asked.subject, "vread", type_name, id=id)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
    if type_name == "AuditEvent":
        found = audit.read(tx, grant, id) if number == 1 else None
    else:
        found = resources.get_version(tx, grant, type_name, id, number) if number else None
    if found is None:
        raise unknown(type_name)
    if found.deleted:
        raise gone(found)
    audit.record(
        tx, asked.subject, grant, "vread", type_name, status=200, disclosed=[found], request_id=asked.request_id
    )
    return versioned(services, 200, content(grant, found), found)
