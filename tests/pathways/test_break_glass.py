"""Patient/$break-glass over HTTP: who may, for how long, what it opens and what not, who is told, and the review
(policy.md, step 10; security.md, section 3 and attacks 56 to 58)."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.interactions import Services
from app.pathways.clocks import working_days
from app.pathways.scheduled import carry_out
from app.policy.switches import Switches
from app.storage import attempts
from app.storage.engine import microseconds
from tests.pathways.conftest import Clock
from tests.support.region import NHS, Caller, caller, consent, patient

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018&_include=ImagingStudy:endpoint"
WHY = "unconscious in resus, earlier CT needed"
DOCTOR = "Practitioner/dr-c"


@pytest.fixture
def doctor(app: Flask, steward: Caller) -> Caller:
    """A clinician of C, which has nothing to do with the patient."""
    steward.put("/Practitioner/dr-c", {"resourceType": "Practitioner", "id": "dr-c"})
    return person(app)


def person(app: Flask, name: str = DOCTOR, ods: str = "RXC", role: str = "clinician", **more: Any) -> Caller:
    return caller(app, "app", ods, "user/*.cruds", role=role, practitioner=name, **more)


def officer(app: Flask, ods: str = "RXC") -> Caller:
    return person(app, f"Practitioner/ig-{ods.lower()}", ods, "privacy")


def plea(text: str = WHY, reason: str = "unconscious", **more: Any) -> dict[str, Any]:
    said: list[dict[str, Any]] = [{"name": "reason", "valueCode": reason}, {"name": "text", "valueString": text}]
    kinds = {"hours": "valuePositiveInt", "patient": "valueIdentifier"}
    return {
        "resourceType": "Parameters",
        "parameter": said + [{"name": name, kinds[name]: value} for name, value in more.items()],
    }


def broken(who: Caller, id: str = "p1", **more: Any) -> TestResponse:
    answer = who.post(f"/Patient/{id}/$break-glass", plea(**more))
    assert answer.status_code in (200, 201), answer.text
    return answer


def part(answer: TestResponse, name: str) -> Any:
    found = next(one for one in answer.json["parameter"] if one["name"] == name)
    return next(value for key, value in found.items() if key != "name")


def refusal(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["issue"][0]["details"]["text"]


def tasks(steward: Caller, code: str = "REVIEW_WORKLIST") -> list[dict[str, Any]]:
    found = steward.get(f"/Task?code={code}").json.get("entry", ())
    return [one["resource"] for one in found]


def test_a_clinician_without_a_relationship_sees_and_locates_the_images_for_four_hours(
    app: Flask, steward: Caller, doctor: Caller, clock: Clock
) -> None:
    assert doctor.get(SEARCH).status_code == 403
    answer = broken(doctor)
    assert answer.status_code == 201
    assert part(answer, "patient") == {"reference": "Patient/p1"}
    grant = part(answer, "grant")
    assert doctor.get(SEARCH).status_code == 403, "a request that does not present the grant gets nothing by it"
    found = doctor.get(SEARCH, Emergency_Grant=grant).json
    assert [one["resource"]["id"] for one in found["entry"]] == ["s1", "archive-rxa"]
    assert doctor.get("/ImagingStudy/s1", Emergency_Grant=grant).json["endpoint"]
    again = broken(doctor)
    assert (again.status_code, part(again, "grant"), part(again, "until")) == (200, grant, part(answer, "until"))
    held = doctor.get("/Patient/p1/$emergency-access").json["parameter"]
    assert [one["valueString"] for one in held[0]["part"] if one["name"] == "grant"] == [grant]
    clock.forward(hours=4.01)
    later = person(app)
    assert later.get(SEARCH, Emergency_Grant=grant).status_code == 403
    assert later.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 404
    assert "parameter" not in later.get("/Patient/p1/$emergency-access").json


def test_a_request_that_is_sent_twice_at_once_opens_one_access(
    app: Flask, services: Services, steward: Caller, doctor: Caller
) -> None:
    """Both wait for a third of the same doctor, and so have both come as far as anyone can before being counted."""
    answers: list[TestResponse] = []
    callers = [doctor, person(app)]
    waiting = [threading.Thread(target=lambda who=who: answers.append(broken(who))) for who in callers]
    with services.store.begin() as tx:
        attempts.hold(tx, "break-glass", DOCTOR, "ods:RXC")
        for one in waiting:
            one.start()
        time.sleep(0.5)
    for one in waiting:
        one.join()
    assert sorted(one.status_code for one in answers) == [200, 201]
    assert len({part(one, "grant") for one in answers}) == len(tasks(steward)) == 1


def test_a_token_whose_purpose_is_to_break_the_glass_needs_no_header(app: Flask, doctor: Caller) -> None:
    glass = person(app, purpose="BTG")
    assert glass.get(SEARCH).status_code == 403
    broken(doctor)
    assert glass.ids(SEARCH) == ["s1"]


def test_a_patient_is_named_by_number_where_nobody_could_know_the_id(doctor: Caller) -> None:
    named = {"system": NHS, "value": "999 000 0018"}
    answer = doctor.post("/Patient/$break-glass", plea(patient=named))
    assert answer.status_code == 201 and part(answer, "patient") == {"reference": "Patient/p1"}
    found = doctor.get(SEARCH, Emergency_Grant=part(answer, "grant"))
    assert found.status_code == 200


def test_whoever_is_unknown_and_whoever_it_cannot_be_given_for_look_alike(steward: Caller, doctor: Caller) -> None:
    restricted = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    steward.put("/Patient/dead", patient("dead", "9990000026") | {"deceasedBoolean": True})
    steward.put("/Patient/hidden", patient("hidden", "9990000034") | {"meta": {"security": [restricted]}})
    answers = [doctor.post(f"/Patient/{id}/$break-glass", plea()) for id in ("dead", "hidden", "nobody")]
    number = {"system": NHS, "value": "9990000042"}
    answers.append(doctor.post("/Patient/$break-glass", plea(patient=number)))
    text = "no patient for whom emergency access can be given; expected one who is known here"
    assert {refusal(one) for one in answers} == {(404, text)}
    assert tasks(steward) == []


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"resourceType": "Patient"}, 400, "the content is not Parameters; expected Parameters with reason, text"),
        (plea("too short"), 422, "the parameter 'text' does not say why; expected 15 to 2000 characters that say why"),
        (plea("a a a a a a a a a a a a a a a a a"), 422, "the parameter 'text' does not say why; expected 15 to 2000"),
        (plea("x" * 2001), 422, "the parameter 'text' does not say why"),
        (plea(reason="curiosity"), 422, "the parameter 'reason' is not a known reason; expected one of "),
        (plea(hours=25), 422, "the parameter 'hours' is out of range; expected 1 to 24"),
        (plea(hours=0), 422, "the parameter 'hours' is out of range; expected 1 to 24"),
        (plea(hours=True), 400, "the parameter 'hours' is not as expected"),
        (plea(patient={"value": "1"}), 400, "the patient is named twice; expected the address to name them"),
        ({"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": WHY}]}, 422, "the parameter 'reason' is missing"),
        ({"resourceType": "Parameters", "parameter": [{"name": "grant", "valueString": "x"}]}, 400, "a parameter is not known"),
        ({"resourceType": "Parameters", "parameter": "x"}, 400, "a parameter is not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_request_is_named(doctor: Caller, body: dict[str, Any], status: int, says: str) -> None:
    got = refusal(doctor.post("/Patient/p1/$break-glass", body))
    assert got[0] == status and got[1].startswith(says), got


def test_only_a_named_clinician_who_has_just_logged_in_breaks_the_glass(
    app: Flask, steward: Caller, treating: Caller, doctor: Caller, clock: Clock
) -> None:
    for who in (
        treating,
        person(app, role="clerical"),
        officer(app),
        caller(app, "app", "RXC", "patient/*.rs", role="patient", patient="Patient/p1"),
        person(app, purpose="HRESCH"),
        person(app, purpose=None),
    ):
        assert who.post("/Patient/p1/$break-glass", plea()).status_code == 403
    narrow = caller(app, "app", "RXC", "user/Patient.rs", role="clinician", practitioner=DOCTOR, purpose="ETREAT")
    assert narrow.post("/Patient/p1/$break-glass", plea()).status_code == 403
    clock.forward(hours=0.26)
    late = doctor.post("/Patient/p1/$break-glass", plea())
    assert refusal(late) == (
        401,
        "the log-in is too long ago for emergency access; expected one within the last 15 minutes",
    )
    assert late.headers["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", max_age="900"'
    assert tasks(steward) == []


def test_a_header_without_a_grant_opens_nothing_and_alerts(app: Flask, steward: Caller, doctor: Caller) -> None:
    """Attack 56; also where the clinician's own organisation cares for the patient."""
    for who in (doctor, person(app, "Practitioner/dr-b", "RXB")):
        assert who.get(SEARCH, Emergency_Grant="made-up").status_code in (200, 403)
        assert who.get("/ImagingStudy/s1", Emergency_Grant="made-up").status_code == 404
    assert len(tasks(steward, "ALERT_PRIVACY")) == 2


def test_a_grant_is_nobody_elses_and_of_no_other_patient(app: Flask, steward: Caller, doctor: Caller) -> None:
    """Attack 57."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    grant = part(broken(doctor), "grant")
    for who in (
        person(app, "Practitioner/dr-other"),
        person(app, DOCTOR, "RXA01"),
        person(app, role="clerical"),
        caller(app, ods="RXC"),
        caller(app, ods="RXC", purpose="BTG"),
    ):
        assert who.get(SEARCH, Emergency_Grant=grant).status_code == 403
        assert who.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 404
    other = SEARCH.replace("9990000018", "9990000026")
    assert doctor.get(other, Emergency_Grant=grant).status_code == 403
    ended = {"resourceType": "Parameters", "parameter": [{"name": "grant", "valueString": grant}]}
    assert person(app, "Practitioner/dr-other").post("/Patient/p1/$end-break-glass", ended).status_code == 404
    assert doctor.post("/Patient/p2/$end-break-glass", ended).status_code == 404
    assert officer(app, "RXA").post("/Patient/p1/$end-break-glass", ended).status_code == 404
    assert doctor.get(SEARCH, Emergency_Grant=grant).status_code == 200
    assert officer(app).post("/Patient/p1/$end-break-glass", ended).status_code == 204
    assert doctor.get(SEARCH, Emergency_Grant=grant).status_code == 403
    assert doctor.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 404
    assert doctor.post("/Patient/p1/$end-break-glass", ended).status_code == 204


def test_a_grant_reads_and_writes_nothing(doctor: Caller) -> None:
    grant = part(broken(doctor), "grant")
    for path, body in (
        ("/Subscription", {"resourceType": "Subscription"}),
        ("/EpisodeOfCare", {"resourceType": "EpisodeOfCare"}),
        ("/Consent/$record-choice", {"resourceType": "Parameters"}),
    ):
        assert doctor.post(path, body, Emergency_Grant=grant).status_code == 403
    assert doctor.ids("/ImagingStudy") == []
    assert [e["resource"]["id"] for e in doctor.get("/ImagingStudy", Emergency_Grant=grant).json["entry"]] == ["s1"]


def test_an_opt_out_is_not_overridden_unless_the_region_says_so_and_does_not_show(
    app: Flask, steward: Caller, doctor: Caller, services: Services
) -> None:
    """P9: the answer to the operation is the same, and the images are as if they did not exist."""
    steward.put("/Consent/c1", consent())
    grant = part(broken(doctor, reason="vital-interest"), "grant")
    assert [e["resource"]["id"] for e in doctor.get(SEARCH, Emergency_Grant=grant).json.get("entry", ())] == []
    assert doctor.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 404
    services.enforcement.switches = Switches(btg_overrides_optout="vital_interest")
    assert doctor.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 200


def test_the_privacy_officers_of_both_organisations_are_told_without_a_name(
    app: Flask, steward: Caller, doctor: Caller
) -> None:
    answer = broken(doctor)
    task = part(answer, "task")["reference"]
    for ods in ("RXC", "RXA"):
        found = officer(app, ods).get("/Communication").json["entry"]
        (said,) = [one["resource"] for one in found]
        named = {"RXC": [{"reference": task}], "RXA": []}[ods]
        assert said["recipient"][0]["identifier"]["value"] == ods
        assert [one for one in said["about"] if "reference" in one] == named
        assert said["about"][-1]["identifier"]["value"] == part(answer, "grant")
        for word in ("p1", "9990000018", "Willow", "dr-c", WHY):
            assert word not in str(said["payload"]) and f"/{word}'" not in str(said)
        assert officer(app, ods).get(f"/{task}").json["for"] == {"reference": "Patient/p1"}
    assert officer(app, "RXB").get("/Communication").json.get("entry") is None
    assert doctor.get(f"/{task}").status_code == 403
    doctor.get(SEARCH, Emergency_Grant=part(answer, "grant"))
    (one,) = tasks(steward)
    assert (one["id"], one["requester"], one["reasonCode"]["text"]) == (
        task.removeprefix("Task/"),
        {"reference": DOCTOR},
        WHY,
    )
    assert one["owner"]["identifier"]["value"] == "RXC"


def decide(who: Caller, id: str, outcome: str, note: str | None = None) -> TestResponse:
    said = [{"name": "outcome", "valueCode": outcome}]
    said += [{"name": "note", "valueString": note}] if note else []
    return who.post(f"/Task/{id}/$review-break-glass", {"resourceType": "Parameters", "parameter": said})


def test_a_review_ends_with_an_outcome_and_one_that_is_not_justified_ends_the_access(
    app: Flask, steward: Caller, doctor: Caller
) -> None:
    answer = broken(doctor)
    grant, id = part(answer, "grant"), part(answer, "task")["reference"].removeprefix("Task/")
    assert decide(doctor, id, "justified").status_code == 403
    assert decide(officer(app, "RXA"), id, "justified").status_code == 403
    assert refusal(decide(officer(app), id, "fine")) == (
        422,
        "the outcome is not known; expected one of justified, not-justified, unclear",
    )
    assert decide(officer(app), id, "not-justified").status_code == 422
    assert decide(officer(app), "nothing", "justified").status_code == 404
    done = decide(officer(app), id, "not-justified", "no such patient was in the department")
    assert done.status_code == 200 and done.json["status"] == "completed"
    assert done.json["businessStatus"]["coding"][0]["code"] == "not-justified"
    assert doctor.get("/ImagingStudy/s1", Emergency_Grant=grant).status_code == 404
    assert decide(officer(app), id, "justified").status_code == 422


def test_a_review_is_due_in_three_working_days_and_escalates_once(
    app: Flask, steward: Caller, doctor: Caller, services: Services, clock: Clock
) -> None:
    broken(doctor)
    due = working_days(services.store.clock(), 3, "Europe/London")
    clock.shift = due - microseconds() - 3_600_000_000
    assert carry_out(services) == 0
    clock.forward(hours=1.1)
    assert [carry_out(services), carry_out(services)] == [1, 0]
    again = caller(app, "steward", "ZZZ", purpose=None)
    (task,) = tasks(again)
    assert (task["priority"], task["businessStatus"]["coding"][0]["code"]) == ("stat", "overdue")
    told = again.get("/Communication?category=overdue").json["entry"]
    assert [one["resource"]["about"] for one in told] == [[{"reference": f"Task/{task['id']}"}]]


def test_a_review_that_was_made_in_time_does_not_escalate(
    app: Flask, steward: Caller, doctor: Caller, services: Services, clock: Clock
) -> None:
    id = part(broken(doctor), "task")["reference"].removeprefix("Task/")
    assert decide(officer(app), id, "justified").status_code == 200
    clock.forward(days=10)
    assert carry_out(services) == 0


@pytest.mark.attack(58)
def test_a_burst_closes_the_function_for_the_person_and_alerts_until_it_is_opened_again(
    app: Flask, steward: Caller, doctor: Caller, services: Services
) -> None:
    """Attack 58; those who are not there count as well."""
    services.enforcement.switches = Switches(break_glass_burst=3)
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    got = [doctor.post(f"/Patient/{id}/$break-glass", plea()).status_code for id in ("x1", "x2", "p1", "p2", "p2")]
    assert got == [404, 404, 201, 403, 403]
    (alert,) = tasks(steward, "BREAK_GLASS_BURST")
    assert person(app, "Practitioner/dr-d").post("/Patient/p2/$break-glass", plea()).status_code == 201
    assert decide(officer(app, "RXA"), alert["id"], "reopened").status_code in (403, 404)
    assert decide(officer(app), alert["id"], "justified").status_code == 422
    assert decide(officer(app), alert["id"], "reopened").status_code == 200
    assert doctor.post("/Patient/p2/$break-glass", plea()).status_code == 201


@pytest.mark.attack(58)
def test_a_burst_of_many_people_closes_the_function_for_their_organisation(
    app: Flask, steward: Caller, services: Services
) -> None:
    services.enforcement.switches = Switches(break_glass_organisation_burst=2)
    got = [person(app, f"Practitioner/d{n}").post("/Patient/p1/$break-glass", plea()).status_code for n in range(4)]
    assert got == [201, 201, 403, 403]
    assert person(app, "Practitioner/e", "RXA").post("/Patient/p1/$break-glass", plea()).status_code == 201
    assert len(tasks(steward, "BREAK_GLASS_BURST")) == 1


@pytest.mark.attack(58)
def test_a_day_has_its_bounds(doctor: Caller, services: Services) -> None:
    services.enforcement.switches = replace(Switches(), break_glass_per_person=2)
    answers = [doctor.post(f"/Patient/x{n}/$break-glass", plea()) for n in range(3)]
    assert [one.status_code for one in answers] == [404, 404, 429]
    assert answers[-1].headers["Retry-After"] == "3600"


def test_what_was_decided_under_a_grant_is_explained_after_it_was_revoked(
    app: Flask, doctor: Caller, services: Services
) -> None:
    grant = part(broken(doctor), "grant")
    doctor.get(SEARCH, Emergency_Grant=grant)
    ended = {"resourceType": "Parameters", "parameter": [{"name": "grant", "valueString": grant}]}
    doctor.post("/Patient/p1/$end-break-glass", ended)
    doctor.get("/ImagingStudy/s1", Emergency_Grant=grant)
    app.test_cli_runner().invoke(args=["audit", "link"])
    answer = app.test_cli_runner().invoke(args=["audit", "replay"])
    assert answer.exit_code == 0, answer.output
    told = officer(app).get("/Patient/p1/$disclosures").json["parameter"]
    seen = [one for one in told if one["name"] == "disclosure"]
    assert "emergency access" in str(seen)
