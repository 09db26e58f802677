"""Consent/$record-choice: one step, once, on both databases; and Patient/[id]/$disclosures in plain words."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.fhir.temporal import interval
from app.pathways.record_choice import hold_choices
from tests.support.region import NHS, Caller, caller, consent, patient

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018&_include=ImagingStudy:endpoint"


@pytest.fixture
def recorder(app: Flask, steward: Caller) -> Caller:
    """A region's desk: a backend client of another organisation, registered to record choices."""
    return caller(app, ods="RXC", scope="system/Consent.cruds system/Provenance.rs", purpose=None)


@pytest.fixture
def officer(app: Flask, steward: Caller) -> Caller:
    return caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig-wren")


def wish(choice: str = "opt-out", subject: str = "Patient/p1", **more: Any) -> dict[str, Any]:
    said = [{"name": "patient", "valueReference": {"reference": subject}}, {"name": "choice", "valueCode": choice}]
    kinds = {
        "dateTime": "valueDateTime",
        "identifier": "valueIdentifier",
        "consent": "resource",
        "source": "valueAttachment",
    }
    said += [{"name": name, kinds[name]: value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": said}


def told(answer: TestResponse, name: str) -> list[Any]:
    found = [one for one in answer.json["parameter"] if one["name"] == name]
    return [one.get("resource") or one["valueReference"]["reference"] for one in found]


def record(who: Caller, body: dict[str, Any], status: int = 201) -> TestResponse:
    answer = who.post("/Consent/$record-choice", body)
    assert answer.status_code == status, answer.text
    return answer


def test_an_opt_out_takes_effect_as_one_step(steward: Caller, treating: Caller, recorder: Caller) -> None:
    assert treating.ids(SEARCH) == ["s1"]
    answer = record(recorder, wish())
    (made,) = told(answer, "consent")
    assert made["status"] == "active" and made["provision"] == {"type": "deny"}
    assert made["policyRule"]["coding"][0]["code"] == "OPTOUT"
    assert made["organization"][0]["identifier"]["value"] == "RXC"
    assert treating.ids(SEARCH) == []
    (provenance,), (task,), (notice,) = (told(answer, name) for name in ("provenance", "task", "communication"))
    said = steward.get(f"/{provenance}").json
    assert said["target"] == [{"reference": f"Consent/{made['id']}/_history/1"}]
    assert said["agent"][0]["who"]["identifier"]["value"] == "backend-rxc-system-none"
    assert steward.get(f"/{task}").json["focus"] == {"reference": f"Consent/{made['id']}"}
    assert steward.get(f"/{notice}").json["status"] == "preparation"
    with steward.http.application.extensions["services"].store.begin(reads=True) as tx:
        assert tx.rows("SELECT count(*) FROM outbox WHERE topic LIKE 'Consent-%'")[0][0] == 1


def test_a_newer_choice_makes_the_older_ones_inactive_and_edits_none(
    steward: Caller, treating: Caller, recorder: Caller
) -> None:
    steward.put("/Consent/old", consent("old"))
    steward.put("/Consent/other-policy", consent("other-policy", policy=[{"uri": "https://elsewhere.example/p"}]))
    steward.put(
        "/Consent/filtered",
        consent("filtered")
        | {
            "provision": {
                "type": "deny",
                "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}],
            }
        },
    )
    first = told(record(recorder, wish()), "consent")[0]
    answer = record(recorder, wish("opt-in"))
    assert told(answer, "superseded") == [f"Consent/{first['id']}"]
    states = {
        id: steward.get(f"/Consent/{id}").json["status"] for id in ("old", first["id"], "other-policy", "filtered")
    }
    assert states == {"old": "inactive", first["id"]: "inactive", "other-policy": "active", "filtered": "active"}
    before, after = (steward.get(f"/Consent/old/_history/{n}").json for n in (1, 2))
    assert {k for k in before if before[k] != after[k]} == {"meta", "status"}
    entity = steward.get(f"/{told(answer, 'provenance')[0]}").json["entity"]
    assert entity == [{"role": "revision", "what": {"reference": f"Consent/{first['id']}/_history/1"}}]
    steward.delete("/Consent/other-policy")
    assert treating.ids(SEARCH) == ["s1"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"identifier": {"system": "urn:forms", "value": "F-17"}},
        {"dateTime": "2026-03-01T10:00:00Z", "source": {"title": "form"}},
    ],
    ids=["plain", "numbered", "dated"],
)
def test_the_same_request_again_gives_the_same_answer_and_makes_nothing(
    more: dict[str, Any], steward: Caller, recorder: Caller
) -> None:
    first = record(recorder, wish(**more))
    again = record(recorder, wish(**more), 200)
    assert again.json == first.json
    for kind in ("Consent", "Provenance", "Task", "Communication"):
        assert steward.get(f"/{kind}?_total=accurate&_count=0").json["total"] == 1, kind


def test_opting_out_in_and_out_again_are_three_choices(steward: Caller, treating: Caller, recorder: Caller) -> None:
    for n, (choice, shown) in enumerate((("opt-out", []), ("opt-in", ["s1"]), ("opt-out", [])), 1):
        record(recorder, wish(choice))
        assert treating.ids(SEARCH) == shown
        assert steward.get("/Consent?status=active&_total=accurate&_count=0").json["total"] == 1
        assert steward.get("/Consent?_total=accurate&_count=0").json["total"] == n


def test_an_exception_goes_with_the_choice(treating: Caller, recorder: Caller) -> None:
    emergencies = {
        "type": "permit",
        "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "ETREAT"}],
    }
    answer = record(recorder, wish(consent={"resourceType": "Consent", "provision": {"provision": [emergencies]}}))
    assert told(answer, "consent")[0]["provision"] == {"type": "deny", "provision": [emergencies]}
    assert treating.ids(SEARCH) == []


def test_a_patient_is_named_by_number_too(treating: Caller, recorder: Caller) -> None:
    body = wish()
    body["parameter"][0] = {"name": "patient", "valueIdentifier": {"system": NHS, "value": "9990000018"}}
    record(recorder, body)
    assert treating.ids(SEARCH) == []


def test_choices_recorded_at_once_leave_one_in_force(app: Flask, steward: Caller) -> None:
    callers = [caller(app, ods=ods, scope="system/Consent.cruds", purpose=None) for ods in ("RXA", "RXB", "RXC")]
    answers: list[int] = []

    def work(who: Caller, choice: str) -> None:
        answers.append(who.post("/Consent/$record-choice", wish(choice)).status_code)

    threads = [threading.Thread(target=work, args=(who, choice)) for who in callers for choice in ("opt-out", "opt-in")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 201}, answers
    assert steward.get("/Consent?status=active&_total=accurate&_count=0").json["total"] == 1


def test_a_choice_that_waited_for_another_is_made_after_it(app: Flask, recorder: Caller) -> None:
    """However long it waited: dated before the one that it waited for, it would leave both in force."""
    store = app.extensions["services"].store
    answers: list[TestResponse] = []
    waiting = threading.Thread(target=lambda: answers.append(recorder.post("/Consent/$record-choice", wish())))
    with store.begin() as tx:
        hold_choices(tx, "Patient/p1")
        waiting.start()
        time.sleep(0.5)  # long enough to come as far as the lock
        let_go = store.clock()
    waiting.join()
    (made,) = told(answers[0], "consent")
    assert interval(made["dateTime"])[1] > let_go


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "choice", "valueCode": "opt-out"}]},
        wish("maybe"),
        wish(subject="Patient/nobody"),
        wish(subject="Organization/rxa"),
        wish(dateTime="yesterday"),
        wish(consent={"resourceType": "Consent", "provision": {"type": "permit"}}),
        {"resourceType": "Parameters", "parameter": [*wish()["parameter"], {"name": "nonsense", "valueCode": "x"}]},
        {"resourceType": "Parameters", "parameter": [*wish()["parameter"], wish()["parameter"][0]]},
        {"resourceType": "Parameters", "parameter": [1]},
        {"resourceType": "Parameters", "parameter": {"name": "patient"}},
        consent(),
    ],
)
def test_a_wish_that_cannot_be_understood_is_refused_and_changes_nothing(
    body: dict[str, Any], steward: Caller, recorder: Caller
) -> None:
    answer = recorder.post("/Consent/$record-choice", body)
    assert answer.status_code in (400, 422), answer.text
    assert "expected" in answer.json["issue"][0]["details"]["text"]
    assert steward.get("/Consent?_total=accurate&_count=0").json["total"] == 0


def test_nobody_but_a_recorder_records_a_choice(app: Flask, steward: Caller, treating: Caller) -> None:
    clinician = caller(app, "app", "RXB", "user/*.cruds", role="clinician", practitioner="Practitioner/dr-x")
    for who in (treating, clinician, caller(app, "archive", "RXA"), caller(app, "gate", "RXA")):
        assert who.post("/Consent/$record-choice", wish("opt-in")).status_code == 403
    event = steward.get("/AuditEvent?outcome=4&_count=1").json["entry"][0]["resource"]
    assert "may not write Consent" in event["outcomeDesc"]


# $disclosures -------------------------------------------------------------------------------------------------------


def parts(one: dict[str, Any]) -> dict[str, Any]:
    return {p["name"]: next(v for k, v in p.items() if k.startswith("value")) for p in one["part"]}


def disclosed(who: Caller, path: str = "/Patient/p1/$disclosures") -> list[dict[str, Any]]:
    answer = who.get(path)
    assert answer.status_code == 200, answer.text
    return [parts(one) for one in answer.json["parameter"] if one["name"] == "disclosure"]


def test_every_disclosure_is_told_in_plain_words(treating: Caller, officer: Caller) -> None:
    treating.get(SEARCH)
    newest = disclosed(officer)[0]
    assert newest.pop("when").startswith("20") and newest.pop("event")["reference"].startswith("AuditEvent/")
    assert newest.pop("organization")["display"] == "Trust RXB"
    assert newest == {
        "role": "a computer system of the organisation",
        "what": "imaging study, where images are kept",
        "purpose": "care and treatment",
        "basis": "the requester's organisation made the study; an episode of care is active at the organisation; "
        "nothing on file speaks of this, and care implies consent",
    }


def test_a_patient_is_told_of_their_own_record_and_of_nobody_elses(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    treating.get(SEARCH)
    own = caller(app, "app", "RXB", "patient/*.rs", role="patient", seconds=600, patient="Patient/p1")
    found = own.get("/Patient/p1/$disclosures")
    assert found.status_code == 200 and found.json["parameter"][-1] == {"name": "complete", "valueBoolean": True}
    assert "imaging study" in parts(found.json["parameter"][0])["what"]
    assert own.get("/Patient/p2/$disclosures").status_code == 403


def test_nobody_else_is_told(app: Flask, treating: Caller, stranger: Caller) -> None:
    clinician = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr-x")
    for who in (treating, stranger, clinician, caller(app, "archive", "RXA")):
        assert who.get("/Patient/p1/$disclosures").status_code == 403


def test_an_organisation_that_does_not_know_the_patient_is_told_what_it_did_itself(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    treating.get(SEARCH)
    elsewhere = caller(app, "app", "RXC", "user/*.rs", role="privacy", practitioner="Practitioner/ig-c")
    answer = elsewhere.get("/Patient/p1/$disclosures")
    assert answer.json["parameter"] == [{"name": "complete", "valueBoolean": False}]


def test_disclosures_come_in_pages_and_asking_is_recorded(steward: Caller, treating: Caller, officer: Caller) -> None:
    for _ in range(5):
        treating.get("/ImagingStudy/s1")
    whole = [one["event"]["reference"] for one in disclosed(officer, "/Patient/p1/$disclosures?_count=500")]
    seen: list[str] = []
    path = "/Patient/p1/$disclosures?_count=2"
    while path:
        answer = officer.get(path).json["parameter"]
        seen += [parts(one)["event"]["reference"] for one in answer if one["name"] == "disclosure"]
        following = [one["valueUrl"] for one in answer if one["name"] == "next"]
        path = following[0].split("/fhir")[1] if following else ""
    assert seen == whole
    events = steward.get("/AuditEvent?agent=Practitioner/ig-wren&subtype=operation&type=rest").json["entry"]
    assert events[0]["resource"]["outcomeDesc"] == "$disclosures"
    assert officer.get("/Patient/p1/$disclosures?_count=x").status_code == 400
    assert officer.get("/Patient/p1/$disclosures?since=2026").status_code == 400


def test_what_was_refused_is_no_disclosure(steward: Caller, treating: Caller, officer: Caller) -> None:
    steward.put("/Consent/c1", consent())
    before = len(disclosed(officer, "/Patient/p1/$disclosures?_count=500"))
    treating.get("/ImagingStudy/s1")
    treating.get(SEARCH)
    assert len(disclosed(officer, "/Patient/p1/$disclosures?_count=500")) == before
