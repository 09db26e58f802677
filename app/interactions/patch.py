"""patch: https://hl7.org/fhir/R4/http.html#patch. JSON Patch, JSON Merge Patch and FHIRPath Patch, by id or by condition."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from app.fhir.fhirpath_patch import fhirpath_patch
from app.fhir.outcome import Fault
from app.fhir.patch import json_patch, merge_patch
from app.fhir.resource import load
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.joining import keep_others
from app.interactions.read import gone, unknown
from app.interactions.writing import NOTHING, allowed, check_version, current, found_by, prepared, written
from app.storage import resources
from app.storage.engine import Tx
from app.storage.resources import Stored

Patch = tuple[str, Any]  # a key of APPLY, and what it takes
APPLY = {"json": json_patch, "merge": merge_patch, "fhirpath": fhirpath_patch}


def patch(services: Services, asked: Asked, type_name: str, id: str, change: Patch) -> Answer:
    """Change parts of the current version."""
    allowed(type_name, "patch")
    return carry(services, asked, "patch", type_name, lambda tx: apply(services, tx, asked, type_name, id, change))


def conditional_patch(services: Services, asked: Asked, type_name: str, criteria: str, change: Patch) -> Answer:
    """Change parts of the one resource that matches."""
    allowed(type_name, "conditional-patch")
    return carry(
        services,
        asked,
        "patch",
        type_name,
        lambda tx: apply_conditional(services, tx, asked, type_name, criteria, change),
    )


def apply(
    services: Services, tx: Tx, asked: Asked, type_name: str, id: str, change: Patch, here: Container[str] = NOTHING
) -> Answer:
    """patch inside a transaction that is open already."""
    return _patch(services, tx, asked, current(services, tx, asked, type_name, id, "patch"), type_name, change, here)


def apply_conditional(
    services: Services,
    tx: Tx,
    asked: Asked,
    type_name: str,
    criteria: str,
    change: Patch,
    here: Container[str] = NOTHING,
) -> Answer:
    """conditional patch inside a transaction that is open already."""
    return _patch(
        services, tx, asked, found_by(services, tx, asked, type_name, criteria, "patch"), type_name, change, here
    )


def _patch(
    services: Services,
    tx: Tx,
    asked: Asked,
    found: Stored | None,
    type_name: str,
    change: Patch,
    here: Container[str],
) -> Answer:
    if found is None:
        raise unknown(type_name)
    if found.deleted:
        raise gone(found)
    check_version(asked, found)
    kind, content = change
    resource = load(found.content)
    changed = APPLY[kind](resource, content)
    if not isinstance(changed, dict) or changed.get("id") != found.id or changed.get("resourceType") != type_name:
        raise Fault("unprocessable", "the patch changes the id or the type; expected them to stay")
    warnings = prepared(services, tx, asked, "patch", changed, type_name, here)
    grant = services.enforcement.permit_write(tx, asked.subject, "patch", changed, found)
    if type_name == "ImagingStudy":
        changed = keep_others(services, tx, asked, found, changed)
    stored = resources.update(tx, grant, found, changed, "PATCH")
    return written(services, tx, asked, "patch", grant, stored, 200, warnings)
