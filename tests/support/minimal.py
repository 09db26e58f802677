"""The least that each type that can be written needs, in the region of `tests.support.region`."""

from __future__ import annotations

from typing import Any

from tests.support.region import consent, endpoint, episode, organization, patient, study

P1 = {"reference": "Patient/p1"}
CODE = {"coding": [{"system": "urn:code", "code": "x"}]}


def _new(type_name: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": type_name, "id": f"least-{type_name.lower()}"} | elements


MINIMAL: dict[str, dict[str, Any]] = {
    "Patient": patient("least-patient", "9990000026"),
    "Organization": organization("RXD") | {"id": "least-organization"},
    "Location": _new("Location", name="x"),
    "Practitioner": _new("Practitioner", name=[{"family": "x"}]),
    "PractitionerRole": _new("PractitionerRole", organization={"reference": "Organization/rxa"}),
    "CareTeam": _new("CareTeam", status="active", subject=P1, managingOrganization=[{"reference": "Organization/rxb"}]),
    "Group": _new("Group", type="person", actual=True),
    "Endpoint": endpoint() | {"id": "least-endpoint"},
    "ImagingStudy": study("least-imagingstudy", "1.2.826.0.1.3680043.8.498.77"),
    "DiagnosticReport": _new("DiagnosticReport", status="final", code=CODE, subject=P1),
    "EpisodeOfCare": episode("least-episodeofcare"),
    "Appointment": _new(
        "Appointment",
        status="booked",
        start="2026-03-01T09:00:00Z",
        end="2026-03-01T09:30:00Z",
        participant=[{"actor": P1, "status": "accepted"}],
    ),
    "ServiceRequest": _new("ServiceRequest", status="active", intent="order", code=CODE, subject=P1),
    "Consent": consent("least-consent"),
    "QuestionnaireResponse": _new("QuestionnaireResponse", status="completed", subject=P1),
    "Questionnaire": _new("Questionnaire", status="active"),
    "Task": _new("Task", status="requested", intent="order", for_=P1),
    "Communication": _new("Communication", status="completed", subject=P1),
    "Subscription": _new(
        "Subscription",
        status="requested",
        reason="x",
        criteria="ImagingStudy?patient=p1",
        channel={"type": "rest-hook", "endpoint": "http://127.0.0.1:9/x", "payload": "application/fhir+json"},
    ),
    "Provenance": _new(
        "Provenance", target=[P1], recorded="2026-01-01T00:00:00Z", agent=[{"who": {"reference": "Organization/rxa"}}]
    ),
}
MINIMAL["Task"]["for"] = MINIMAL["Task"].pop("for_")
