"""A region of a given size, the same every time: what any of its resources is follows from its number alone.

Four trusts make studies and hold them in their archives; a fifth, the asker, treats every patient; a sixth, the ward,
treats the first 500. Of a hundred patients three hold a Consent: one opted out, one opted in, one keeps back MR. Each
has five studies of about 2 kB, with two series and four instances.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import Any

from app.demo.naming import Resource, coding, concept, reference, test_numbers
from app.fhir.identifier import NHS_NUMBER, ODS_ORGANISATION

STUDIES_PER_PATIENT = 5
WARD_PATIENTS = 500
MAKERS = ("XA1", "XB1", "XC1", "XD1")  # the trusts that make studies
ASKER, WARD, REGION = "XE1", "XF1", "XQ1"
MODALITIES = (("CT", "Computed Tomography"), ("MR", "Magnetic Resonance"), ("CR", "Computed Radiography"))
REGIONS_OF_BODY = (("69536005", "Head"), ("51185008", "Thorax"), ("113345001", "Abdomen"), ("72696002", "Knee"))
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED = "http://snomed.info/sct"
ACCESSION = "https://images.{}.example/accession"
OPTED_OUT, OPTED_IN, NO_MR = 7, 37, 67  # a patient's number modulo 100
LATEST = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
DAYS = 1800  # over which studies were made
SYLLABLES = ("an", "bel", "cor", "dun", "el", "fen", "gar", "hol", "in", "jor", "kel", "lor", "mar", "nor", "os", "pel")


def id_of(kind: str, number: int | str) -> str:
    """An id of the server's own form: 26 characters, in no order, so that indexes are met as in real life."""
    digest = blake2b(f"{kind}/{number}".encode(), digest_size=17).digest()
    return base64.b32encode(digest)[:26].decode().lower()


def trust_id(ods: str) -> str:
    return f"trust-{ods.lower()}"


@dataclass(frozen=True)
class World:
    """`patients` people and their studies. Where it is not `guarded`, everybody may know of everything."""

    patients: int
    per_patient: int = STUDIES_PER_PATIENT
    guarded: bool = True

    @property
    def studies(self) -> int:
        return self.patients * self.per_patient

    @cached_property
    def numbers(self) -> list[str]:
        """The NHS numbers, all of the test range."""
        return list(islice(test_numbers(0), self.patients))

    # What can be asked for ------------------------------------------------------------------------------------------

    def patient_id(self, patient: int) -> str:
        return id_of("Patient", patient)

    def study_id(self, patient: int, study: int) -> str:
        return id_of("ImagingStudy", f"{patient}.{study}")

    def uid(self, patient: int, study: int) -> str:
        return f"2.25.{1_000_000_000_000_000_000_000 + patient * 1_000_000 + study}"

    def accession(self, patient: int, study: int) -> tuple[str, str]:
        """System and value."""
        return ACCESSION.format(self.maker(patient, study).lower()), f"A{patient:07d}{study}"

    def maker(self, patient: int, study: int) -> str:
        return MAKERS[(patient + study) % len(MAKERS)]

    def modality(self, patient: int, study: int) -> tuple[str, str]:
        return MODALITIES[(patient * 7 + study) % len(MODALITIES)]

    @property
    def read(self) -> range:
        """The patients whom figures read; those after them are written about, so that reading finds the same all along."""
        return range(max(1, self.patients * 9 // 10))

    @property
    def written(self) -> range:
        return range(min(len(self.read), self.patients - 1), self.patients)

    @property
    def ward(self) -> range:
        """The patients whom the ward treats."""
        return range(min(WARD_PATIENTS, len(self.read)))

    def new_study(self, number: int, base: int) -> Resource:
        """The study `number` of those that a figure makes at the first trust; `base`, of its own, divides by four."""
        patient = self.written[number % len(self.written)]
        return self.study(patient, base + 4 * (number // len(self.written)) + -patient % 4)

    def ordinary(self, patient: int) -> bool:
        """Whether the patient holds no Consent."""
        return patient % 100 not in (OPTED_OUT, OPTED_IN, NO_MR)

    def shared(self, patient: int) -> list[str]:
        """The ids of the studies that the asker, who treats the patient and made none of them, may know of."""
        return [
            self.study_id(patient, study)
            for study in range(self.per_patient)
            if not self.guarded or not self.withheld(patient, study)
        ]

    def withheld(self, patient: int, study: int) -> bool:
        """Whether the patient's choice keeps the study from others than its maker."""
        choice = patient % 100
        return choice == OPTED_OUT or (choice == NO_MR and self.modality(patient, study)[0] == "MR")

    # The resources --------------------------------------------------------------------------------------------------

    def directory(self) -> Iterator[Resource]:
        """Region, trusts and archives: what all else refers to."""
        yield _organization(REGION, "Benchmark region (fictional)", None)
        for ods in (*MAKERS, ASKER, WARD):
            yield _organization(ods, f"Benchmark trust {ods} (fictional)", REGION)
        for ods in MAKERS:
            yield _endpoint(ods)

    def people(self, first: int, last: int) -> Iterator[Resource]:
        """The resources of the patients `first` to `last` - 1, each patient's own together."""
        for patient in range(first, last):
            yield self.patient(patient)
            yield self.episode(patient, ASKER)
            if patient in self.ward:
                yield self.episode(patient, WARD)
            if not self.ordinary(patient):
                yield self.consent(patient)
            for study in range(self.per_patient):
                yield self.study(patient, study)

    def resources(self) -> int:
        """How many resources there are in all."""
        choices = sum(self.patients // 100 + (self.patients % 100 > rest) for rest in (OPTED_OUT, OPTED_IN, NO_MR))
        directory = 1 + len(MAKERS) + 2 + len(MAKERS)
        return directory + self.patients * (2 + self.per_patient) + len(self.ward) + choices

    def patient(self, patient: int) -> Resource:
        family = SYLLABLES[patient % 16].capitalize() + SYLLABLES[patient // 16 % 16] + SYLLABLES[patient // 256 % 16]
        given = SYLLABLES[patient * 5 % 16].capitalize() + SYLLABLES[patient // 7 % 16]
        return {
            "resourceType": "Patient",
            "id": self.patient_id(patient),
            "identifier": [
                {"use": "official", "system": NHS_NUMBER, "value": self.numbers[patient]},
                {"use": "usual", "system": f"https://{ASKER.lower()}.example/mrn", "value": f"M{patient:07d}"},
            ],
            "active": True,
            "name": [{"use": "official", "text": f"{given} {family}", "family": family, "given": [given]}],
            "gender": ("female", "male")[patient % 2],
            "birthDate": f"{1930 + patient % 80}-{patient % 12 + 1:02d}-{patient % 28 + 1:02d}",
            "managingOrganization": reference(f"Organization/{trust_id(ASKER)}"),
        }

    def episode(self, patient: int, ods: str) -> Resource:
        return {
            "resourceType": "EpisodeOfCare",
            "id": id_of(f"EpisodeOfCare-{ods}", patient),
            "status": "active",
            "patient": reference(f"Patient/{self.patient_id(patient)}"),
            "managingOrganization": reference(f"Organization/{trust_id(ods)}"),
            "period": {"start": (LATEST - timedelta(days=patient % 300)).date().isoformat()},
        }

    def consent(self, patient: int, choice: int | None = None) -> Resource:
        """What the patient decided; `choice` is one of OPTED_OUT, OPTED_IN, NO_MR, the patient's own by default."""
        choice = patient % 100 if choice is None else choice
        provision: Resource = {"type": "deny" if choice == OPTED_OUT else "permit"}
        if choice == NO_MR:
            provision["provision"] = [{"type": "deny", "code": [concept(DCM, *MODALITIES[1])]}]
        return {
            "resourceType": "Consent",
            "id": id_of("Consent", patient),
            "status": "active",
            "scope": concept("consentscope", "patient-privacy"),
            "category": [concept("http://loinc.org", "59284-0", "Consent Document")],
            "patient": reference(f"Patient/{self.patient_id(patient)}"),
            "dateTime": "2026-02-03T10:00:00Z",
            "performer": [reference(f"Patient/{self.patient_id(patient)}")],
            "organization": [reference(f"Organization/{trust_id(REGION)}")],
            "sourceAttachment": {"title": "form"},
            "policy": [{"uri": "https://imaging-registry.example/fhir/policy/image-sharing"}],
            "provision": provision,
        }

    def study(self, patient: int, study: int, id: str | None = None) -> Resource:
        """Study `study` of a patient; a number beyond `per_patient` makes one that the region does not hold yet."""
        ods, (code, display) = self.maker(patient, study), self.modality(patient, study)
        system, value = self.accession(patient, study)
        uid = self.uid(patient, study)
        site_code, site = REGIONS_OF_BODY[(patient + study) % len(REGIONS_OF_BODY)]
        started = LATEST - timedelta(days=(patient * 37 + study * 311) % DAYS, minutes=patient % 480)
        endpoint = [reference(f"Endpoint/archive-{ods.lower()}")]
        modality = coding(DCM, code, display)
        series = [
            {
                "uid": f"{uid}.{number}",
                "number": number,
                "modality": modality,
                "description": f"{site} {('axial', 'coronal')[number - 1]}",
                "numberOfInstances": 2,
                "bodySite": coding(SNOMED, site_code, site),
                "instance": [
                    {
                        "uid": f"{uid}.{number}.{image}",
                        "sopClass": coding("urn:ietf:rfc:3986", "urn:oid:1.2.840.10008.5.1.4.1.1.2"),
                        "number": image,
                    }
                    for image in (1, 2)
                ],
            }
            for number in (1, 2)
        ]
        made: Resource = {
            "resourceType": "ImagingStudy",
            "identifier": [
                {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"},
                {
                    "type": concept("v2-0203", "ACSN", "Accession ID"),
                    "system": system,
                    "value": value,
                    "assigner": {"identifier": {"system": ODS_ORGANISATION, "value": ods}},
                },
            ],
            "status": "available",
            "modality": [modality],
            "subject": reference(f"Patient/{self.patient_id(patient)}"),
            "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "endpoint": endpoint,
            "numberOfSeries": 2,
            "numberOfInstances": 4,
            "procedureCode": [concept(SNOMED, "77477000", "Computerized axial tomography")],
            "description": f"{display} of {site.lower()}",
            "series": series,
        }
        held = self.study_id(patient, study) if id is None and study < self.per_patient else id
        return {"resourceType": "ImagingStudy", "id": held, **made} if held else made


def _organization(ods: str, name: str, parent: str | None) -> Resource:
    made: dict[str, Any] = {
        "resourceType": "Organization",
        "id": trust_id(ods),
        "identifier": [{"system": ODS_ORGANISATION, "value": ods}],
        "active": True,
        "name": name,
    }
    return made | ({"partOf": reference(f"Organization/{trust_id(parent)}")} if parent else {})


def _endpoint(ods: str) -> Resource:
    return {
        "resourceType": "Endpoint",
        "id": f"archive-{ods.lower()}",
        "status": "active",
        "connectionType": coding("endpoint-connection-type", "dicom-wado-rs"),
        "name": f"{ods} image archive",
        "managingOrganization": reference(f"Organization/{trust_id(ods)}"),
        "payloadType": [{"text": "DICOM WADO-RS"}],
        "payloadMimeType": ["application/dicom"],
        "address": f"https://images.{ods.lower()}.example/dicom-web",
    }
