"""What the region says about one archive: whose it is, and what the numbers in its images mean.

A DICOM header names neither a time zone, nor who issued an accession number, nor what kind of number a PatientID is;
all of it is known only to the people who run the archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Issuer:
    """An assigning authority named in images: the identifier system for it, and its ODS code where it is known."""

    system: str
    ods: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One archive. `endpoint` and `organisation` are references (`Endpoint/x`, `Organization/y`).

    `patient_system` is the system of the PatientIDs that the archive's own organisation issues; `issuers` gives other
    issuers by the name, OID or URI that images carry; `coding_schemes` gives URIs for local coding scheme designators.
    """

    endpoint: str
    organisation: str
    ods: str
    accession_system: str
    patient_system: str | None = None
    study_id_system: str | None = None
    zone: str = "Europe/London"
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    coding_schemes: Mapping[str, str] = field(default_factory=dict)


# Where a region has configured nothing, numbers get systems of the registry's own, one for each organisation.
NAMING = "https://imaging-registry.example/id"


def of_organisation(endpoint: str, organisation: str, ods: str) -> Source:
    """A source whose numbers are all its own organisation's."""
    base = f"{NAMING}/{ods.lower()}"
    return Source(endpoint, organisation, ods, f"{base}/accession", f"{base}/patient", f"{base}/study")
