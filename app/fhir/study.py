"""An ImagingStudy as a whole: its elements in order, its counts and modalities made from its series.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.fhir.identifier import DICOM_UID, bare_uid

DCM = "http://dicom.nema.org/resources/ontology/DCM"

# Modalities of what was derived from images: they stay with their series.
DERIVED = frozenset({"SR", "KO", "PR", "SEG", "RTSTRUCT", "DOC", "REG"})

STUDY_ORDER = (
    "resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension",
    "identifier", "status", "modality", "subject", "encounter", "started", "basedOn", "referrer", "interpreter",
    "endpoint", "numberOfSeries", "numberOfInstances", "procedureReference", "procedureCode", "location", "reasonCode",
    "reasonReference", "note", "description", "series",
)  # fmt: skip
SERIES_ORDER = (
    "id", "extension", "modifierExtension", "uid", "number", "modality", "description", "numberOfInstances", "endpoint",
    "bodySite", "laterality", "specimen", "started", "performer", "instance",
)  # fmt: skip


def uid_of(study: dict[str, Any]) -> str | None:
    """The study's UID without its URN, if it states exactly one."""
    stated = {
        bare_uid(str(one["value"]))
        for one in study.get("identifier") or ()
        if isinstance(one, dict) and one.get("system") == DICOM_UID and one.get("value")
    }
    return stated.pop() if len(stated) == 1 else None


def counted(resource: dict[str, Any]) -> dict[str, Any]:
    """The study with its series and instances sorted, modality and counts made from them, elements in FHIR's order."""
    series = []
    for one in resource.get("series", []):
        instances = sorted(one.get("instance", []), key=lambda found: (number_of(found), found["uid"]))
        # A series may state how many instances it has without listing them.
        count = len(instances) if "instance" in one else one.get("numberOfInstances", 0)
        whole = {**one, "numberOfInstances": count, "instance": instances}
        series.append(in_order({k: v for k, v in whole.items() if k != "instance" or v}, SERIES_ORDER))
    series.sort(key=lambda found: (number_of(found), found["uid"]))
    stated = {one["modality"]["code"] for one in series if "code" in one["modality"]}
    result = {key: value for key, value in resource.items() if key not in ("modality", "series")}
    if stated - DERIVED:
        result["modality"] = [{"system": DCM, "code": code} for code in sorted(stated - DERIVED)]
    result["numberOfSeries"] = len(series)
    result["numberOfInstances"] = sum(one["numberOfInstances"] for one in series)
    if series:
        result["series"] = series
    return in_order(result, STUDY_ORDER)


def in_order(elements: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """The same elements in the order of the definition; unknown ones keep theirs, after the known."""
    found = {name: elements[name] for name in order if name in elements}
    return found | {name: value for name, value in elements.items() if name not in found}


def number_of(part: dict[str, Any]) -> float:
    """By what series and instances are ordered; those without a number come last."""
    number = part.get("number")
    return float("inf") if number is None else float(number)
