"""Each study as a DocumentReference too: what a record locator holds of it, made when it is asked for and never stored.

https://hl7.org/fhir/R4/documentreference.html; the pointers of England's National Record Locator are of this kind. It
says no more of a study than the study as it is shown to the same requester.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.identifier import DICOM_UID
from app.fhir.identifier import ODS_ORGANISATION as ODS
from app.fhir.outcome import Fault

TYPE = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
STATUS = {"entered-in-error": "entered-in-error", "cancelled": "superseded"}

# parameter: (that of the study, its type, its definition)
HL7 = "http://hl7.org/fhir/SearchParameter/"
PARAMETERS: Mapping[str, tuple[str, str, str]] = {
    "_id": ("_id", "token", f"{HL7}Resource-id"),
    "_lastUpdated": ("_lastUpdated", "date", f"{HL7}Resource-lastUpdated"),
    "identifier": ("identifier", "token", f"{HL7}clinical-identifier"),
    "patient": ("patient", "reference", f"{HL7}clinical-patient"),
    "period": ("started", "date", f"{HL7}DocumentReference-period"),
    "subject": ("patient", "reference", f"{HL7}DocumentReference-subject"),
    "type": ("", "token", f"{HL7}clinical-type"),
}
SHAPING = ("_count", "_total", "_cursor", "_format", "_pretty")
NOTHING = ("identifier", "urn:imaging-registry:nothing|nothing")

Pairs = Sequence[tuple[str, str]]


def as_study_search(pairs: Pairs, *, lenient: bool = False) -> tuple[list[tuple[str, str]], list[str]]:
    """A search for pointers as one for studies, and what of it is not known. Raises Fault invalid unless `lenient`."""
    asked: list[tuple[str, str]] = []
    unknown: list[str] = []
    for name, value in pairs:
        base = name.partition(":")[0].partition(".")[0]
        if name in SHAPING:
            asked.append((name, value))
        elif base == "type" and name == base:
            asked += [] if any(map(_is_type, value.split(","))) else [NOTHING]
        elif base in PARAMETERS and base != "type":
            asked.append((PARAMETERS[base][0] + name.removeprefix(base), value))
        else:
            text = f"{name} is not supported for DocumentReference; expected one of {', '.join(PARAMETERS)}"
            if not lenient:
                raise Fault("invalid", text, name)
            unknown.append(text)
    return asked, unknown


def _is_type(token: str) -> bool:
    return token in (TYPE["code"], f"{TYPE['system']}|", f"{TYPE['system']}|{TYPE['code']}")


def pointer(study: Mapping[str, Any], owner: str | None, base_url: str) -> dict[str, Any]:
    """The DocumentReference of a study as it is shown. `owner` is the key of the organisation that answers for it."""
    address = f"{base_url}/ImagingStudy/{study['id']}"
    named = study.get("identifier", [])
    uid = next((one for one in named if one.get("system") == DICOM_UID), None)
    attachment: dict[str, Any] = {
        "contentType": "application/fhir+json",
        "url": f"{address}/$manifest" if uid else address,
        "title": "What the study is made of, and where it is" if uid else "What may be known of the study",
    }
    context: dict[str, Any] = {"related": [{"reference": f"ImagingStudy/{study['id']}", "type": "ImagingStudy"}]}
    found: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "id": study["id"],
        "meta": {name: value for name, value in study.get("meta", {}).items() if name != "profile"},
        "masterIdentifier": uid,
        "identifier": [one for one in named if one is not uid],
        "status": STATUS.get(str(study.get("status")), "current"),
        "type": {"coding": [TYPE]},
        "category": [{"coding": [CATEGORY]}],
        "subject": study.get("subject"),
        "date": study.get("meta", {}).get("lastUpdated"),
        "custodian": _custodian(owner),
        "description": study.get("description"),
        "content": [{"attachment": attachment}],
    }
    if "started" in study:
        attachment["creation"] = study["started"]
        context["period"] = {"start": study["started"]}
    if modality := study.get("modality"):
        context["event"] = [{"coding": [one]} for one in modality]
    return {name: value for name, value in (found | {"context": context}).items() if value}


def _custodian(owner: str | None) -> dict[str, Any] | None:
    kind, _, code = (owner or "").partition(":")
    return {"type": "Organization", "identifier": {"system": ODS, "value": code}} if kind == "ods" else None


def capability() -> dict[str, Any]:
    """What the CapabilityStatement says of pointers."""
    return {
        "type": "DocumentReference",
        "documentation": "One for each ImagingStudy, under its id, made when asked for: shown, and withheld, as the study is.",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": name, "definition": definition, "type": kind} for name, (_, kind, definition) in PARAMETERS.items()
        ],
    }
