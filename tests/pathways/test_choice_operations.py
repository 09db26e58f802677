"""Choices by FHIR: a portal submits the answers, a desk of its own moves the request, and no plain write passes by the
steps (nhs.md, section 5: 422 on illegal transitions, once on double submission)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.interactions import Services
from app.pathways.scheduled import begin, carry_out
from app.storage import agenda
from app.storage.agenda import Item
from tests.pathways.conftest import Clock
from tests.support.region import NHS, Caller, caller, organization, patient

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018"
CODES = "https://imaging-registry.example/fhir/CodeSystem/registry-choice"
SCOPE = "system/Consent.cruds system/Task.cruds system/QuestionnaireResponse.cruds system/Communication.rs"


@pytest.fixture
def portal(app: Flask, steward: Caller) -> Caller:
    """A recorder of the region's desk."""
    steward.put("/Organization/za1", organization("ZA1"))
    return caller(app, ods="ZA1", scope=SCOPE, purpose=None)


def answers(choice: str = "opt-out", **more: Any) -> dict[str, Any]:
    given = {
        "given": "Willow", "family": "Demo", "nhs_number": "9990000018", "address": "1 Mill Lane", "postcode": "ZZ1 1ZZ",
    } | more  # fmt: skip
    items: list[dict[str, Any]] = [
        {"linkId": "choice", "answer": [{"valueCoding": {"system": CODES, "code": choice}}]},
        {"linkId": "birth_date", "answer": [{"valueDate": "1970-02-03"}]},
        {"linkId": "understood", "answer": [{"valueBoolean": True}]},
    ]
    items += [{"linkId": name, "answer": [{"valueString": value}]} for name, value in given.items()]
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://imaging-registry.example/fhir/Questionnaire/registry-choice|0.1.0",
        "status": "completed",
        "item": [{"linkId": "page", "item": items}],
    }


def part(answer: TestResponse, name: str) -> Any:
    found = next(one for one in answer.json["parameter"] if one["name"] == name)
    return next(value for key, value in found.items() if key != "name")


def advance(who: Caller, task: str, **more: Any) -> TestResponse:
    kinds = {"note": "valueString", "patient": "valueReference", "version": "valueInteger"}
    said = [{"name": name, kinds.get(name, "valueCode"): value} for name, value in more.items()]
    return who.post(f"/{task}/$advance-request", {"resourceType": "Parameters", "parameter": said})


def test_a_portal_submits_and_its_desk_moves_the_request_to_the_end(
    steward: Caller, treating: Caller, portal: Caller
) -> None:
    made = portal.post("/QuestionnaireResponse/$submit-choice", answers())
    assert made.status_code == 201, made.text
    task = part(made, "task")["reference"]
    again = portal.post("/QuestionnaireResponse/$submit-choice", answers())
    assert (again.status_code, part(again, "task")["reference"]) == (200, task)
    states = [
        part(advance(portal, task, **step), "state")
        for step in ({"to": "received"}, {"sent": "acknowledgement"}, {"to": "accepted"}, {"to": "in-progress"})
    ]
    assert states == ["received", "received", "accepted", "in-progress"]
    assert treating.ids(SEARCH) == []
    assert part(advance(portal, task, sent="confirmation"), "state") == "completed"
    assert steward.get(f"/{task}").json["businessStatus"]["coding"][0]["code"] == "confirmed"


def test_what_does_not_follow_is_refused_and_no_plain_write_passes_by_the_steps(
    steward: Caller, treating: Caller, portal: Caller
) -> None:
    task = part(portal.post("/QuestionnaireResponse/$submit-choice", answers()), "task")["reference"]
    for step, status in (
        ({"to": "accepted"}, 422),
        ({"to": "in-progress"}, 422),
        ({"to": "completed"}, 422),
        ({"to": "rejected"}, 422),
        ({"to": "received", "version": 99}, 412),
        ({"to": "received", "sent": "acknowledgement"}, 422),
        ({}, 422),
        ({"sent": "postcard"}, 422),
    ):
        assert advance(portal, task, **step).status_code == status, step
    assert advance(portal, "Task/nothing", to="received").status_code == 404
    assert advance(treating, task, to="received").status_code == 403
    held = portal.get(f"/{task}").json if portal.get(f"/{task}").status_code == 200 else steward.get(f"/{task}").json
    answer = portal.put(f"/{task}", held | {"status": "accepted"})
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (422, ["Task.status"])
    assert treating.ids(SEARCH) == ["s1"]
    gone = advance(portal, task, to="rejected", reason="other", note="sent by mistake")
    assert part(gone, "state") == "rejected"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "QuestionnaireResponse", "status": "completed"}, 422),
        (answers("maybe"), 422),
        (answers(colour="blue"), 422),
        (answers(nhs_number="1"), 422),
        (answers() | {"item": []}, 422),
    ],
)
def test_what_is_wrong_with_the_answers_is_refused(
    portal: Caller, steward: Caller, body: dict[str, Any], status: int
) -> None:
    assert portal.post("/QuestionnaireResponse/$submit-choice", body).status_code == status
    assert steward.get("/Task").json.get("entry") is None


def test_only_who_records_choices_submits_them(app: Flask, treating: Caller, portal: Caller) -> None:
    clinician = caller(app, "app", "ZA1", "user/*.cruds", role="clinician", practitioner="Practitioner/dr")
    for who in (treating, clinician):
        assert who.post("/QuestionnaireResponse/$submit-choice", answers()).status_code == 403


def at_once(number: int, work: Any) -> list[Any]:
    """What so many threads get that begin together."""
    gate, got = threading.Barrier(number), []

    def run() -> None:
        gate.wait()
        got.append(work())

    threads = [threading.Thread(target=run) for _ in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return got


def test_the_same_form_sent_at_once_is_one_request(app: Flask, portal: Caller) -> None:
    def send() -> tuple[int, str]:
        own = Caller(app.test_client(), portal.token)
        answer = own.post("/QuestionnaireResponse/$submit-choice", answers())
        return answer.status_code, part(answer, "task")["reference"]

    got = at_once(5, send)
    assert sorted(status for status, _ in got) == [200, 200, 200, 200, 201]
    assert len({task for _, task in got}) == 1


def test_a_step_taken_by_two_officers_at_once_is_taken_once(app: Flask, portal: Caller) -> None:
    task = part(portal.post("/QuestionnaireResponse/$submit-choice", answers()), "task")["reference"]
    got = at_once(4, lambda: advance(Caller(app.test_client(), portal.token), task, to="received").status_code)
    assert sorted(got) == [200, 422, 422, 422]


def test_many_workers_do_each_thing_that_is_due_once(
    services: Services, steward: Caller, portal: Caller, clock: Clock
) -> None:
    for name in ("A", "B", "C", "D"):
        portal.post("/QuestionnaireResponse/$submit-choice", answers(given=name))
    clock.forward(days=40)
    assert sum(at_once(4, lambda: carry_out(services))) == 8
    again = caller(steward.http.application, "steward", "ZZZ", purpose=None)
    assert len(again.get("/Communication?category=overdue&_count=50").json["entry"]) == 8
    assert carry_out(services) == 0


def test_something_that_fails_holds_up_nothing_else_and_is_tried_again(
    services: Services, portal: Caller, clock: Clock
) -> None:
    portal.post("/QuestionnaireResponse/$submit-choice", answers())
    services.store.retry(lambda tx: agenda.put(tx, Item("no-such-kind", "x", 0)))
    clock.forward(days=5)
    assert carry_out(services) == 1
    with services.store.begin(reads=True) as tx:
        assert [one.kind for one in agenda.due(tx, 10)] == []
    clock.forward(hours=0.5)
    with services.store.begin(reads=True) as tx:
        assert [one.kind for one in agenda.due(tx, 10)] == ["no-such-kind"]


def test_choices_made_for_a_child_come_up_for_review_by_themselves(
    services: Services, steward: Caller, clock: Clock
) -> None:
    """P20: three months before the sixteenth birthday, looked for once a day."""
    from tests.support.region import consent

    steward.put("/Patient/young", patient("young", "9990000026") | {"birthDate": "2011-01-15"})
    by_parent = consent("by-parent", subject="young", performer=[{"type": "RelatedPerson", "display": "parent"}])
    assert steward.put("/Consent/by-parent", by_parent).status_code == 201
    begin(services)
    begin(services)
    assert [carry_out(services), carry_out(services)] == [1, 0]
    (task,) = steward.get("/Task?code=MINOR_REVIEW").json["entry"]
    assert task["resource"]["focus"] == {"reference": "Consent/by-parent"}
    clock.forward(days=1.1)
    assert carry_out(services) == 1
