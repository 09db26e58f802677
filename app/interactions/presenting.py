"""How a stored version is shown: as it came in, or without what the requester may not be given."""

from __future__ import annotations

import orjson

from app.fhir import negotiation
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.imaging_access import requiring_token
from app.fhir.resource import dump, load, without
from app.interactions import Answer, Services
from app.policy import redaction
from app.policy.grant import Grant
from app.storage.resources import Stored

ENDPOINTS = {"ImagingStudy": ("endpoint", "series.endpoint")}

SOURCE = "https://imaging-registry.example/fhir/StructureDefinition/source-organization"


def content(grant: Grant, stored: Stored) -> bytes:
    """The bytes to show of a version."""
    if grant.redact and stored.type in redaction.SHOWN and not stored.locatable:
        return _redacted(stored)
    if not stored.locatable and stored.type in ENDPOINTS:
        return without(stored.content, ENDPOINTS[stored.type], tag=False)
    return requiring_token(stored.content) if stored.type == "Endpoint" else stored.content


def _redacted(stored: Stored) -> bytes:
    resource = load(stored.content)
    shown = redaction.SHOWN[stored.type]
    kept = {"resourceType": stored.type} | {name: resource[name] for name in shown if name in resource}
    if stored.owner:
        kind, _, code = stored.owner.partition(":")
        named = (
            {"identifier": {"system": ODS_ORGANISATION, "value": code}}
            if kind == "ods"
            else {"reference": stored.owner}
        )
        kept["extension"] = [{"url": SOURCE, "valueReference": named}]
    meta = {name: resource["meta"][name] for name in redaction.META if name in resource.get("meta", {})}
    mark = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"}
    kept["meta"] = meta | {"security": [*meta.get("security", ()), mark]}
    return dump(kept)


def versioned(services: Services, status: int, body: bytes | None, stored: Stored, *, location: bool = False) -> Answer:
    """An answer about one version, with its entity tag and date."""
    headers = {
        "ETag": negotiation.etag(stored.version),
        "Last-Modified": negotiation.format_http_date(stored.updated),
    }
    if location:
        headers["Location"] = address(services, stored)
    return Answer(status, body, headers)


def address(services: Services, stored: Stored) -> str:
    """Where one version is read."""
    return f"{services.settings.base_url}/{stored.versioned}"


def outcome(text: str, severity: str = "information", code: str = "informational") -> bytes:
    """An OperationOutcome with one sentence."""
    issue = {"severity": severity, "code": code, "details": {"text": text}}
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})
