"""Whose images these are: the identifiers a header states, and whether a known patient is that person.

https://digital.nhs.uk NHS number: ten digits, modulus 11. A study is attached to a patient only when an identifier
leads to exactly one, and nothing else that the header says contradicts it; a patient is never made from a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.fhir.identifier import NHS_NUMBER
from app.ingest import dates, names
from app.ingest.reading import Reader
from app.ingest.source import Source

# The names under which images say that a number is an NHS number: OID, URI, and the usual short forms.
NHS_ISSUERS = frozenset({"2.16.840.1.113883.2.1.4.1", NHS_NUMBER, "NHS", "NHSNUMBER", "NHS NUMBER", "NHSN"})
UNKNOWN = "unknown-patient"
SEXES = {"M": "male", "F": "female", "O": "other"}


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    system: str
    value: str


@dataclass(frozen=True, slots=True)
class Person:
    """What a header says of its patient. `key` tells patients of one archive apart even when none is known."""

    key: tuple[str, str]
    identifiers: tuple[Identifier, ...] = ()
    born: str | None = None
    sex: str | None = None
    name: tuple[str, ...] = ()
    disputed: bool = False  # the images of one study disagree on birth date or sex


@dataclass(frozen=True, slots=True)
class Known:
    """A patient of the registry, as far as matching needs it."""

    reference: str
    identifiers: frozenset[Identifier] = frozenset()
    born: str | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    patient: Known


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Held for a person to look at. `code` is stable; `reason` names no one."""

    code: str
    reason: str


def nhs_number(text: str) -> str | None:
    """`text` as ten digits, if it is an NHS number: modulus 11 with weights 10 to 2, not one digit repeated."""
    digits = text.replace(" ", "").replace("-", "")
    if len(digits) != 10 or not digits.isascii() or not digits.isdigit() or len(set(digits)) == 1:
        return None
    check = 11 - sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), digits, strict=False)) % 11
    return digits if check % 11 == int(digits[9]) and check != 10 else None


def person(reader: Reader, source: Source) -> Person:
    """What (0010,0020) and its neighbours say. An identifier that cannot be used is noted and left out."""
    found: list[Identifier] = []
    own = reader.text("PatientID")
    if own is not None:
        found += _identifiers(reader, "PatientID", own, _issuer(reader), source)
    for item in reader.items("OtherPatientIDsSequence"):
        other = item.text("PatientID")
        if other is not None:
            issuers = _issuer(item)
            # A second number without an issuer could be anyone's idea of a number.
            if issuers:
                found += _identifiers(item, "OtherPatientIDsSequence", other, issuers, source)
            else:
                reader.note("OtherPatientIDsSequence", "has a number without an issuer; left out")
    born = None
    try:
        born = dates.day(reader.text("PatientBirthDate"))
    except ValueError as error:
        reader.note("PatientBirthDate", f"{error}; left out")
    sex = reader.text("PatientSex")
    if sex is not None and sex.upper() not in SEXES:
        reader.note("PatientSex", "is none of M, F and O; left out")
    name = reader.value("PatientName")
    written = tuple(group for group in names.groups(name) if group.strip("^ ")) if name is not None else ()
    key = (own or "", ";".join(_issuer(reader)))
    return Person(key, tuple(dict.fromkeys(found)), born, SEXES.get((sex or "").upper()), written)


def _issuer(reader: Reader) -> list[str]:
    """The names of who issued a patient's number: (0010,0021), and the universal id in (0010,0024)."""
    found = [reader.text("IssuerOfPatientID")]
    for item in reader.items("IssuerOfPatientIDQualifiersSequence"):
        found.insert(0, item.text("UniversalEntityID"))
    return [name for name in found if name]


def _identifiers(reader: Reader, element: str, value: str, issuers: Sequence[str], source: Source) -> list[Identifier]:
    if any(issuer.upper() in NHS_ISSUERS or issuer in NHS_ISSUERS for issuer in issuers):
        number = nhs_number(value)
        if number is None:
            reader.note(element, "is stated to be an NHS number and is not one; left out")
            return []
        return [Identifier(NHS_NUMBER, number)]
    for issuer in issuers:
        if issuer in source.issuers:
            return [Identifier(source.issuers[issuer].system, value)]
    for issuer in issuers:
        if issuer.count(".") > 2 and issuer.replace(".", "").isdigit():
            return [Identifier(f"urn:oid:{issuer}", value)]
    found = [Identifier(source.patient_system, value)] if source.patient_system else []
    number = nhs_number(value) if not issuers else None
    return [Identifier(NHS_NUMBER, number), *found] if number else found


def match(stated: Person, candidates: Iterable[Known]) -> Matched | Unmatched:
    """The one candidate who can be the person stated. Candidates are all patients with any of the identifiers."""
    if not stated.identifiers:
        return Unmatched("no-identifier", "no usable patient identifier; an NHS number or the archive's own is needed")
    if stated.disputed:
        return Unmatched("images-disagree", "the images of the study disagree on the patient's birth date or sex")
    wanted = set(stated.identifiers)
    found = {known.reference: known for known in candidates if wanted & known.identifiers}
    if not found:
        return Unmatched(UNKNOWN, "no patient with these identifiers is known; studies never create patients")
    if len(found) > 1:
        return Unmatched("several-patients", "the identifiers lead to more than one patient; exactly one was expected")
    known = next(iter(found.values()))
    for identifier in stated.identifiers:
        others = {own.value for own in known.identifiers if own.system == identifier.system}
        if identifier.system == NHS_NUMBER and others and identifier.value not in others:
            return Unmatched("number-mismatch", "the NHS number stated is not the patient's")
    if stated.born and known.born and not _same_day(stated.born, known.born):
        return Unmatched("birth-date-mismatch", "the birth date stated is not the patient's")
    if stated.sex and known.sex and known.sex != "unknown" and stated.sex != known.sex:
        return Unmatched("sex-mismatch", "the sex stated is not the patient's")
    return Matched(known)


def _same_day(one: str, other: str) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def known(patient: Mapping[str, Any]) -> Known:
    """A Patient resource as matching needs it."""
    identifiers = frozenset(
        Identifier(str(item["system"]), str(item["value"]))
        for item in patient.get("identifier", ())
        if item.get("system") and item.get("value") and item.get("use") != "old"
    )
    return Known(f"Patient/{patient['id']}", identifiers, patient.get("birthDate"), patient.get("gender"))
