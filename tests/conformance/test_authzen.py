"""OpenID AuthZEN Authorization API 1.0 (https://openid.net/specs/authorization-api-1_0.html), for trusted enforcement points;
and attack 84 of security.md 4: the decision API as an oracle.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.support.region import STUDY_UID, Caller, caller, consent

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
TREATING = {"organisation": "RXB", "role": "clinician", "purpose": "TREAT"}
STRANGE = TREATING | {"organisation": "RXC"}


@pytest.fixture
def gate(app: Flask, steward: Caller) -> Caller:
    return caller(app, "gate", "RXA")


def ask(who: Caller, body: Any, path: str = EVALUATION, **headers: str) -> TestResponse:
    given = {"Authorization": f"Bearer {who.token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    data = orjson.dumps(body) if isinstance(body, dict | list) else body
    return who.http.post(path, data=data, content_type="application/json", headers=given)


def question(study: str = STUDY_UID, action: str = "locate", **properties: str) -> dict[str, Any]:
    return {
        "subject": {"type": "practitioner", "id": "dr-x", "properties": TREATING | properties},
        "action": {"name": action},
        "resource": {"type": "ImagingStudy", "id": study},
    }


def test_the_metadata_says_where_the_decision_point_is(app: Flask) -> None:
    said = app.test_client().get("/.well-known/authzen-configuration").json
    assert said["policy_decision_point"] == "http://127.0.0.1:8080"
    assert said["access_evaluation_endpoint"] == "http://127.0.0.1:8080/access/v1/evaluation"
    assert said["access_evaluations_endpoint"] == "http://127.0.0.1:8080/access/v1/evaluations"


def test_a_gate_learns_the_decision_its_id_reasons_and_life(gate: Caller) -> None:
    answer = ask(gate, question(), X_Request_ID="gate-1")
    assert answer.status_code == 200 and answer.headers["X-Request-ID"] == "gate-1"
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.json
    assert said["decision"] is True
    assert {"id", "reasons", "basis", "obligations", "expires", "policy"} == set(said["context"])
    assert said["context"]["reasons"][0] == "EPISODE_ACTIVE"
    assert "EpisodeOfCare/e1/_history/1" in said["context"]["basis"]


@pytest.mark.parametrize("name", [STUDY_UID, f"urn:oid:{STUDY_UID}", "ImagingStudy/s1"])
def test_a_study_is_named_by_uid_or_reference(name: str, gate: Caller) -> None:
    assert ask(gate, question(name)).json["decision"] is True


def test_the_decision_is_made_now(gate: Caller, steward: Caller) -> None:
    assert ask(gate, question()).json["decision"] is True
    steward.put("/Consent/c1", consent())
    said = ask(gate, question()).json
    assert said["decision"] is False and said["context"]["reasons"] == ["CONSENT_BASE_DENY"]
    assert "expires" not in said["context"]


def test_a_stranger_and_an_unknown_study_are_refused_with_their_reasons(gate: Caller) -> None:
    assert ask(gate, question(**STRANGE)).json["context"]["reasons"] == ["NO_RELATIONSHIP"]
    assert ask(gate, question("1.2.3.4")).json["context"]["reasons"] == ["STUDY_UNKNOWN"]
    clerk = ask(gate, question(role="clerical")).json
    assert clerk["decision"] is False and clerk["context"]["reasons"][0] == "ROLE_MAY_NOT_LOCATE"
    assert ask(gate, question(purpose="HRESCH")).json["context"]["reasons"] == ["PURPOSE_NOT_DIRECT_CARE"]


def test_a_gate_may_hand_on_the_requesters_own_token(gate: Caller, treating: Caller, stranger: Caller) -> None:
    for who, expected in ((treating, True), (stranger, False)):
        asked = question() | {"subject": {"type": "token", "id": who.token}}
        assert ask(gate, asked).json["decision"] is expected
    bad = ask(gate, question() | {"subject": {"type": "token", "id": "nonsense"}})
    assert bad.status_code == 403 and "nonsense" not in bad.text
    registered = question() | {"subject": {"type": "client", "id": "backend-rxb-system-treat"}}
    assert ask(gate, registered).json["decision"] is True


THREE = [{"resource": {"type": "ImagingStudy", "id": one}} for one in (STUDY_UID, "1.2.3.4", "ImagingStudy/s1")]


@pytest.mark.parametrize(
    ("options", "decisions"),
    [
        (None, [True, False, True]),
        ({"evaluations_semantic": "execute_all"}, [True, False, True]),
        ({"evaluations_semantic": "deny_on_first_deny"}, [True, False]),
        ({"evaluations_semantic": "permit_on_first_permit"}, [True]),
    ],
)
def test_several_questions_share_what_they_have_in_common(
    options: dict[str, str] | None, decisions: list[bool], gate: Caller
) -> None:
    common = {name: part for name, part in question().items() if name != "resource"}
    answer = ask(gate, common | {"evaluations": THREE} | ({"options": options} if options else {}), EVALUATIONS)
    assert [one["decision"] for one in answer.json["evaluations"]] == decisions
    assert "decision" not in answer.json


def test_without_evaluations_the_one_question_is_answered(gate: Caller) -> None:
    assert ask(gate, question(), EVALUATIONS).json["decision"] is True
    assert ask(gate, question() | {"evaluations": []}, EVALUATIONS).json["decision"] is True


def test_what_is_wrong_with_one_question_is_told_with_that_question(gate: Caller) -> None:
    listed = [question(), question(action="burn"), {"subject": 1}, question()]
    said = ask(gate, {"evaluations": listed}, EVALUATIONS).json["evaluations"]
    assert [one["decision"] for one in said] == [True, False, False, True]
    assert said[1]["context"]["error"] == {
        "status": 400,
        "message": "action.name is not known; expected one of discover, read, locate",
    }
    stopped = ask(gate, {"evaluations": listed, "options": {"evaluations_semantic": "deny_on_first_deny"}}, EVALUATIONS)
    assert len(stopped.json["evaluations"]) == 2, "an error counts as a denial"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b'{"a": NaN}', b"{" + b'"a":{' * 200 + b"}" * 201,
        {}, {"subject": {"type": "practitioner"}}, question() | {"action": {}}, question() | {"action": {"name": 7}},
        question() | {"resource": {"type": "Patient", "id": "p1"}}, question() | {"resource": {"type": "ImagingStudy", "id": ""}},
        question() | {"subject": {"type": "group", "id": "x"}}, question() | {"subject": "dr-x"},
        question() | {"subject": {"type": "practitioner", "id": "x", "properties": []}},
        question() | {"subject": {"type": "practitioner", "id": "x", "properties": {"organisation": 7}}},
        question() | {"subject": {"type": "practitioner", "id": "x"}}, question(role="king"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_understood_is_a_bad_request(body: Any, gate: Caller) -> None:
    answer = ask(gate, body)
    assert answer.status_code == 400 and answer.mimetype == "text/plain" and "expected" in answer.text
    assert ask(gate, body, EVALUATIONS).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"evaluations": 1},
        {"evaluations": [1]},
        {"evaluations": [{}] * 101},
        {"evaluations": [{}], "options": {"evaluations_semantic": "guess"}},
    ],
)
def test_what_concerns_all_questions_is_a_bad_request(body: Any, gate: Caller) -> None:
    assert ask(gate, body, EVALUATIONS).status_code == 400


def test_no_token_no_decision(app: Flask, gate: Caller, steward: Caller) -> None:
    answer = app.test_client().post(EVALUATION, json=question())
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert ask(Caller(gate.http, "nonsense"), question()).status_code == 401
    event = steward.get("/AuditEvent?outcome=4&_count=1").json["entry"][0]["resource"]
    assert "no valid access token" in event["outcomeDesc"]


# Attack 84 ----------------------------------------------------------------------------------------------------------


def of_itself(client: str, study: str = STUDY_UID, **properties: str) -> dict[str, Any]:
    return question(study) | {"subject": {"type": "client", "id": client, "properties": properties}}


@pytest.mark.attack(84)
def test_84_whoever_is_no_gate_asks_about_itself_alone(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    assert ask(treating, of_itself("backend-rxb-system-treat")).json["decision"] is True
    assert ask(stranger, of_itself("backend-rxc-system-treat")).json["decision"] is False
    clinician = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr-x")
    asked = question() | {"subject": {"type": "user", "id": "dr-x"}}
    assert ask(clinician, asked).json["decision"] is True
    for who, body in (
        (treating, question()),
        (treating, of_itself("backend-rxc-system-treat")),
        (treating, of_itself("backend-rxb-system-treat", organisation="RXA")),
        (treating, of_itself("backend-rxb-system-treat", role="clinician")),
        (treating, of_itself("backend-rxb-system-treat", purpose="BTG")),
        (treating, question() | {"subject": {"type": "token", "id": treating.token}}),
        (stranger, question() | {"subject": {"type": "token", "id": treating.token}}),
        (clinician, question() | {"subject": {"type": "practitioner", "id": "dr-y"}}),
        (clinician, of_itself("app-rxb-clinician-treat")),
    ):
        answer = ask(who, body)
        assert answer.status_code == 403 and "the subject is not the caller" in answer.text
        several = ask(who, {"evaluations": [body]}, EVALUATIONS).json["evaluations"]
        assert several[0]["decision"] is False and several[0]["context"]["error"]["status"] == 403


@pytest.mark.attack(84)
def test_84_a_withheld_study_is_answered_like_one_that_never_was(
    steward: Caller, treating: Caller, stranger: Caller
) -> None:
    steward.put("/Consent/c1", consent())
    for who, client in ((treating, "backend-rxb-system-treat"), (stranger, "backend-rxc-system-treat")):
        hidden, never = ask(who, of_itself(client)), ask(who, of_itself(client, "1.2.3.4"))
        assert hidden.json["decision"] is never.json["decision"] is False
        assert set(hidden.json["context"]) == set(never.json["context"]) == {"id"}
        assert [name for name, _ in hidden.headers] == [name for name, _ in never.headers]


@pytest.mark.attack(84)
def test_84_scopes_stay_a_ceiling(app: Flask, steward: Caller) -> None:
    blind = caller(app, "backend", "RXB", "system/Patient.rs", role="clerical")
    assert ask(blind, of_itself("backend-rxb-clerical-treat")).status_code == 403


def test_every_decision_is_recorded_and_one_to_locate_as_a_disclosure(gate: Caller, steward: Caller) -> None:
    permitted = ask(gate, question()).json["context"]["id"]
    refused = ask(gate, question(**STRANGE)).json["context"]["id"]
    found = [e["resource"] for e in steward.get("/AuditEvent?patient=p1&subtype=operation&type=110106").json["entry"]]
    assert len(found) == 1
    agents = {coding["code"]: agent for agent in found[0]["agent"] for coding in agent["type"]["coding"]}
    assert agents["110152"]["who"]["identifier"]["value"] == "gate-rxa-system-treat"
    assert agents["IRCP"]["who"]["reference"] == "Practitioner/dr-x"
    assert agents["PROV"]["who"]["identifier"]["value"] == "RXB"
    decisions = [e["resource"] for e in steward.get("/AuditEvent?patient=p1&type=110113&_count=2").json["entry"]]
    ids = [
        d["valueString"]
        for event in decisions
        for entity in event["entity"]
        for d in entity.get("detail", ())
        if d["type"] == "decision"
    ]
    assert ids == [refused, permitted]
    assert [event["outcome"] for event in decisions] == ["4", "0"]


def test_where_the_audit_cannot_be_written_there_is_no_decision(app: Flask, gate: Caller) -> None:
    app.extensions["services"].store.retry(lambda tx: tx.run("ALTER TABLE audit RENAME TO audit_away"))
    answer = ask(gate, question())
    assert answer.status_code >= 500 and "true" not in answer.text
