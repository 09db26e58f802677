"""update, update as create, and conditional update: https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from app.fhir import negotiation
from app.fhir.outcome import Fault
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.joining import join, keep_others
from app.interactions.read import unknown
from app.interactions.writing import NOTHING, allowed, check_version, current, found_by, prepared, written
from app.storage import resources
from app.storage.engine import Tx
from app.storage.resources import Stored


def update(services: Services, asked: Asked, type_name: str, id: str, resource: dict[str, Any]) -> Answer:
    """Store a new version; one that changes nothing makes none. Creates where the id is free."""
    allowed(type_name, "update")
    return carry(services, asked, "update", type_name, lambda tx: apply(services, tx, asked, type_name, id, resource))


def conditional_update(
    services: Services, asked: Asked, type_name: str, criteria: str, resource: dict[str, Any]
) -> Answer:
    """Update the one resource that matches, or create one where none does."""
    allowed(type_name, "conditional-update")
    return carry(
        services,
        asked,
        "update",
        type_name,
        lambda tx: apply_conditional(services, tx, asked, type_name, criteria, resource),
    )


def apply(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    id: str,
    resource: dict[str, Any],
    here: Container[str] = NOTHING,
) -> Answer:
    """update inside a transaction that is open already."""
    if resource.get("id") != id:
        raise Fault("invalid", "the resource's id is not that of the address; expected the same", f"{type_name}.id")
    found = current(services, tx, asked, type_name, id, "update")
    return _put(services, tx, asked, type_name, id, found, resource, here)


def apply_conditional(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    criteria: str,
    resource: dict[str, Any],
    here: Container[str] = NOTHING,
    new_id: str | None = None,
) -> Answer:
    """conditional update inside a transaction that is open already. `new_id` is the one a Bundle gave it."""
    found = found_by(services, tx, asked, type_name, criteria, "update")
    named = resource.get("id")
    if found is not None and named is not None and named != found.id:
        raise Fault(
            "invalid", "the resource's id is not that of the match; expected the same or none", f"{type_name}.id"
        )
    id = found.id if found else (named or new_id)
    if found is None and named is not None:
        found = current(services, tx, asked, type_name, named, "update")
        if found is not None and not found.deleted:
            raise Fault(
                "conflict", "the resource's id is taken by one that does not match; expected a free one or none"
            )
    return _put(services, tx, asked, type_name, id, found, resource, here, chosen=named is not None)


def _put(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    id: str | None,
    found: Stored | None,
    resource: dict[str, Any],
    here: Container[str],
    *,
    chosen: bool = True,
) -> Answer:
    """`chosen`: the client, not the server, chose the id of what may be new."""
    check_version(asked, found)
    there = found is not None and not found.deleted
    if there and "*" in negotiation.entity_tags(asked.if_none_match, "If-None-Match"):
        raise Fault("version-conflict", "the resource is there already; expected none (If-None-Match: *)")
    warnings = prepared(services, tx, asked, "update", resource, type_name, here)
    grant = services.enforcement.permit_write(tx, asked.subject, "update", resource, found)
    if type_name == "ImagingStudy" and not chosen:
        joined = join(services, tx, asked, resource, warnings, "update")
        if joined is not None:
            return joined
    if found is None:
        if chosen and not services.enforcement.may_choose_ids(asked.subject, type_name):
            # Whoever may not see all studies must not learn from a refusal which ids are taken.
            raise unknown(type_name)
        if id is not None and resources.taken(tx, type_name, id):
            raise Fault(
                "forbidden",
                f"this {type_name} belongs to another organisation; expected one of the client's own organisation",
                detail="ACCESS_DENIED",
            )
        stored = resources.create(tx, grant, resource, id, "PUT")
        return written(services, tx, asked, "create", grant, stored, 201, warnings)
    if type_name == "ImagingStudy" and not found.deleted:
        resource = keep_others(services, tx, asked, found, resource)
    stored = resources.update(tx, grant, found, resource)
    return written(services, tx, asked, "update", grant, stored, 201 if found.deleted else 200, warnings)
