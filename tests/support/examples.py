"""The least that each type must say to be stored, of the organisation `ods` and about the region's patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.region import consent, endpoint, episode, organization, patient, study

Resource = dict[str, Any]

PATIENT = {"reference": "Patient/p1"}


def _of(type_name: str, **content: Any) -> Callable[[str], Resource]:
    return lambda ods: {"resourceType": type_name, "id": f"x-{type_name.lower()}", **content}


def _owned(type_name: str, element: str, **content: Any) -> Callable[[str], Resource]:
    return lambda ods: _of(type_name, **content)(ods) | {element: {"reference": f"Organization/{ods.lower()}"}}


EXAMPLES: dict[str, Callable[[str], Resource]] = {
    "Patient": lambda ods: patient("x-patient", "9990000077"),
    "Organization": lambda ods: organization("RXQ") | {"id": "x-organization"},
    "Location": _owned("Location", "managingOrganization", name="Ward"),
    "Practitioner": _of("Practitioner", active=True),
    "PractitionerRole": _owned("PractitionerRole", "organization", active=True),
    "CareTeam": lambda ods: {
        "resourceType": "CareTeam", "id": "x-careteam", "status": "active", "subject": PATIENT,
        "managingOrganization": [{"reference": f"Organization/{ods.lower()}"}], "period": {"start": "2026-01-01"},
    },
    "Group": _owned("Group", "managingEntity", type="person", actual=True),
    "Endpoint": lambda ods: endpoint(ods) | {"id": "x-endpoint"},
    "ImagingStudy": lambda ods: study("x-imagingstudy", "1.2.826.0.1.3680043.8.498.77", "RXA"),
    "DiagnosticReport": _of(
        "DiagnosticReport", status="final", subject=PATIENT, code={"text": "CT report"}, imagingStudy=[{"reference": "ImagingStudy/s1"}]
    ),
    "EpisodeOfCare": lambda ods: episode("x-episodeofcare", ods),
    "Appointment": _of(
        "Appointment", status="booked", start="2026-03-10T09:00:00Z", end="2026-03-10T09:30:00Z",
        participant=[{"actor": PATIENT, "status": "accepted"}],
    ),
    "ServiceRequest": _of("ServiceRequest", status="active", intent="order", subject=PATIENT, code={"text": "CT"}),
    "Consent": lambda ods: consent("x-consent") | {"organization": [{"reference": f"Organization/{ods.lower()}"}]},
    "QuestionnaireResponse": _of("QuestionnaireResponse", status="completed", subject=PATIENT),
    "Questionnaire": _of("Questionnaire", status="draft"),
    "Task": _of("Task", status="requested", intent="order", **{"for": PATIENT}),
    "Communication": _of("Communication", status="preparation", subject=PATIENT),
    "Subscription": _of(
        "Subscription", status="requested", reason="test", criteria="ImagingStudy?patient=Patient/p1",
        channel={"type": "rest-hook", "endpoint": "http://127.0.0.1:9/hook", "payload": "application/fhir+json"},
    ),
    "Provenance": _of(
        "Provenance", target=[{"reference": "Patient/p1"}], recorded="2026-01-15T10:00:00Z",
        agent=[{"who": {"reference": "Organization/rxa"}}],
    ),
}  # fmt: skip
