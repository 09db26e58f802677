"""How a stored version is shown: as it came in, or without what the requester may not be given."""

from __future__ import annotations

import orjson

from app.fhir import negotiation
from app.fhir.resource import dump, load, without
from app.interactions import Answer, Services
from app.policy.grant import Grant
from app.storage.resources import Stored

ENDPOINTS = {"ImagingStudy": ("endpoint", "series.endpoint")}

# What clerical roles are given of a study: that it exists, when, of what kind, and from where (P24).
REDACTED = {
    "ImagingStudy": ("id", "meta", "status", "subject", "started", "modality"),
    "DiagnosticReport": ("id", "meta", "status", "subject", "code", "category", "effectiveDateTime", "effectivePeriod"),
}


def content(grant: Grant, stored: Stored) -> bytes:
    """The bytes to show of a version."""
    if grant.redact and stored.type in REDACTED:
        return _redacted(stored)
    if not stored.locatable and stored.type in ENDPOINTS:
        return without(stored.content, ENDPOINTS[stored.type], tag=False)
    return stored.content


def _redacted(stored: Stored) -> bytes:
    resource = load(stored.content)
    kept = {"resourceType": stored.type} | {name: resource[name] for name in REDACTED[stored.type] if name in resource}
    if stored.owner:
        code = stored.owner.removeprefix("ods:")
        extension = {
            "url": "https://imaging-registry.example/fhir/StructureDefinition/source-organization",
            "valueReference": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}},
        }
        kept["extension"] = [extension]
    kept["meta"] = kept.get("meta", {}) | {
        "security": [
            *kept.get("meta", {}).get("security", ()),
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"},
        ]
    }
    return dump(kept)


def versioned(services: Services, status: int, body: bytes | None, stored: Stored, *, location: bool = False) -> Answer:
    """An answer about one version, with its entity tag and date."""
    headers = {
        "ETag": negotiation.etag(stored.version),
        "Last-Modified": negotiation.format_http_date(stored.updated),
    }
    if location:
        headers["Location"] = f"{services.settings.base_url}/{stored.versioned}"
    return Answer(status, body, headers)


def outcome(text: str, severity: str = "information", code: str = "informational") -> bytes:
    """An OperationOutcome with one sentence."""
    issue = {"severity": severity, "code": code, "details": {"text": text}}
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})
