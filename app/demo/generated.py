"""More patients for `demo load --patients N`: plain episodes and studies, the same for the same N every time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from app.demo.care import episode
from app.demo.naming import Clock, Resource, test_numbers
from app.demo.organisations import TRUSTS
from app.demo.people import Patient, resource
from app.demo.studies import datasets, given_to
from app.fhir.study import STUDY_ORDER, in_order
from app.ingest import mapping

FIRST_SERIAL = 10_000
UID_ROOT = "2.25"  # PS3.5 B.2: UIDs made from a number, here a fixed one and the patient's serial
PATTERNS = (
    ("test_files/CT_small.dcm",),
    ("test_files/MR_small.dcm",),
    ("test_files/dicomdirtests/77654033/CR1/*",),
    ("test_files/examples_rgb_color.dcm",),
)


def generated(number: int, clock: Clock) -> Iterator[Resource]:
    """`number` patients, each with an active episode at one trust and one or two studies at others."""
    for index, nhs_number in enumerate(islice(test_numbers(FIRST_SERIAL), number)):
        yield from _patient(index, nhs_number, clock)


def _patient(index: int, nhs_number: str, clock: Clock) -> Iterator[Resource]:
    serial = nhs_number[3:9]
    treating, *others = (TRUSTS[(index + turn) % len(TRUSTS)] for turn in range(len(TRUSTS)))
    records = tuple((trust, f"G{serial}") for trust in others)
    gender = ("female", "male")[index % 2]
    born = f"{1930 + index * 7 % 60}-{index % 12 + 1:02d}-{index % 28 + 1:02d}"
    patient = Patient(f"generated-{serial}", nhs_number, gender, born, "generated", records)
    yield resource(patient)
    yield episode(patient.id, treating, "active", clock.day(-(index % 300) - 1))
    for turn, trust in enumerate(others[: 1 + index % 2]):
        instances: list[mapping.Instance] = []
        for dataset in datasets(PATTERNS[(index + turn) % len(PATTERNS)]):
            copied = given_to(patient, trust, dataset)
            for level, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")):
                setattr(copied, keyword, f"{UID_ROOT}.9{serial}{turn}.{level}.{len(instances) if level == 2 else 0}")
            copied.AccessionNumber = f"G{serial}{turn}"
            instances.append(mapping.instance(copied, trust.source))
        study = mapping.assemble(instances, trust.source).resource
        made = {**study, "id": f"{patient.id}-{turn + 1}", "subject": {"reference": patient.reference}}
        yield in_order(made, STUDY_ORDER)
