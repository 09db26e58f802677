"""delete: https://hl7.org/fhir/R4/http.html#delete. By id, or the single match of a condition."""

from __future__ import annotations

import orjson

from app.access import audit
from app.fhir import negotiation
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.joining import check_sole
from app.interactions.read import unknown
from app.interactions.writing import allowed, check_version, current, found_by
from app.storage import resources, subscriptions
from app.storage.engine import Tx
from app.storage.resources import Stored


def delete(services: Services, asked: Asked, type_name: str, id: str) -> Answer:
    """Mark as deleted. Again is no error."""
    allowed(type_name, "delete")
    return carry(services, asked, "delete", type_name, lambda tx: apply(services, tx, asked, type_name, id))


def conditional_delete(services: Services, asked: Asked, type_name: str, criteria: str) -> Answer:
    """Mark the one match as deleted; where nothing matches there is nothing to do."""
    allowed(type_name, "conditional-delete")
    return carry(
        services, asked, "delete", type_name, lambda tx: apply_conditional(services, tx, asked, type_name, criteria)
    )


def apply(services: Services, tx: Tx, asked: Asked, type_name: str, id: str) -> Answer:
    """delete inside a transaction that is open already."""
    found = current(services, tx, asked, type_name, id, "delete")
    if found is None:
        raise unknown(type_name)
    return _delete(services, tx, asked, found)


def apply_conditional(services: Services, tx: Tx, asked: Asked, type_name: str, criteria: str) -> Answer:
    """conditional delete inside a transaction that is open already."""
    found = found_by(services, tx, asked, type_name, criteria, "delete")
    return Answer(204) if found is None else _delete(services, tx, asked, found)


def _delete(services: Services, tx: Tx, asked: Asked, found: Stored) -> Answer:
    if found.deleted:
        return Answer(204, None, {"ETag": negotiation.etag(found.version)})
    check_version(asked, found)
    grant = services.enforcement.permit_write(tx, asked.subject, "delete", orjson.loads(found.content), found)
    if found.type == "ImagingStudy":
        check_sole(services, tx, asked, found)
    gone = resources.delete(tx, grant, found)
    if gone.type == "Subscription":
        subscriptions.forget(tx, gone.rid)
    audit.record(
        tx, asked.subject, grant, "delete", found.type, status=204, disclosed=[gone], request_id=asked.request_id
    )
    return Answer(204, None, {"ETag": negotiation.etag(gone.version)})
