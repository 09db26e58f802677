"""The primitive types of FHIR as JSON Schemas, and in words.

https://hl7.org/fhir/R4/datatypes.html#primitive. The patterns mean the same to JSON Schema (ECMA 262), Rust and Python,
and each is linear: a hostile string costs no more than its length.
"""

from __future__ import annotations

from typing import Any

from app.fhir.parameters import HL7

LONGEST = 1024 * 1024  # characters of a string, https://hl7.org/fhir/R4/datatypes.html#string

_LEAP_DAY = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29"
_DAY = (
    rf"(?:{_LEAP_DAY}|(?:[0-9]{{3}}[1-9]|[0-9]{{2}}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:"
    r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))"
)
_YEAR_OR_MONTH = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)(?:-(?:0[1-9]|1[0-2]))?"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,18})?"
_OFFSET = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"^[ \t\r\n]*[^\x00-\x20\x7f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"


def _text(pattern: str, longest: int = LONGEST) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern}


def _whole(low: int, high: int = 2_147_483_647) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


# name: (schema, what is expected, in words)
PRIMITIVES: dict[str, tuple[dict[str, Any], str]] = {
    "boolean": ({"type": "boolean"}, "true or false"),
    "integer": (_whole(-2_147_483_648), "a whole number of 32 bits"),
    "unsignedInt": (_whole(0), "a whole number from 0 to 2147483647"),
    "positiveInt": (_whole(1), "a whole number from 1 to 2147483647"),
    "decimal": ({"type": "number"}, "a number"),
    "string": (_text(_TEXT), "text that is not blank and holds no control characters"),
    "markdown": (_text(_TEXT), "text that is not blank and holds no control characters"),
    "xhtml": ({"type": "string", "minLength": 1, "maxLength": LONGEST}, "an XHTML div"),
    "id": (_text(r"^[A-Za-z0-9\-.]{1,64}$", 64), "1 to 64 letters, digits, hyphens and full stops"),
    "code": (_text(r"^[^\s\x00-\x1f]+(?:[ ][^\s\x00-\x1f]+)*$"), "a code without leading, trailing or double spaces"),
    "uri": (_text(r"^[^\s\x00-\x1f]+$"), "a URI without spaces"),
    "url": (_text(r"^[^\s\x00-\x1f]+$"), "a URL without spaces"),
    "canonical": (_text(r"^[^\s\x00-\x1f]+$"), "a canonical URL without spaces"),
    "oid": (_text(r"^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$", 255), "urn:oid: and an OID"),
    "uuid": (
        _text(r"^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", 45),
        "urn:uuid: and a UUID in lower case",
    ),
    "base64Binary": (
        _text(r"^(?:[A-Za-z0-9+/]{4}|\s)*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*$", 16 * LONGEST),
        "base64",
    ),
    "date": (_text(rf"^(?:{_DAY}|{_YEAR_OR_MONTH})$", 10), "a date that exists, as YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": (
        _text(rf"^(?:{_DAY}(?:T{_CLOCK}{_OFFSET})?|{_YEAR_OR_MONTH})$", 48),
        "a date that exists, or date and time with seconds and an offset from UTC",
    ),
    "instant": (
        _text(rf"^{_DAY}T{_CLOCK}{_OFFSET}$", 48),
        "date and time with seconds and an offset from UTC",
    ),
    "time": (_text(rf"^{_CLOCK}$", 32), "a time of day as hh:mm:ss"),
}

# DICOM UIDs stand in elements that FHIR types as id or oid, https://hl7.org/fhir/R4/imagingstudy.html#dicom.
UID_PATTERN = r"^[0-2](?:\.(?:0|[1-9][0-9]*))+$"

# R4 names that the R4B models lack or that have another tree there, so nothing can be said about their content.
NOT_IN_R4 = frozenset(
    [
        "AdministrableProductDefinition",
        "Citation",
        "ClinicalUseDefinition",
        "Evidence",
        "EvidenceReport",
        "EvidenceVariable",
        "Ingredient",
        "ManufacturedItemDefinition",
        "MedicinalProductDefinition",
        "NutritionProduct",
        "PackagedProductDefinition",
        "RegulatedAuthorization",
        "SubscriptionStatus",
        "SubscriptionTopic",
        "SubstanceDefinition",
    ]
)

EXTENSION_URL = HL7 + "StructureDefinition/"
