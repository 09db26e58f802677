"""Consents that cannot be evaluated: refused on write with the place; forced into the database, they refuse access, raise
one data-quality task, and cost no more than a bounded evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app.interactions import Services
from app.policy.consents import choices
from app.policy.directive import MOST, compile_consent
from app.policy.predicate import to_json
from app.policy.provision import Asker, Provision
from app.policy.switches import Switches
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


def within(inner: dict[str, Any], outer: str = "permit") -> dict[str, Any]:
    return {"type": outer, "provision": [inner]}


def lasting(start: str, end: str) -> dict[str, Any]:
    return {"period": {"start": start, "end": end}}


BACKWARDS = lasting("2026-02-01", "2026-01-01")
AROUND = [
    {"resourceType": "CareTeam", "id": "a", "subject": {"reference": "#b"}},
    {"resourceType": "CareTeam", "id": "b", "subject": {"reference": "#a"}},
]
ELSEWHERE = ("https://elsewhere.example/Organization/1", "http://10.0.0.1/Practitioner/1", "urn:uuid:2c5f0b1e-0f3c-4a4e-9a8e-7a9f6a2d3c11")  # fmt: skip

Made = tuple[Callable[[], dict[str, Any]], str]


def naming(where: str, reference: str) -> Made:
    """A Consent that names somebody elsewhere, and the place at which it does."""
    nested = named(reference, nested=True)
    provision, place = {
        "a refusal to": (named(reference), "actor[0]"),
        "a permission to": (named(reference) | {"type": "permit"}, "actor[0]"),
        "an exception of": (nested, "provision[0].actor[0]"),
        "a refusal but for": (within(named(reference) | {"type": "permit"}, "deny"), "provision[0].actor[0]"),
    }[where]
    return lambda: consent(provision=provision), f"Consent.provision.{place}"


# What is wrong, and the place that is named when it is written.
BAD: dict[str, Made] = {
    "an unknown type": (lambda: consent(provision={"type": "maybe"}), "Consent.provision.type"),
    "an unknown type within": (lambda: consent(provision=within({"type": "maybe"})), "Consent.provision.provision[0]"),
    "no type within": (lambda: consent(provision=within({"purpose": []})), "Consent.provision.provision[0]"),
    "fifty levels": (lambda: consent(provision=deep(50)), "Consent.provision"),
    "five levels": (lambda: consent(provision=deep(5)), "Consent.provision"),
    "ten thousand provisions": (lambda: consent(provision=wide(10_000)), "Consent.provision"),
    "ten thousand provisions below": (
        lambda: consent(provision={"type": "permit", "provision": [wide(2_000) | {"type": "deny"}] * 5}),
        "Consent.provision",
    ),
    "a modifier": (
        lambda: consent(provision={"type": "deny", "modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}),
        "Consent.provision",
    ),
    "a period that cannot be read": (
        lambda: consent(provision={"type": "deny", "period": {"start": "soon"}}),
        "Consent.provision.period",
    ),
    "a day that there is not": (
        lambda: consent(provision={"type": "deny", "period": {"start": "2026-02-30"}}),
        "Consent.provision.period.start",
    ),
    "a refusal that ends before it starts": (
        lambda: consent(provision={"type": "deny"} | BACKWARDS),
        "Consent.provision.period",
    ),
    "a permission that ends before it starts": (
        lambda: consent(provision={"type": "permit"} | BACKWARDS),
        "Consent.provision.period",
    ),
    "an exception that ends before it starts": (
        lambda: consent(provision=within({"type": "deny"} | BACKWARDS)),
        "Consent.provision.provision[0].period",
    ),
    "a permitted exception that ends before it starts": (
        lambda: consent(provision=within({"type": "permit"} | BACKWARDS, "deny")),
        "Consent.provision.provision[0].period",
    ),
    "data of a time that ends before it starts": (
        lambda: consent(provision=within({"type": "deny", "dataPeriod": BACKWARDS["period"]})),
        "Consent.provision.provision[0].dataPeriod",
    ),
    **{
        f"{where} {reference}": naming(where, reference)
        for reference in ELSEWHERE
        for where in ("a refusal to", "a permission to", "an exception of", "a refusal but for")
    },
}


@pytest.mark.attack(54, 55)
@pytest.mark.parametrize("what", BAD)
def test_it_is_refused_on_write_with_the_place(steward: Caller, what: str) -> None:
    made, place = BAD[what]
    answer = steward.put("/Consent/c1", made())
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
    "an unknown status": lambda: consent(status="bogus"),
    "an unknown scope": lambda: consent(scope={"text": "all"}),
    "no provision and no policy rule": lambda: {k: v for k, v in consent().items() if k != "provision"},
    "a modifier of the whole": lambda: consent(modifierExtension=[{"url": "urn:x", "valueBoolean": True}]),
    "rules of its own": lambda: consent(implicitRules="https://elsewhere.example/rules"),
    "provisions that are no list": lambda: consent(provision={"type": "permit", "provision": {"type": "deny"}}),
    "teams that contain each other": lambda: consent(contained=AROUND, provision=named("#a")),
    **{what: made for what, (made, _) in BAD.items()},
}


@pytest.mark.attack(54, 55)
@pytest.mark.parametrize("what", FORCED)
def test_forced_into_the_database_it_refuses_access_and_is_one_task(
    app: Flask, steward: Caller, treating: Caller, what: str
) -> None:
    services: Services = app.extensions["services"]
    assert treating.ids(SEARCH) == ["s1"]
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
@pytest.mark.parametrize(
    "provision", [wide(MOST - 1), {"type": "permit", "provision": [within(wide(10), "deny") | {"type": "deny"}] * 80}]
)
def test_what_is_asked_of_a_study_is_bounded_by_what_is_kept(provision: dict[str, Any]) -> None:
    """Each exception stands in a condition so many times at most, however deep."""

    def size(one: object) -> int:
        return 1 + sum(map(size, one)) if isinstance(one, list) else 1

    made = compile_consent(consent(provision=provision), lambda asked: asked, "Europe/London")
    asker = Asker(frozenset({"ods:RXB"}), "clinician", frozenset({"TREAT"}), 1_790_000_000_000_000)
    assert not made.faults
    said = choices([made], frozenset({"Patient/p1"}), asker, Switches())
    assert sum(size(to_json(one.guard)) for one in (*said.refusals, *said.permissions)) < 40 * MOST
