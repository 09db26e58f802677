"""The order behind a study: accession number and who issued it, order numbers, the reason for the request.

An accession number is unique only within its issuer, so it always carries the issuer's system; the assigner's ODS code
says whose study it is, which access decisions rest on, and is given only where the image or the region says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.fhir.identifier import ODS_ORGANISATION
from app.ingest import codes
from app.ingest.reading import Reader, is_uid
from app.ingest.source import Source

TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
ORDER_NUMBERS = (
    ("PlacerOrderNumberImagingServiceRequest", "OrderPlacerIdentifierSequence", "PLAC", "Placer Identifier"),
    ("FillerOrderNumberImagingServiceRequest", "OrderFillerIdentifierSequence", "FILL", "Filler Identifier"),
)


def identifiers(reader: Reader, source: Source) -> list[dict[str, Any]]:
    """The accession number and the study id; the study UID is put before them by the caller."""
    found = []
    accession = reader.text("AccessionNumber")
    if accession is not None:
        issuer = next(iter(reader.items("IssuerOfAccessionNumberSequence")), None)
        found.append(_accession(reader, accession, issuer, source))
    study_id = reader.text("StudyID")
    if study_id is not None and source.study_id_system:
        found.append({"use": "secondary", "system": source.study_id_system, "value": study_id})
    return found


def based_on(reader: Reader, source: Source, requested: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A reference by identifier to each request that the study answers."""
    found: list[dict[str, Any]] = []
    items = [*reader.items("ReferencedRequestSequence"), *reader.items("RequestAttributesSequence")]
    shown = next((concept["text"] for concept in requested if "text" in concept), None)
    numbers: list[dict[str, Any]] = []
    for item in (reader, *items):
        accession = item.text("AccessionNumber")
        if accession is not None:
            issuer = next(iter(item.items("IssuerOfAccessionNumberSequence")), None)
            numbers.append(_accession(item, accession, issuer, source))
    for item in items:
        for keyword, issuers, code, display in ORDER_NUMBERS:
            number = item.text(keyword)
            issuer = next(iter(item.items(issuers)), None)
            system = _universal(issuer) if issuer else None
            if number and system:
                kind = {"coding": [{"system": TYPES, "code": code, "display": display}]}
                numbers.append({"type": kind, "system": system, "value": number})
            elif number:
                reader.note(keyword, "has no universal issuer, so that the number names no one order; left out")
    for identifier in numbers:
        reference: dict[str, Any] = {"type": "ServiceRequest", "identifier": identifier}
        if shown:
            reference["display"] = shown
        if reference not in found:
            found.append(reference)
    return found


def reasons(reader: Reader, known: Mapping[str, str]) -> list[dict[str, Any]]:
    """(0040,100A) and (0040,1002), at the top or in the request attributes."""
    found: list[dict[str, Any]] = []
    for item in (reader, *reader.items("RequestAttributesSequence")):
        found += [
            one for one in codes.concepts(item, "ReasonForRequestedProcedureCodeSequence", known) if one not in found
        ]
    for item in (reader, *reader.items("RequestAttributesSequence")):
        text = item.text("ReasonForTheRequestedProcedure")
        if text and all(one.get("text") != text for one in found):
            found.append({"text": text})
    return found


def _accession(reader: Reader, value: str, issuer: Reader | None, source: Source) -> dict[str, Any]:
    kind = {"coding": [{"system": TYPES, "code": "ACSN", "display": "Accession ID"}]}
    names = _issuer_names(issuer)
    system, ods = source.accession_system, source.ods
    configured = next((source.issuers[name] for name in names if name in source.issuers), None)
    universal = _universal(issuer) if issuer else None
    if configured is not None:
        system, ods = configured.system, configured.ods or ""
    elif universal is not None and universal != source.accession_system:
        # Someone else's number: to call it the archive's would make the archive the origin of another's study.
        system, ods = universal, ""
        reader.note("IssuerOfAccessionNumberSequence", "is of an issuer not configured; no organisation was recorded")
    found: dict[str, Any] = {"type": kind, "system": system, "value": value}
    if ods:
        found["assigner"] = {"type": "Organization", "identifier": {"system": ODS_ORGANISATION, "value": ods}}
    return found


def _issuer_names(issuer: Reader | None) -> list[str]:
    if issuer is None:
        return []
    named = (issuer.text("UniversalEntityID"), issuer.text("LocalNamespaceEntityID"))
    return [name for name in named if name]


def _universal(issuer: Reader) -> str | None:
    """An assigning authority's universal id as a URI. PS3.3 table 10-17: ISO is an OID, others as their type says."""
    name, kind = issuer.text("UniversalEntityID"), issuer.text("UniversalEntityIDType")
    if name is None:
        return None
    if is_uid(name):
        return f"urn:oid:{name}"
    if kind == "UUID":
        return f"urn:uuid:{name.lower()}"
    return name if kind == "URI" or ":" in name else None
