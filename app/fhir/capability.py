"""The CapabilityStatement, made from the one table: https://hl7.org/fhir/R4/capabilitystatement.html

Anything stated is implemented, anything implemented is stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.fhir import pointer
from app.fhir.lossless import MAX_DEPTH
from app.fhir.negotiation import JSON_PATCH, MERGE_PATCH
from app.fhir.operations import OPERATIONS, Operation
from app.fhir.patch import MOST_OPERATIONS
from app.fhir.registry import TYPES, ResourceType, modifiers
from app.fhir.search import MAX_PARAMETERS
from app.fhir.search_names import MAX_DEPTH as CHAIN
from app.fhir.search_results import MAX_COUNT, MAX_SORT
from app.fhir.search_values import MAX_TOTAL, MAX_VALUES
from app.fhir.structure import DEEPEST
from app.fhir.topics import TOPICS

DATE = "2026-11-24"
SOFTWARE = {"name": "Imaging registry", "version": "0.1.0"}

# What is refused, and how. The figures are those of the code that refuses.
LIMITS = (
    "a request of more than {max_bytes} bytes: 413",
    "content nested deeper than {depth} levels, elements deeper than {levels}: 413, 422",
    "a batch or transaction of more than {max_entries} entries: 413",
    "a patch of more than {operations} operations: 413",
    "a search with more than {parameters} parameters, {values} values of one or {all_values} of all: 400",
    "a chain or _has of more than {chain} references: 400",
    "more than {sorts} keys of _sort: 400",
    "pages have at most {count} entries: a larger _count is taken as that",
    "pages have at most {included} included resources: what is over is left out, and an outcome entry says so",
)
FIGURES = {
    "depth": MAX_DEPTH,
    "levels": DEEPEST,
    "operations": MOST_OPERATIONS,
    "parameters": MAX_PARAMETERS,
    "values": MAX_VALUES,
    "all_values": MAX_TOTAL,
    "chain": CHAIN,
    "sorts": MAX_SORT,
    "count": MAX_COUNT,
}
ALSO = (
    "Searches are strict: what is not known is refused with 400 that names it, unless Prefer: handling=lenient drops it."
    " Result parameters on every type: _count, _sort, _total, _summary, _elements, _include, _revinclude, :iterate."
    " History takes _since and _count; with _since it is a feed in the order of commits."
    " Conditional patch is supported like conditional update; a create may have its criteria in its address as in"
    " If-None-Exist. Idempotency-Key on POST gives the first answer again for 24"
    " hours; another request under the same key is refused with 422."
    " Prefer: capability-addresses on a search for ImagingStudy with _include=ImagingStudy:endpoint gives, in place of an"
    " Endpoint behind this server's proxy, one of the requester's own (urn:uuid, not stored). Its address opens its study to"
    " the same access token alone, for an hour at most and no longer than that token lasts or is not revoked."
)

# The interactions of the table that the statement names by the same word.
STATED = ("read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type")
SMART_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


TOPIC_CANONICAL = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)


def statement(base_url: str, limits: Mapping[str, int], *, strict: bool = True) -> dict[str, Any]:
    """What this server does. `limits` are the figures of LIMITS that the caller sets; `strict` is whether references
    must resolve."""
    origin = base_url.removesuffix("/fhir")
    operations = [_operation(one) for one in OPERATIONS.values() if "system" in one.levels]
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
        "patchFormat": [JSON_PATCH, MERGE_PATCH, "application/fhir+json", "application/fhir+xml"],
        "rest": [
            {
                "mode": "server",
                "documentation": documentation(limits),
                "security": _security(origin),
                "resource": [*(_resource(definition, strict) for definition in TYPES.values()), pointer.capability()],
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system")],
                **({"operation": operations} if operations else {}),
                "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
            }
        ],
    }


def documentation(limits: Mapping[str, int]) -> str:
    """Every limit with what going beyond it meets, and what the statement has no element for."""
    said = [text.format(**FIGURES, **limits) for text in LIMITS]
    listed = "\n".join(f"- {text}" for text in said)
    return f"{ALSO}\n\nLimits:\n\n{listed}"


def _operation(one: Operation) -> dict[str, Any]:
    return {"name": one.name, "definition": one.definition, "documentation": one.says}


def _security(origin: str) -> dict[str, Any]:
    uris = [("authorize", "authorize"), ("token", "token")]
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


def _resource(definition: ResourceType, strict: bool) -> dict[str, Any]:
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
        "referencePolicy": ["literal", "logical", *(("enforced",) if strict and "create" in can else ())],
    }
    if definition.name == "Subscription":
        found["extension"] = [{"url": TOPIC_CANONICAL, "valueCanonical": url} for url in TOPICS]
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
    if operations := [one for one in OPERATIONS.values() if one.levels != ("system",) and one.on(definition.name)]:
        found["operation"] = [_operation(one) for one in operations]
    return found


def _kind(kind: str) -> str:
    return kind if kind != "special" else "token"


def _modifiers(param: Any) -> str:
    taken = modifiers(param)
    return f"modifiers: {', '.join(taken)}" if taken else "no modifiers"
