"""The CapabilityStatement, made from the one table: https://hl7.org/fhir/R4/capabilitystatement.html

Anything stated is implemented, anything implemented is stated.
"""

from __future__ import annotations

from typing import Any

from app.fhir.registry import TYPES, ResourceType, modifiers

DATE = "2026-11-24"
SOFTWARE = {"name": "Imaging registry", "version": "0.1.0"}

# The interactions of the table that the statement names by the same word.
STATED = ("read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type")
SMART_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def statement(base_url: str, *, max_bytes: int, max_entries: int) -> dict[str, Any]:
    """What this server does. Limits are stated in its documentation."""
    origin = base_url.removesuffix("/fhir")
    limits = (
        f"Requests of more than {max_bytes} bytes and Bundles of more than {max_entries} entries are refused with 413;"
        " chains are at most three references deep, pages have at most 500 matches and 1000 included resources."
        " Searches are strict: what is not known is refused with 400, unless Prefer: handling=lenient."
    )
    return {
        "resourceType": "CapabilityStatement",
        "id": "registry",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": SOFTWARE,
        "implementation": {"description": "Registry of imaging studies shared between hospitals", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["json", "xml", "application/fhir+json", "application/fhir+xml"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"],
        "rest": [
            {
                "mode": "server",
                "documentation": limits,
                "security": _security(origin),
                "resource": [_resource(definition) for definition in TYPES.values()],
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system")],
            }
        ],
    }


def _security(origin: str) -> dict[str, Any]:
    uris = [("token", "token"), ("introspect", "introspect"), ("revoke", "revoke")]
    return {
        "extension": [
            {
                "url": SMART_URIS,
                "extension": [{"url": name, "valueUri": f"{origin}/auth/{address}"} for name, address in uris],
            }
        ],
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ]
            }
        ],
        "description": "A bearer token for every request but this one; consent and care relationship decide beneath it.",
    }


def _resource(definition: ResourceType) -> dict[str, Any]:
    can = definition.interactions
    found: dict[str, Any] = {
        "type": definition.name,
        "interaction": [{"code": code} for code in STATED if code in can],
        "versioning": "versioned-update" if "update" in can else "versioned",
        "readHistory": "vread" in can,
        "updateCreate": "update" in can,
        "conditionalCreate": "conditional-create" in can,
        "conditionalRead": "full-support",
        "conditionalUpdate": "conditional-update" in can,
        "conditionalDelete": "single" if "conditional-delete" in can else "not-supported",
    }
    if includes := list(definition.includes):
        found["searchInclude"] = includes
    if reverse := list(definition.rev_includes):
        found["searchRevInclude"] = reverse
    found["searchParam"] = [
        {
            "name": param.name,
            "definition": param.definition,
            "type": _kind(param.kind),
            "documentation": _modifiers(param),
        }
        for param in definition.params.values()
    ]
    return found


def _kind(kind: str) -> str:
    return kind if kind != "special" else "token"


def _modifiers(param: Any) -> str:
    taken = modifiers(param)
    return f"modifiers: {', '.join(taken)}" if taken else "no modifiers"
