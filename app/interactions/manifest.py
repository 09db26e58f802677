"""ImagingStudy/[id]/$manifest: what a study is made of and where it is, as a document of its own.

https://hl7.org/fhir/R4/documents.html; IHE MADO, of which the key object selection is 113030 of DICOM. It is decided and
recorded as a read of the study; its Endpoints are those that the requester may be shown.
"""

from __future__ import annotations

import uuid
from typing import Any

from app.access import audit
from app.fhir import bundle
from app.fhir.identifier import ODS_ORGANISATION as ODS
from app.fhir.merging import held_by
from app.fhir.outcome import Fault
from app.fhir.resource import dump, load
from app.fhir.study import DCM
from app.fhir.temporal import format_instant
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.presenting import content
from app.interactions.read import gone, unknown
from app.storage import resources
from app.storage.engine import Tx
from app.storage.resources import Stored

TITLE = "Manifest of an imaging study"
KIND = {"system": DCM, "code": "113030", "display": "Manifest"}
REDACTED = "a manifest names what this role may not be given; expected a role that may fetch studies"


def manifest(services: Services, asked: Asked, id: str) -> Answer:
    """A Bundle of type document: Composition, ImagingStudy, Patient, Endpoints. Raises Fault not-found, deleted, as a read
    would, and forbidden for a role to which studies are shown without their UIDs (P24)."""
    return carry(services, asked, "operation", "ImagingStudy", lambda tx: _answer(services, tx, asked, id))


def _answer(services: Services, tx: Tx, asked: Asked, id: str) -> Answer:
    grant = services.enforcement.permit(tx, asked.subject, "read", "ImagingStudy", id=id)
    found = resources.get(tx, grant, "ImagingStudy", id)
    if found is None:
        raise unknown("ImagingStudy")
    if found.deleted:
        raise gone(found)
    if grant.redact and not found.locatable:
        raise Fault("forbidden", REDACTED, detail="ACCESS_DENIED")
    study = load(content(grant, found))
    named = [study.get("subject", {}).get("reference", ""), *sorted(held_by(study))]
    parts = [found, *_held(tx, grant, named)]
    audit.record(
        tx,
        asked.subject,
        grant,
        "operation",
        "ImagingStudy",
        status=200,
        disclosed=parts,
        detail="$manifest",
        request_id=asked.request_id,
    )
    base, number = services.settings.base_url, uuid.uuid4()
    contents = [(f"urn:uuid:{number}", dump(_composition(study, found, parts, tx.at)))]
    contents += [(f"{base}/{one.ref}", content(grant, one)) for one in parts]
    identifier = ("urn:ietf:rfc:3986", f"urn:uuid:{uuid.uuid4()}")
    return Answer(200, bundle.document(contents, identifier=identifier, timestamp=tx.at))


def _held(tx: Tx, grant: Any, named: list[str]) -> list[Stored]:
    found = [
        resources.get(tx, grant, *name.split("/"))
        for name in named
        if name.count("/") == 1 and name.startswith(("Patient/", "Endpoint/"))
    ]
    return [one for one in found if one is not None and not one.deleted]


def _composition(study: dict[str, Any], found: Stored, parts: list[Stored], at: int) -> dict[str, Any]:
    kind, _, code = (found.owner or "").partition(":")
    author = {"identifier": {"system": ODS, "value": code}} if kind == "ods" else {"display": "the study's origin"}
    endpoints = [{"reference": one.ref} for one in parts if one.type == "Endpoint"]
    sections = [{"title": "The study", "entry": [{"reference": found.ref}]}]
    if endpoints:
        sections.append({"title": "Where it is", "entry": endpoints})
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [KIND]},
        "subject": study["subject"],
        "date": format_instant(at),
        "author": [{"type": "Organization", **author}],
        "title": TITLE,
        "section": sections,
    }
