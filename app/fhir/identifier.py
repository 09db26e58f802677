"""One spelling for identifiers that are met in several: the same function serves the index and the query.

Study UIDs: https://hl7.org/fhir/R4/imagingstudy.html#dicom. Organisation codes: the two spellings of the ODS system.
"""

from __future__ import annotations

import re

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_ORGANISATION = "https://fhir.nhs.uk/Id/ods-organization-code"
ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"
DICOM_UID = "urn:dicom:uid"
OID = "urn:oid:"

_ALIASES = {"https://fhir.nhs.uk/Id/ods-organisation-code": ODS_ORGANISATION}
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*))+\Z", re.ASCII)


def canonical_system(system: str) -> str:
    """The spelling of a system under which it is kept."""
    return _ALIASES.get(system, system) if isinstance(system, str) else system


def canonical(system: str | None, value: str) -> tuple[str | None, str]:
    """An identifier in the one form under which it is kept and looked for."""
    if system is None:
        return system, value
    system = _ALIASES.get(system, system)
    if system == DICOM_UID:
        return system, value if value.startswith(OID) else OID + value
    if system == NHS_NUMBER:
        return system, value.replace(" ", "")
    if system in (ODS_ORGANISATION, ODS_SITE):
        return system, value.upper()
    return system, value


def is_uid(text: str) -> bool:
    """Whether `text` is written as a DICOM UID of at least two parts, DICOM PS3.5 section 9.1."""
    return len(text) <= 64 and _UID.match(text) is not None


def bare_uid(text: str) -> str:
    """A UID without the prefix that makes it a URN."""
    return text.removeprefix(OID)
