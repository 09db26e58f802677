"""The largest conditions that policy and search can make are taken by both databases; what is larger is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.rest import errors
from app.storage import engine
from app.storage.sql import WIDEST, all_of, any_of, sql
from tests.support.region import Caller, caller, consent, settle, study

LABEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACTOR = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
SEARCHES = (
    "/ImagingStudy?patient=p1",
    "/ImagingStudy",
    "/ImagingStudy?_include=ImagingStudy:endpoint&_revinclude=DiagnosticReport:study",
    "/DiagnosticReport",
    "/Patient?_has:ImagingStudy:patient:modality=CT",
    "/Patient/p1/$everything",
    "/_history",
)
# Three references deep: with the deepest choices that is more than SQLite's parser takes, and is refused in words.
DEEP_SEARCHES = (
    "/Patient/p1/DiagnosticReport?_has:Communication:based-on:part-of:DiagnosticReport.results-interpreter:identifier=urn:x|1&study:missing=true",
    "/DiagnosticReport?_has:Task:focus:based-on:DiagnosticReport.study.modality=CT&study:missing=false",
    "/ServiceRequest?_has:ImagingStudy:basedon:_has:DiagnosticReport:study:status=final",
    "/Patient?_has:ImagingStudy:patient:_has:DiagnosticReport:study:results-interpreter.identifier=urn:x|1",
    "/Endpoint?_has:ImagingStudy:endpoint:_has:DiagnosticReport:study:_has:Task:focus:status=requested",
)


def criteria(number: int) -> dict[str, Any]:
    """A provision with every element that reads the study; no study of the region meets it."""
    return {
        "actor": [{"role": ACTOR, "reference": {"reference": "Organization/rxb"}}],
        "securityLabel": [{"system": LABEL, "code": "V"}],
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "ImagingStudy"}],
        "code": [{"coding": [{"system": "http://snomed.info/sct", "code": str(100_000 + number)}]}],
        "dataPeriod": {"start": "1990-01-01", "end": f"199{number % 10}-12-31"},
        "data": [{"meaning": "related", "reference": {"reference": f"Encounter/e{number}"}}],
    }


def nested(levels: int, kind: str = "deny") -> list[dict[str, Any]]:
    other = "permit" if kind == "deny" else "deny"
    inner = {"provision": nested(levels - 1, other)} if levels > 1 else {}
    return [{"type": kind, **criteria(number), **inner} for number in (levels, levels + 4)]


CHOICES: dict[str, list[dict[str, Any]]] = {
    "as deep as they may be": [{"type": "permit", "provision": nested(3)}],
    "as many provisions as there may be": [
        {"type": "permit", "provision": [{"type": "deny", **criteria(number)} for number in range(400)]}
    ],
    "many choices": [{"type": "deny", **criteria(number)} for number in range(120)],
    "several deep ones": [{"type": "permit", "provision": nested(3)} for _ in range(8)],
}


@pytest.fixture
def steward(app: Flask) -> Caller:
    return settle(app)


@pytest.mark.attack(54)
@pytest.mark.parametrize("what", CHOICES)
def test_choices_of_any_size_are_decided_in_every_search(app: Flask, steward: Caller, what: str) -> None:
    from app.interactions import Services
    from app.storage import resources
    from tests.doors.doors import ALL

    services: Services = app.extensions["services"]
    steward.put("/ImagingStudy/s1", study(meta={"security": [{"system": LABEL, "code": "N"}]}))

    def hold(tx: engine.Tx) -> None:
        for number, provision in enumerate(CHOICES[what]):
            made = {name: value for name, value in consent(provision=provision).items() if name != "id"}
            resources.create(tx, ALL, made, f"c{number}")

    services.store.retry(hold)
    doctor = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr")
    for who in (doctor, caller(app), caller(app, "archive", "RXB")):
        for path in SEARCHES:
            answer = who.get(path)
            assert answer.status_code in (200, 403), (path, answer.text[:200])
        for path in DEEP_SEARCHES:
            answer = who.get(path)
            assert answer.status_code in (200, 403, 413), (path, answer.text[:200])


@pytest.mark.parametrize("count", [1, WIDEST, WIDEST + 1, WIDEST**2 + 1])
def test_a_long_condition_is_the_same_in_groups(app: Flask, count: int) -> None:
    store = app.extensions["services"].store
    numbers = [sql(f"x = {number}") for number in range(count)]
    with store.begin(reads=True) as tx:
        for found, text in ((1, any_of(numbers).text), (0, f"NOT ({all_of(numbers).text})")):
            (hit,) = tx.rows(f"SELECT count(*) FROM (SELECT {count - 1} AS x) q WHERE {text}")[0]
            assert hit == (found if found else int(count > 1))


def test_what_no_database_takes_is_refused_in_words(
    app: Flask, steward: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that the database is away when the request is what is too large."""
    store = app.extensions["services"].store
    deep = "(" * 9_000 + "1" + ")" * 9_000 if store.dialect == "sqlite" else "+".join(["1"] * 90_000)
    with pytest.raises(Exception) as caught, store.begin(reads=True) as tx:
        tx.rows(f"SELECT {deep}")
    assert engine.too_complex(caught.value) and not engine.unavailable(caught.value)
    with app.test_request_context("/fhir/ImagingStudy"):
        from flask import request

        fault = errors.as_fault(request, caught.value)
    assert (fault.status, fault.text) == (
        413, "the request joins more conditions than can be asked at once; expected fewer"
    )  # fmt: skip
