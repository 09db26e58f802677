"""Codes of images as FHIR Codings: modality, body part (PS3.16 Annex L), laterality, code sequences.

No Coding is made without a system: a code whose scheme is not known is kept as text, and noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.fhir.study import DCM
from app.ingest.anatomy import ANATOMY
from app.ingest.reading import Reader, is_uid

SCT = "http://snomed.info/sct"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

# PS3.16 section 8 designators that HL7 publishes a URI for; NICIP is the United Kingdom's.
SCHEMES = {
    "SCT": SCT,
    "SRT": "http://snomed.info/srt",
    "SNM3": "http://snomed.info/srt",
    "99SDM": "http://snomed.info/srt",
    "DCM": DCM,
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "RADLEX": "http://radlex.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "C4": "http://www.ama-assn.org/go/cpt",
    "NICIP": "https://nicip.nhs.uk",
}

# What a Coding that must be there says when there is none.
UNKNOWN: Mapping[str, Any] = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}

# CID 33, which has CID 29 inside it.
_MODALITIES = """
    AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS
    KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XC
"""
MODALITIES = frozenset(_MODALITIES.split())


LATERALITY = {
    "R": {"system": SCT, "code": "24028007", "display": "Right"},
    "L": {"system": SCT, "code": "7771000", "display": "Left"},
    "B": {"system": SCT, "code": "51440002", "display": "Right and left"},
}


def modality(reader: Reader) -> dict[str, Any]:
    """(0008,0060) as a Coding. R4 demands one in every series: where there is none it says so, and guesses nothing."""
    code = reader.text("Modality")
    if code is not None and code.upper() in MODALITIES:
        return {"system": DCM, "code": code.upper()}
    if code is not None:
        reader.note("Modality", "is not a modality of CID 33; recorded as unknown")
    else:
        reader.note("Modality", "is missing; recorded as unknown")
    return dict(UNKNOWN)


def body_site(reader: Reader) -> dict[str, Any] | None:
    """(0018,0015) as a SNOMED CT Coding."""
    term = reader.text("BodyPartExamined")
    if term is None:
        return None
    found = ANATOMY.get(re.sub(r"[^A-Z0-9]", "", term.upper()))
    if found is None:
        reader.note("BodyPartExamined", "is not a term of DICOM Annex L that has a SNOMED CT code; left out")
        return None
    return {"system": SCT, "code": found[0], "display": found[1]}


def side(reader: Reader) -> dict[str, Any] | None:
    """(0020,0060), else (0020,0062), as a SNOMED CT Coding; an unpaired part has none."""
    for keyword in ("Laterality", "ImageLaterality"):
        code = reader.text(keyword)
        if code is None or code.upper() == "U":
            continue
        if code.upper() in LATERALITY:
            return dict(LATERALITY[code.upper()])
        reader.note(keyword, "is none of R, L, B and U; left out")
    return None


def schemes(reader: Reader, local: Mapping[str, str]) -> dict[str, str]:
    """Designator to URI: the archive's own, those the image defines in (0008,0110), and the standard ones."""
    found: dict[str, str] = {}
    for item in reader.items("CodingSchemeIdentificationSequence"):
        designator, uid = item.text("CodingSchemeDesignator"), item.text("CodingSchemeUID")
        if designator and uid and is_uid(uid):
            found[designator] = f"urn:oid:{uid}"
    return {**found, **local, **SCHEMES}


def concept(item: Reader, known: Mapping[str, str], keyword: str) -> dict[str, Any] | None:
    """One item of a code sequence as a CodeableConcept, `text` being the term as the archive has it."""
    code = item.text("CodeValue") or item.text("LongCodeValue")
    uid, meaning = item.text("CodingSchemeUID"), item.text("CodeMeaning")
    system = known.get(item.text("CodingSchemeDesignator") or "")
    if system is None and uid and is_uid(uid):
        system = f"urn:oid:{uid}"
    result: dict[str, Any] = {}
    if code and system:
        coding = {"system": system, "code": code}
        if meaning:
            coding["display"] = meaning
        result["coding"] = [coding]
    elif code:
        item.note(keyword, "has a code of a scheme that is not known; its meaning was kept as text")
    if meaning or (code and not system):
        result["text"] = meaning or code
    return result or None


def concepts(reader: Reader, keyword: str, known: Mapping[str, str]) -> list[dict[str, Any]]:
    """All items of a code sequence, repeated ones once."""
    found: list[dict[str, Any]] = []
    for item in reader.items(keyword):
        made = concept(item, known, keyword)
        if made is not None and made not in found:
            found.append(made)
    return found
