"""The patients of the demo region, one for each situation that the policy tells apart."""

from __future__ import annotations

from dataclasses import dataclass

from app.demo.naming import Resource, concept, reference, test_numbers
from app.demo.organisations import ALDERBROOK as A
from app.demo.organisations import BIRCHWATER as B
from app.demo.organisations import CEDARHOLME as C
from app.demo.organisations import Trust
from app.fhir.identifier import NHS_NUMBER


@dataclass(frozen=True, slots=True)
class Patient:
    """`records` are the numbers under which trusts know the patient; `note` says what the patient shows."""

    id: str
    number: str
    gender: str
    born: str
    note: str
    records: tuple[tuple[Trust, str], ...] = ()
    deceased: str | None = None

    @property
    def reference(self) -> str:
        return f"Patient/{self.id}"


_ROWS: tuple[tuple[str, str, str, str, tuple[tuple[Trust, str], ...]], ...] = (
    ("hazel", "female", "1962-04-17", "treated at Alderbrook, images elsewhere", ((C, "77654033"), (B, "77654033"))),
    ("rowan", "male", "1958-11-02", "opted out of sharing", ((B, "SCSFREN"), (C, "642341"))),
    ("willow", "male", "1949-07-30", "MR images withheld, CT shared", ((C, "98890234"), (B, "98890234"))),
    ("birch", "female", "1990-01-09", "opted in, in so many words", ((C, "12345678"),)),
    ("aspen", "male", "1971-03-21", "Cedarholme's images withheld from others", ((C, "1CT1"),)),
    ("linden", "female", "1984-06-05", "planned episode, first visit in a week", ((B, "4MR1"),)),
    ("maple", "male", "1979-09-14", "booked appointment in three days", ((C, "8NM1"),)),
    ("elder", "male", "1936-12-25", "on the waiting list", ((B, "2008-4"),)),
    ("holly", "female", "2001-02-11", "episode on hold, one clinician named", ((B, "2008-3"),)),
    ("juniper", "male", "1966-08-19", "episode finished", ((C, "SR-1"),)),
    ("laurel", "female", "1995-05-28", "one episode cancelled, one entered in error", ((B, "204"),)),
    ("olive", "male", "1953-10-03", "discussed by the MDT at Cedarholme", ((B, "13US1"),)),
    ("sorrel", "female", "1988-01-31", "urgent referral to Alderbrook", ((B, "CQ500-CT-310"),)),
    ("poplar", "male", "1942-07-07", "opted out except in an emergency", ((C, "021234567"),)),
    ("spruce", "female", "1931-03-08", "deceased, the episode still open", ((C, "99000"),)),
    ("yew", "male", "1975-05-16", "no relationship with Alderbrook", ((C, "11-05-25-142825"),)),
    ("alder", "female", "1968-02-29", "images at Alderbrook itself", ((A, "ID1"),)),
)
DECEASED = {"spruce": "2026-01-19"}

PATIENTS = tuple(
    Patient(id, number, gender, born, note, records, DECEASED.get(id))
    for (id, gender, born, note, records), number in zip(_ROWS, test_numbers(100), strict=False)
)
BY_ID = {patient.id: patient for patient in PATIENTS}


def patients() -> list[Resource]:
    return [resource(patient) for patient in PATIENTS]


def resource(patient: Patient) -> Resource:
    """The Patient, with the NHS number first and each trust's own number after it."""
    identifiers: list[Resource] = [{"use": "official", "system": NHS_NUMBER, "value": patient.number}]
    for trust, value in patient.records:
        identifiers.append(
            {
                "use": "usual",
                "type": concept("v2-0203", "MR", "Medical record number"),
                "system": trust.source.patient_system,
                "value": value,
                "assigner": reference(trust.reference),
            }
        )
    given = patient.id.split("-")[0].capitalize()
    made: Resource = {
        "resourceType": "Patient",
        "id": patient.id,
        "identifier": identifiers,
        "active": True,
        "name": [{"use": "official", "text": f"{given} Demo", "family": "Demo", "given": [given]}],
        "gender": patient.gender,
        "birthDate": patient.born,
    }
    if patient.deceased:
        made["deceasedDateTime"] = patient.deceased
    return made
