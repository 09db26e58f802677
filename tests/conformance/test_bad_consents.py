"""Consents that cannot be evaluated: refused on write with the place; forced into the database, they refuse access, raise
one data-quality task, and cost no more than a bounded evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.interactions import Services
from app.policy.directive import MOST, compile_consent
from app.policy.provision import Provision
from app.storage import resources
from tests.doors.doors import ALL
from tests.support.region import Caller, consent

SEARCH = "/ImagingStudy?patient=p1"


def deep(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "deny"}
    for level in range(levels - 1):
        made = {"type": "permit" if level % 2 == 0 else "deny", "provision": [made]}
    return made


def wide(count: int) -> dict[str, Any]:
    one = {"type": "deny", "code": [{"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}]}
    return {"type": "permit", "provision": [one] * count}


def named(reference: str, *, nested: bool = False) -> dict[str, Any]:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    actors = [{"role": role, "reference": {"reference": reference}}]
    if nested:
        return {"type": "permit", "provision": [{"type": "deny", "actor": actors}]}
    return {"type": "deny", "actor": actors}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown type": ({"type": "maybe"}, "Consent.provision.type"),
    "no type within": ({"type": "permit", "provision": [{"purpose": []}]}, "Consent.provision.provision[0]"),
    "fifty levels": (deep(50), "Consent.provision"),
    "ten thousand provisions": (wide(10_000), "Consent.provision"),
    "an actor elsewhere": (named("https://elsewhere.example/Organization/1"), "Consent.provision.actor[0]"),
    "an actor elsewhere, within": (
        named("http://10.0.0.1/Practitioner/1", nested=True),
        "Consent.provision.provision[0].actor[0]",
    ),
    "a period that ends before it starts": (
        {"type": "deny", "period": {"start": "2026-02-01", "end": "2026-01-01"}},
        "Consent.provision.period",
    ),
    "a day that there is not": ({"type": "deny", "period": {"start": "2026-02-30"}}, "Consent.provision.period.start"),
    "a modifier": (
        {"type": "deny", "modifierExtension": [{"url": "urn:x", "valueBoolean": True}]},
        "Consent.provision",
    ),
}


@pytest.mark.attack(54)
@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_on_write_with_the_place(steward: Caller, what: str) -> None:
    provision, place = REFUSED[what]
    answer = steward.put("/Consent/c1", consent(provision=provision))
    assert answer.status_code in (400, 422), answer.text
    places = [expression for issue in answer.json["issue"] for expression in issue.get("expression", ())]
    assert any(one.startswith(place) for one in places), places
    assert steward.get("/Consent/c1").status_code == 404


@pytest.mark.attack(53)
def test_a_choice_whose_patient_cannot_be_told_is_refused(steward: Caller) -> None:
    for about in (
        {"display": "her"},
        {"reference": "https://elsewhere.example/Patient/1"},
        {"reference": "Patient/none"},
    ):
        assert steward.put("/Consent/c1", consent(patient=about)).status_code == 422, about


FORCED: dict[str, Callable[[], dict[str, Any]]] = {
    "an unknown type": lambda: consent(provision={"type": "maybe"}),
    "fifty levels": lambda: consent(provision=deep(50)),
    "ten thousand provisions": lambda: consent(provision=wide(10_000)),
    "an unreadable period": lambda: consent(provision={"type": "deny", "period": {"start": "soon"}}),
    "an unknown status": lambda: consent(status="bogus"),
    "no provision and no policy rule": lambda: {k: v for k, v in consent().items() if k != "provision"},
    "a modifier": lambda: consent(modifierExtension=[{"url": "urn:x", "valueBoolean": True}]),
}


@pytest.mark.attack(54)
@pytest.mark.parametrize("what", FORCED)
def test_forced_into_the_database_it_refuses_access_and_is_one_task(
    app: Flask, steward: Caller, treating: Caller, what: str
) -> None:
    services: Services = app.extensions["services"]
    forced = {name: value for name, value in FORCED[what]().items() if name != "id"}
    services.store.retry(lambda tx: resources.create(tx, ALL, forced, "c1"))
    for path in (SEARCH, SEARCH, "/ImagingStudy"):
        assert treating.ids(path) == []
    assert treating.get("/ImagingStudy/s1").status_code == 404
    found = [entry["resource"] for entry in steward.get("/Task").json["entry"]]
    assert [(one["code"]["coding"][0]["code"], one["focus"]) for one in found] == [
        ("ALERT_DQ", {"reference": "Consent/c1"})
    ]


@pytest.mark.attack(54)
@pytest.mark.parametrize("provision", [deep(50), wide(10_000), {"type": "permit", "provision": [wide(3_000)] * 3}])
def test_what_is_kept_of_it_is_bounded(provision: dict[str, Any]) -> None:
    def count(one: Provision) -> int:
        return 1 + sum(count(child) for child in one.children)

    made = compile_consent(consent(provision=provision), lambda asked: asked, "Europe/London")
    assert made.faults
    assert count(made.root) <= MOST


@pytest.mark.attack(54)
def test_contained_resources_that_name_each_other_end(steward: Caller, treating: Caller) -> None:
    around = [
        {"resourceType": "CareTeam", "id": "a", "subject": {"reference": "#b"}},
        {"resourceType": "CareTeam", "id": "b", "subject": {"reference": "#a"}},
    ]
    made = consent(contained=around, provision=named("#a"))
    compiled = compile_consent(made, lambda asked: None, "Europe/London")
    assert compiled.root.actors is not None and compiled.root.actors[0].key == "?"
