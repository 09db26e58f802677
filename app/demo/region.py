"""All of the demo region as FHIR resources, in an order in which every reference is already there."""

from __future__ import annotations

from app.demo import care, choices, generated, organisations, people, reports, studies
from app.demo.naming import Clock, Resource


def region(at: int, patients: int = 0, origin: str = "") -> list[Resource]:
    """The region as of `at` (microseconds UTC) with `patients` more, generated ones, its archives behind the proxy of the
    server at `origin`. Pure."""
    clock = Clock(at)
    made, endpoints = studies.studies(), organisations.endpoints(origin)
    return [
        *organisations.organisations(),
        *endpoints,
        *organisations.staff(),
        *care.locations(),
        *people.patients(),
        *care.teams(clock),
        *care.episodes(clock),
        *care.referrals(clock),
        *care.appointments(clock),
        *choices.consents(clock),
        *made,
        *reports.reports(made, endpoints),
        *generated.generated(patients, clock),
    ]
