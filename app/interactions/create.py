"""create and conditional create: https://hl7.org/fhir/R4/http.html#create.

Conditional create is exact under concurrency: the criteria are held by a match-key row before they are searched.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from app.access import audit
from app.interactions import Answer, Asked, Services, idempotency
from app.interactions.carrying import carry
from app.interactions.joining import join
from app.interactions.presenting import content, versioned
from app.interactions.writing import NOTHING, allowed, found_by, prepared, written
from app.storage import resources
from app.storage.engine import Tx


def create(services: Services, asked: Asked, type_name: str, resource: dict[str, Any]) -> Answer:
    """Store a new resource under an id of the server's; with If-None-Exist, only if nothing matches (else 200)."""
    allowed(type_name, "create")
    request = idempotency.fingerprint(asked, type_name, resource) if asked.idempotency_key is not None else b""

    def work(tx: Tx) -> Answer:
        before = idempotency.first(tx, asked, request)
        if before is not None:
            return idempotency.again(services, tx, asked, "create", type_name, before[0])
        answer = apply(services, tx, asked, type_name, resource)
        if asked.idempotency_key is not None:
            idempotency.keep(tx, asked, {0: answer})
        return answer

    return carry(services, asked, "create", type_name, work)


def apply(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    resource: dict[str, Any],
    here: Container[str] = NOTHING,
    id: str | None = None,
) -> Answer:
    """create inside a transaction that is open already. `id` is the one that a Bundle's references were given."""
    if asked.if_none_exist is not None:
        found = found_by(services, tx, asked, type_name, asked.if_none_exist, "create")
        if found is not None:
            grant = services.enforcement.permit(tx, asked.subject, "create", type_name, id=found.id)
            audit.record(
                tx,
                asked.subject,
                grant,
                "create",
                type_name,
                status=200,
                disclosed=[found],
                request_id=asked.request_id,
            )
            body = None if asked.prefer.returns == "minimal" else content(grant, found)
            return versioned(services, 200, body, found, location=True)
    warnings = prepared(services, tx, asked, "create", resource, type_name, here)
    grant = services.enforcement.permit_write(tx, asked.subject, "create", resource)
    if type_name == "ImagingStudy":
        joined = join(services, tx, asked, resource, warnings, "create")
        if joined is not None:
            return joined
    stored = resources.create(tx, grant, {key: value for key, value in resource.items() if key != "id"}, id, "POST")
    return written(services, tx, asked, "create", grant, stored, 201, warnings)
