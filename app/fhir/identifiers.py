"""Whether an identifier is well formed: NHS number, ODS code, DICOM UID, resource id, FHIR dates.

NHS number: https://www.datadictionary.nhs.uk/attributes/nhs_number.html. UID: DICOM PS3.5 section 9.1. How an
identifier that has several spellings is kept is for `app.fhir.identifier`.
"""

from __future__ import annotations

import re

import nhs_number as _library

from app.fhir.identifier import DICOM_UID, NHS_NUMBER, ODS_ORGANISATION, ODS_SITE, OID, bare_uid, is_uid

__all__ = [
    "DICOM_UID",
    "NHS_NUMBER",
    "ODS_ORGANISATION",
    "ODS_SITE",
    "OID",
    "bare_uid",
    "format_nhs_number",
    "has_nhs_check_digit",
    "is_id",
    "is_nhs_number",
    "is_ods_code",
    "is_study_identifier",
    "is_uid",
    "plain_nhs_number",
]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_ODS = re.compile(r"[A-Z0-9]{1,12}\Z")
_TEN_DIGITS = re.compile(r"[0-9]{10}\Z")


def is_nhs_number(text: str, strict: bool = True) -> bool:
    """Ten digits with a right check digit, and not one digit ten times. Not `strict`: the check digit may be wrong."""
    if not _TEN_DIGITS.match(text) or len(set(text)) == 1:
        return False
    return not strict or has_nhs_check_digit(text)


def has_nhs_check_digit(text: str) -> bool:
    """Whether the tenth digit is the modulus-11 check digit of the nine before it."""
    return _TEN_DIGITS.match(text) is not None and _library.calculate_checksum(text[:9]) == int(text[9])


def plain_nhs_number(typed: str) -> str:
    """What a person typed, without the spaces and hyphens in which the number is usually written."""
    return re.sub(r"[\s\-]+", "", typed)


def format_nhs_number(text: str) -> str:
    """999 123 4567, as the NHS shows it."""
    return f"{text[:3]} {text[3:6]} {text[6:]}" if _TEN_DIGITS.match(text) else text


def is_ods_code(text: str) -> bool:
    """One to twelve capital letters and digits: the canonical form, since codes are compared letter by letter."""
    return _ODS.match(text) is not None


def is_id(text: str) -> bool:
    """A resource's logical id, https://hl7.org/fhir/R4/datatypes.html#id."""
    return _ID.match(text) is not None


def is_study_identifier(text: str) -> bool:
    """`urn:oid:` and a UID: the value of a study's identifier in the system `urn:dicom:uid`."""
    return text.startswith(OID) and is_uid(bare_uid(text))
