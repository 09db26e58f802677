"""Codes as policy compares them: `system|code`, in one spelling of each system.

https://hl7.org/fhir/R4/datatypes.html#Coding. A code without a system is written `|code`; something that is stated
but cannot be read is `?`. Neither proves anything: a deny may match it, a permit may not (P13).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.policy.predicate import UNKNOWN, AnyOf, Expr, conj, disj

DCM = "http://dicom.nema.org/resources/ontology/DCM"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONSENT_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
URI = "urn:ietf:rfc:3986"

ALIASES = {
    "urn:oid:1.2.840.10008.2.16.4": DCM,
    "http://nema.org/dicom/dicm": DCM,
    "http://hl7.org/fhir/v3/Confidentiality": CONFIDENTIALITY,
    "urn:oid:2.16.840.1.113883.5.25": CONFIDENTIALITY,
    "http://hl7.org/fhir/v3/ActCode": ACT_CODE,
    "urn:oid:2.16.840.1.113883.5.4": ACT_CODE,
    "http://hl7.org/fhir/v3/ActReason": ACT_REASON,
    "urn:oid:2.16.840.1.113883.5.8": ACT_REASON,
    "http://hl7.org/fhir/consentaction": CONSENT_ACTION,
}

# DICOM CID 29 and 33: what a bare code among these means needs no system.
_MODALITIES = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL
    IVOCT IVUS KER KO LEN LS MG MR M3D NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG
    RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN
    TEXTUREMAP TG US VA XA XAPROTOCOL XC
"""
MODALITIES = frozenset(_MODALITIES.split())

LEVELS = ("U", "L", "M", "N", "R", "V")  # v3-Confidentiality, from the most open
UNRATED = "confidentiality?"  # labels are stated, none of them a readable confidentiality

# v3-ActCode sensitivity codes that stand for others: child → parent.
BROADER_LABEL = {
    "BH": "SPI",
    "COGN": "BH",
    "DVD": "BH",
    "EMOTDIS": "BH",
    "MH": "BH",
    "PSY": "BH",
    "PSYTHPN": "BH",
    "SUD": "BH",
    "ETHUD": "SUD",
    "OPIOIDUD": "SUD",
}

# The duties of PractitionerRole.code by HL7's example set, as roles of a requester.
# https://terminology.hl7.org/CodeSystem-practitioner-role.html
PRACTITIONER_ROLE = "http://terminology.hl7.org/CodeSystem/practitioner-role"
DUTIES = {
    f"{PRACTITIONER_ROLE}|{code}": "clinician"
    for code in ("dentist", "doctor", "nurse", "pharmacist", "physio", "speech")
}

# v3-ActReason: what is said of treatment is said of emergency treatment, and of breaking the glass.
BROADER_PURPOSE = {
    "BTG": "ETREAT",
    "ERTREAT": "ETREAT",
    "ETREAT": "TREAT",
    "CAREMGT": "TREAT",
    "COC": "TREAT",
    "TREAT": "PurposeOfUse",
}


def listed(value: object) -> list[Any]:
    """`value` as a list: itself, the one thing that it is, or nothing."""
    return value if isinstance(value, list) else [] if value is None else [value]


def codings(concept: object) -> Iterator[tuple[str | None, str]]:
    """(system, code) of a Coding or of each coding of a CodeableConcept. What cannot be read is left out."""
    if not isinstance(concept, dict):
        return
    for coding in listed(concept["coding"]) if "coding" in concept else (concept,):
        if isinstance(coding, dict) and isinstance(code := coding.get("code"), str) and code.strip():
            system = coding.get("system")
            yield (ALIASES.get(system, system) if isinstance(system, str) and system else None), code.strip()


def value(system: str | None, code: str) -> str:
    return f"{system or ''}|{code}"


def stated(concepts: Iterable[object], home: str | None = None) -> frozenset[str]:
    """The facts that some concepts state. A bare code is of system `home`; an unreadable concept is `?`."""
    found: set[str] = set()
    for concept in concepts:
        readable = {value(system or home, code) for system, code in codings(concept)}
        found |= readable or {"?"}
    return frozenset(found)


def modality(concepts: Iterable[object]) -> frozenset[str]:
    """Modalities, a bare DICOM code taken for what it is."""
    return frozenset(value(DCM, v[1:]) if v[1:] in MODALITIES and v[0] == "|" else v for v in stated(concepts))


def stating(kind: str, wanted: Iterable[str], unsure: Iterable[str] = ()) -> Expr:
    """The study states one of `wanted`; unknown when it states one of `unsure`, or nothing of the kind."""
    return disj(AnyOf(kind, frozenset(wanted)), conj(AnyOf(kind, frozenset(unsure)), UNKNOWN))


def coded(kind: str, system: str, code: str) -> Expr:
    """The study states this code; unknown where it states the code without a system, or something unreadable."""
    return stating(kind, [value(system, code)], [value(None, code), "?"])


def rated(level: str) -> Expr:
    """The study's confidentiality is `level` or above (its labels are a high-water mark, P15)."""
    wanted = LEVELS[LEVELS.index(level) :]
    return stating("label", [value(CONFIDENTIALITY, code) for code in wanted], [UNRATED])


def labels(concepts: Iterable[object]) -> frozenset[str]:
    """The facts of a study's security labels."""
    found = set(stated(concepts))
    rates = {v for v in found if v.startswith(CONFIDENTIALITY)}
    known = {value(CONFIDENTIALITY, code) for code in LEVELS}
    bare = {value(None, code) for code in LEVELS}
    if found and (not rates or rates - known or found & (bare | {"?"})):
        found.add(UNRATED)
    return frozenset(found)


def broader(code: str, table: dict[str, str]) -> list[str]:
    """`code` and every code that stands for it."""
    found = [code]
    while found[-1] in table:
        found.append(table[found[-1]])
    return found


def narrower(code: str, table: dict[str, str]) -> list[str]:
    """`code` and every code that it stands for."""
    return [code, *(other for other in table if code in broader(other, table)[1:])]
