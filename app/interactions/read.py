"""read: https://hl7.org/fhir/R4/http.html#read. What may not be seen answers exactly as what never was."""

from __future__ import annotations

from app.access import audit
from app.fhir import negotiation
from app.fhir.outcome import Fault
from app.fhir.resource import dump, pick, summarise
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.presenting import content, versioned
from app.storage import resources
from app.storage.engine import Tx
from app.storage.resources import Stored


def read(
    services: Services,
    asked: Asked,
    type_name: str,
    id: str,
    *,
    summary: str | None = None,
    elements: tuple[str, ...] = (),
) -> Answer:
    """The current version. Raises Fault not-found, or deleted for one that the requester could see before."""
    if type_name in services.published:
        return _published(services, type_name, id)
    return carry(
        services, asked, "read", type_name, lambda tx: apply(services, tx, asked, type_name, id, summary, elements)
    )


def apply(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    id: str,
    summary: str | None = None,
    elements: tuple[str, ...] = (),
) -> Answer:
    """read inside a transaction that is open already."""
    foreseen = services.enforcement.foreseen(tx, asked.subject, "read", type_name)
    if foreseen is not None:
        resources.foresee(tx, foreseen, type_name, id)
    grant = services.enforcement.permit(tx, asked.subject, "read", type_name, id=id)
    if type_name == "AuditEvent":
        found = audit.read(tx, grant, id)
    else:
        found = resources.get(tx, grant, type_name, id)
    if found is None:
        raise unknown(type_name)
    if found.deleted:
        raise gone(found)
    status = 200
    if negotiation.not_modified(asked.if_none_match, asked.if_modified_since, found.version, found.updated):
        status = 304
    audit.record(
        tx, asked.subject, grant, "read", type_name, status=status, disclosed=[found], request_id=asked.request_id
    )
    if status == 304:
        return versioned(services, 304, None, found)
    body = content(grant, found)
    if elements:
        body = pick(body, elements)
    elif summary and summary != "false":
        body = summarise(body, summary)
    return versioned(services, 200, body, found)


def unknown(type_name: str) -> Fault:
    """The one answer for what is not there and for what is not shown."""
    return Fault("not-found", f"no {type_name} with this id; expected the id of one", detail="RESOURCE_NOT_FOUND")


def gone(found: Stored) -> Fault:
    """The answer for a resource that was deleted."""
    return Fault(
        "deleted",
        f"this {found.type} was deleted; expected one that is there",
        headers={"ETag": negotiation.etag(found.version), "Last-Modified": negotiation.format_http_date(found.updated)},
    )


def _published(services: Services, type_name: str, id: str) -> Answer:
    """A conformance resource of our own: the same for everyone, and no business of the audit."""
    resource = services.published[type_name].get(id)
    if resource is None:
        raise unknown(type_name)
    return Answer(200, dump(resource))
