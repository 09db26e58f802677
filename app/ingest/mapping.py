"""DICOM to FHIR R4 ImagingStudy, pure: one dataset gives facts, facts give a study.

https://hl7.org/fhir/R4/imagingstudy-mappings.html#dicom. Only the elements in TAGS are looked at: private elements and
free text elsewhere may identify people. Nothing depends on the order in which files arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from app.fhir.identifier import DICOM_UID
from app.fhir.study import DCM, DERIVED, STUDY_ORDER, counted, in_order, number_of
from app.ingest import codes, dates, identity, names, orders
from app.ingest.reading import Note, Reader
from app.ingest.source import Source

TAGS: list[str] = [
    "SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    "SOPClassUID", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence", "Modality", "PatientID",
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientName",
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyDescription", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "ProcedureCodeSequence", "RequestedProcedureCodeSequence",
    "ReferencedRequestSequence", "RequestAttributesSequence", "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence", "InstitutionalDepartmentName", "PerformedLocation", "SeriesNumber",
    "SeriesDescription", "SeriesDate", "SeriesTime", "BodyPartExamined", "Laterality", "ImageLaterality",
    "PerformingPhysicianName", "OperatorsName", "InstanceNumber", "ContentLabel", "ConceptNameCodeSequence",
    "CodingSchemeIdentificationSequence", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    "CurrentRequestedProcedureEvidenceSequence",
]  # fmt: skip

URI_SYSTEM = "urn:ietf:rfc:3986"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


class Unusable(ValueError):
    """A dataset that can be no instance of a study. The text is the reason for the report; it quotes no value."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What one DICOM instance says, as the FHIR elements that it leads to."""

    study_uid: str
    series_uid: str
    sop_uid: str
    person: identity.Person
    study: dict[str, Any]
    series: dict[str, Any]
    instance: dict[str, Any]
    notes: tuple[Note, ...] = ()

    @property
    def order(self) -> tuple[Any, ...]:
        """Pictures first, then by number: the first to state something about the study is the one believed."""
        modality = self.series["modality"].get("code")
        return (
            modality is None or modality in DERIVED,
            number_of(self.series), self.series_uid, number_of(self.instance), self.sop_uid,
        )  # fmt: skip


@dataclass(slots=True)
class Assembled:
    """A study made from the instances of one archive. `subject` is not yet in it."""

    uid: str
    person: identity.Person
    resource: dict[str, Any]
    notes: list[Note] = field(default_factory=list)


def instance(dataset: Dataset, source: Source) -> Instance:
    """The facts of one dataset. Raises Unusable when it cannot be placed in a study."""
    reader = Reader(dataset)
    study_uid, series_uid, sop_uid, sop_class = (
        _required(reader, keyword)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    )
    return Instance(
        study_uid,
        series_uid,
        sop_uid,
        identity.person(reader, source),
        study_elements(reader, source),
        series_elements(reader, source),
        instance_elements(reader, sop_uid, sop_class),
        tuple(reader.notes),
    )


def study_elements(reader: Reader, source: Source) -> dict[str, Any]:
    """Elements of the study that any of its instances, or a QIDO-RS answer, may state."""
    known = codes.schemes(reader, source.coding_schemes)
    found: dict[str, Any] = {}
    identifiers = orders.identifiers(reader, source)
    procedure = codes.concepts(reader, "ProcedureCodeSequence", known)
    requested = codes.concepts(reader, "RequestedProcedureCodeSequence", known)
    _put(found, "identifier", identifiers)
    _put(found, "started", _started(reader, source, "Study"))
    _put(found, "basedOn", orders.based_on(reader, source, requested))
    _put(found, "referrer", _referrer(reader, known))
    _put(found, "interpreter", _readers(reader, known))
    _put(found, "procedureCode", procedure or requested)
    place = reader.text("PerformedLocation") or reader.text("InstitutionalDepartmentName")
    _put(found, "location", {"display": place} if place else None)
    _put(found, "reasonCode", orders.reasons(reader, known))
    _put(found, "description", reader.text("StudyDescription"))
    return found


def series_elements(reader: Reader, source: Source) -> dict[str, Any]:
    """Elements of a series that any of its instances may state."""
    found: dict[str, Any] = {"modality": codes.modality(reader)}
    _put(found, "number", reader.unsigned("SeriesNumber"))
    _put(found, "description", reader.text("SeriesDescription"))
    _put(found, "bodySite", codes.body_site(reader))
    _put(found, "laterality", codes.side(reader))
    _put(found, "started", _started(reader, source, "Series"))
    performers = []
    for keyword, code, display in (
        ("PerformingPhysicianName", "PRF", "performer"),
        ("OperatorsName", "SPRF", "secondary performer"),
    ):
        function = {"coding": [{"system": PARTICIPATION, "code": code, "display": display}]}
        performers += [
            {"function": function, "actor": {"display": name}}
            for value in reader.values(keyword)
            if (name := names.display(value))
        ]
    _put(found, "performer", performers)
    return found


def instance_elements(reader: Reader, uid: str, sop_class: str) -> dict[str, Any]:
    found: dict[str, Any] = {"uid": uid, "sopClass": {"system": URI_SYSTEM, "code": f"urn:oid:{sop_class}"}}
    _put(found, "number", reader.unsigned("InstanceNumber"))
    title = reader.text("ContentLabel")
    for item in reader.items("ConceptNameCodeSequence"):
        title = title or item.text("CodeMeaning")
    _put(found, "title", title)
    return found


def assemble(instances: Iterable[Instance], source: Source) -> Assembled:
    """One study of all these instances, which have one study UID and one patient. Repeated instances count once."""
    ordered = sorted(instances, key=lambda found: found.order)
    notes = sorted({note for found in ordered for note in found.notes})
    study: dict[str, Any] = {}
    series: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for found in ordered:
        _fill(study, found.study, notes)
        own = series.setdefault(found.series_uid, {"uid": found.series_uid, "instance": []})
        _fill(own, found.series, notes)
        if found.sop_uid not in seen:
            seen.add(found.sop_uid)
            own["instance"].append(found.instance)
    uid = ordered[0].study_uid
    resource = {
        "resourceType": "ImagingStudy",
        **study,
        "identifier": [study_identifier(uid), *study.get("identifier", [])],
        "status": "available",
        "endpoint": [{"reference": source.endpoint}],
        "series": list(series.values()),
    }
    return Assembled(uid, _person(ordered), counted(resource), notes)


def announce(reader: Reader, source: Source) -> Assembled:
    """A study known by its own level alone (a QIDO-RS answer): `registered`, with the counts the archive states."""
    uid = _required(reader, "StudyInstanceUID")
    study = study_elements(reader, source)
    resource = {
        "resourceType": "ImagingStudy",
        **study,
        "identifier": [study_identifier(uid), *study.get("identifier", [])],
        "status": "registered",
        "endpoint": [{"reference": source.endpoint}],
    }
    stated = {str(code).upper() for code in reader.values("ModalitiesInStudy")} & codes.MODALITIES - DERIVED
    _put(resource, "modality", [{"system": DCM, "code": code} for code in sorted(stated)])
    _put(resource, "numberOfSeries", reader.unsigned("NumberOfStudyRelatedSeries"))
    _put(resource, "numberOfInstances", reader.unsigned("NumberOfStudyRelatedInstances"))
    return Assembled(uid, identity.person(reader, source), in_order(resource, STUDY_ORDER), sorted(reader.notes))


def study_identifier(uid: str) -> dict[str, Any]:
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def _required(reader: Reader, keyword: str) -> str:
    try:
        found = reader.uid(keyword)
    except ValueError:
        raise Unusable(f"{keyword} is not a uid; digits and dots, at most 64, were expected") from None
    if found is None:
        raise Unusable(f"{keyword} is missing; every instance of a study has one")
    return found


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != [] and value != {}:
        target[name] = value


def _fill(target: dict[str, Any], stated: dict[str, Any], notes: list[Note]) -> None:
    """Add what `target` lacks. Where instances disagree the first stays, and the disagreement is noted."""
    for name, value in stated.items():
        if name not in target:
            target[name] = value
        elif target[name] != value:
            note = Note(name, "differs between instances; that of the first was taken")
            if name == "started":
                target[name] = min(target[name], value)
                note = Note(name, "differs between instances; the earliest was taken")
            if note not in notes:
                notes.append(note)


def _person(ordered: Sequence[Instance]) -> identity.Person:
    """Everything that the instances of one patient say of that patient."""
    first = ordered[0].person
    identifiers = dict.fromkeys(name for found in ordered for name in found.person.identifiers)
    born = sorted({found.person.born for found in ordered if found.person.born})
    sex = sorted({found.person.sex for found in ordered if found.person.sex})
    disputed = len(born) > 1 or len(sex) > 1
    return identity.Person(
        first.key, tuple(identifiers), next(iter(born), None), next(iter(sex), None), first.name, disputed
    )


def _started(reader: Reader, source: Source, level: str) -> str | None:
    try:
        on = dates.day(reader.text(f"{level}Date"))
    except ValueError as error:
        reader.note(f"{level}Date", f"{error}; left out")
        return None
    if on is None:
        return None
    try:
        stated = dates.offset(reader.text("TimezoneOffsetFromUTC"))
    except ValueError as error:
        reader.note("TimezoneOffsetFromUTC", f"{error}; the archive's zone was used")
        stated = None
    result, reason = dates.instant(on, reader.text(f"{level}Time"), stated, source.zone or None)
    if reason:
        reader.note(f"{level}Time", reason)
    return result


def _referrer(reader: Reader, known: dict[str, str]) -> dict[str, Any] | None:
    name = reader.value("ReferringPhysicianName")
    shown = names.display(name) if name is not None else None
    found = next(iter(reader.items("ReferringPhysicianIdentificationSequence")), None)
    return _staff(found, shown, known)


def _readers(reader: Reader, known: dict[str, str]) -> list[dict[str, Any]]:
    shown = [names.display(value) for value in reader.values("NameOfPhysiciansReadingStudy")]
    items = list(reader.items("PhysiciansReadingStudyIdentificationSequence"))
    # PS3.3 C.7.2.1: items stand in the order of the names, one for each, or they cannot be told apart.
    matched = items if len(items) == len(shown) else [None] * len(shown)
    made = [_staff(item, name, known) for item, name in zip(matched, shown, strict=True)]
    return [one for one in made if one]


def _staff(item: Reader | None, shown: str | None, known: dict[str, str]) -> dict[str, Any] | None:
    """A reference by identifier where an identification item has a code of a known scheme, else by name alone."""
    result: dict[str, Any] = {}
    for code in item.items("PersonIdentificationCodeSequence") if item else ():
        value, system = code.text("CodeValue"), known.get(code.text("CodingSchemeDesignator") or "")
        if value and system and not result:
            result = {"type": "Practitioner", "identifier": {"system": system, "value": value}}
    if shown:
        result["display"] = shown
    return result or None
