"""What the pathways write again and again: codes, references, and letters and tasks of our own kinds."""

from __future__ import annotations

from typing import Any

from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.temporal import format_instant

Json = dict[str, Any]

BASE = "https://imaging-registry.example/fhir"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def concept(system: str, code: str, text: str | None = None) -> Json:
    return {"coding": [{"system": system, "code": code}]} | ({"text": text} if text else {})


def organization(key: str) -> Json:
    """A reference to the organisation of a key (`ods:RXB` or `Organization/id`)."""
    kind, _, code = key.partition(":")
    if kind != "ods":
        return {"reference": key}
    return {"type": "Organization", "identifier": {"system": ODS_ORGANISATION, "value": code}}


def practitioner(reference: str | None, client: str) -> Json:
    """A reference to whoever acts: the person, else the client by its id."""
    return {"reference": reference} if reference else {"identifier": {"value": client}}


def notice(category: Json, recipient: str, about: list[str], text: str, at: int) -> Json:
    """A Communication that tells an organisation (a key) something by reference: it names no patient."""
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [category],
        "priority": "urgent",
        "about": [{"reference": one} for one in about],
        "recipient": [organization(recipient)],
        "sent": format_instant(at),
        "payload": [{"contentString": text}],
    }


def code_of(concept: object) -> str:
    """The first code of a CodeableConcept, empty where there is none."""
    codings = concept.get("coding") if isinstance(concept, dict) else None
    first = codings[0] if isinstance(codings, list) and codings else {}
    return str(first.get("code", "")) if isinstance(first, dict) else ""
