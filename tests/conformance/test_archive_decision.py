"""What gates of archives ask: the decision call and the calls of Orthanc's authorization plugin; attacks 82 to 84 of the
list in `tests/security`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from app.access.replay import replay
from app.smart import proofs
from app.storage import oauth
from app.storage.oauth import Client
from tests.support.region import STUDY_UID, Caller, caller, consent, episode, study

DECISION, VALIDATE, PROFILE = "/archive/decision", "/archive/tokens/validate", "/archive/user/get-profile"
SECRET = "the gate's own"


@dataclass
class Basic:
    """A gate that proves itself by its secret."""

    app: Flask
    client: str
    secret: str = SECRET

    def ask(self, path: str, body: Any, **headers: str) -> TestResponse:
        proof = base64.b64encode(f"{self.client}:{self.secret}".encode()).decode()
        return self.app.test_client().post(path, json=body, headers={"Authorization": f"Basic {proof}"} | headers)

    def decide(self, token: str, study: str = STUDY_UID, **more: Any) -> dict[str, Any]:
        answer = self.ask(DECISION, {"token": token, "study_uid": study, "action": "locate", **more})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return dict(answer.json)


def registered(app: Flask, id: str = "gate-a", kind: str = "gate", ods: str = "RXA") -> Basic:
    client = Client(
        id,
        id,
        kind,
        f"ods:{ods}",
        "system/ImagingStudy.rs",
        "system",
        "TREAT",
        secret_hash=generate_password_hash(SECRET, "pbkdf2:sha256:1"),
    )
    app.extensions["services"].store.retry(lambda tx: oauth.add(tx, client))
    return Basic(app, id)


@pytest.fixture
def gate(app: Flask, steward: Caller) -> Basic:
    return registered(app)


def refusal(said: dict[str, Any], reason: str) -> bool:
    return said == {"allowed": False, "decision_id": said["decision_id"], "reason": reason, "max_age": 0}


def test_a_permission_has_an_id_and_a_life_and_a_refusal_is_never_to_be_kept(
    gate: Basic, treating: Caller, stranger: Caller, steward: Caller
) -> None:
    said = gate.decide(treating.token)
    assert said == {"allowed": True, "decision_id": said["decision_id"], "reason": "PERMITTED", "max_age": 30}
    assert refusal(gate.decide(stranger.token), "NOT_AVAILABLE")
    assert refusal(gate.decide("nonsense"), "TOKEN_INVALID")
    steward.put("/Consent/c1", consent())
    assert refusal(gate.decide(treating.token), "NOT_AVAILABLE")


def test_a_permission_is_kept_no_longer_than_it_lasts(app: Flask, gate: Basic, steward: Caller) -> None:
    brief = caller(app, seconds=12)
    assert 10 <= gate.decide(brief.token)["max_age"] <= 12
    services = app.extensions["services"]
    ending = services.store.clock() // 1_000_000 + 20
    until = datetime.fromtimestamp(ending, UTC).isoformat()
    steward.put("/EpisodeOfCare/e1", episode(period={"start": "2026-01-01", "end": until}))
    assert gate.decide(caller(app).token)["max_age"] <= 20


def test_the_reason_says_what_may_be_said_to_anybodys_face(app: Flask, gate: Basic, treating: Caller) -> None:
    """Of a patient's choices, care and studies nothing: the gate hands it on to whoever asks."""
    research = caller(app, purpose="HRESCH")
    assert refusal(gate.decide(research.token), "PURPOSE_NOT_DIRECT_CARE")
    assert refusal(
        gate.decide(caller(app, "backend", "RXB", "system/Patient.rs", role="clerical").token), "OUT_OF_SCOPE"
    )
    clerk = caller(app, role="clerical")
    assert refusal(gate.decide(clerk.token), "NOT_AVAILABLE"), "whatever the action is called, images are fetched"
    assert refusal(gate.decide(clerk.token, action="read"), "NOT_AVAILABLE")


@pytest.mark.attack(84)
def test_84_a_withheld_study_is_answered_like_one_that_never_was(
    gate: Basic, treating: Caller, stranger: Caller, steward: Caller
) -> None:
    steward.put("/Consent/c1", consent())
    for who in (treating, stranger):
        hidden, never = gate.decide(who.token), gate.decide(who.token, "1.2.3.4")
        assert hidden | {"decision_id": ""} == never | {"decision_id": ""}


@pytest.mark.attack(84)
def test_84_only_gates_ask_about_others_and_are_asked_to_prove_themselves(
    app: Flask, gate: Basic, treating: Caller, stranger: Caller
) -> None:
    body = {"token": treating.token, "study_uid": STUDY_UID}
    bearer = {"Authorization": f"Bearer {stranger.token}"}
    for path in (DECISION, VALIDATE, PROFILE):
        unproved = app.test_client().post(path, json=body)
        assert unproved.status_code == 401 and "Basic" in unproved.headers["WWW-Authenticate"]
        for wrong in (Basic(app, "gate-a", "guess"), Basic(app, "nobody"), Basic(app, "backend-rxb-system-treat")):
            assert wrong.ask(path, body).status_code == 401
        assert registered(app, "backend-b", "backend", "RXB").ask(path, body).status_code == 403
        assert app.test_client().post(path, json=body, headers=bearer).status_code == 403
    own = app.test_client().post(DECISION, json={"token": stranger.token, "study_uid": STUDY_UID}, headers=bearer)
    assert own.status_code == 200 and refusal(own.json, "NOT_AVAILABLE")
    by_token = caller(app, "gate", "RXA")
    asked = app.test_client().post(DECISION, json=body, headers={"Authorization": f"Bearer {by_token.token}"})
    assert asked.json["allowed"] is True
    app.extensions["services"].store.retry(lambda tx: oauth.disable(tx, "gate-a"))
    assert gate.ask(DECISION, body).status_code == 401, "a gate that is disabled is none from the next request on"


@pytest.mark.attack(83)
def test_83_a_gateway_acts_for_the_bearer_alone(app: Flask, gate: Basic, treating: Caller) -> None:
    """The gate's own organisation made the study; that opens nothing to whoever comes through the gate, and neither does
    a broad token of the gate's or of another gate's."""
    for ods in ("RXA", "RXB"):
        assert refusal(gate.decide(caller(app, "gate", ods, "system/*.cruds").token), "OUT_OF_SCOPE")
    unrelated = caller(app, "app", "RXC", "user/*.rs", role="clinician", practitioner="Practitioner/dr-y")
    assert refusal(gate.decide(unrelated.token), "NOT_AVAILABLE")
    assert refusal(gate.decide(caller(app, "steward", "RXA", purpose=None).token), "PURPOSE_MISSING")


@pytest.mark.attack(82)
def test_82_a_study_of_another_archive_is_not_reached_through_a_path(
    gate: Basic, treating: Caller, steward: Caller
) -> None:
    steward.put("/Patient/p2", {"resourceType": "Patient", "name": [{"family": "Demo"}], "id": "p2"})
    other = study("s2", "1.2.826.0.1.3680043.8.498.2", subject="p2")
    assert steward.put("/ImagingStudy/s2", other).status_code == 201
    mine, theirs = f"{STUDY_UID}.1", "1.2.826.0.1.3680043.8.498.2.1"
    base = f"/dicom-web/studies/{STUDY_UID}/series"
    assert gate.decide(treating.token, path=f"{base}/{mine}/instances/{mine}.1/frames/1")["allowed"] is True
    assert gate.decide(treating.token, path=f"{base}/{mine}.77")["allowed"] is True, (
        "not registered yet, and nobody else's"
    )
    assert refusal(gate.decide(treating.token, path=f"{base}/{theirs}"), "NOT_AVAILABLE")
    assert refusal(gate.decide(treating.token, path=f"{base}/{mine}/instances/{theirs}.1"), "NOT_AVAILABLE")
    answer = gate.ask(DECISION, {"token": treating.token, "study_uid": STUDY_UID, "path": "/studies/1.2.3/metadata"})
    assert answer.status_code == 400


BAD: list[Any] = [
    {}, [], {"token": "x"}, {"study_uid": STUDY_UID}, {"token": "", "study_uid": STUDY_UID}, {"token": 7, "study_uid": STUDY_UID},
    {"token": "x", "study_uid": "1.2.*"}, {"token": "x", "study_uid": "1" * 65}, {"token": "x" * 8193, "study_uid": "1.2"},
    {"token": "x", "study_uid": "1.2", "action": "two words"}, {"token": "x", "study_uid": "1.2", "action": 1},
    {"token": "x", "study_uid": "1.2", "path": 1}, {"token": "x", "study_uid": "1.2", "path": "x" * 3000},
]  # fmt: skip


def test_a_question_that_cannot_be_understood_is_a_bad_request(gate: Basic) -> None:
    for body in BAD:
        answer = gate.ask(DECISION, body)
        assert answer.status_code == 400 and "expected" in answer.text, body


def asked_by_plugin(token: str, level: str, uid: str, **more: str) -> dict[str, str]:
    said = {"token-key": "Authorization", "token-value": f"Bearer {token}", "dicom-uid": uid, "orthanc-id": "x"}
    return said | {"level": level, "method": "get", "uri": "/x", "server-id": "a"} | more


def test_orthancs_plugin_learns_whether_a_token_reaches_a_study_and_for_how_long(
    gate: Basic, treating: Caller, stranger: Caller
) -> None:
    yes, no = {"granted": True, "validity": 30}, {"granted": False, "validity": 0}
    for level, uid in (("study", STUDY_UID), ("series", f"{STUDY_UID}.1"), ("instance", f"{STUDY_UID}.1.1")):
        assert gate.ask(VALIDATE, asked_by_plugin(treating.token, level, uid)).json == yes
        assert gate.ask(VALIDATE, asked_by_plugin(stranger.token, level, uid)).json == no
        assert gate.ask(VALIDATE, asked_by_plugin(treating.token, level, f"{uid}.9")).json == no
        assert gate.ask(VALIDATE, asked_by_plugin(treating.token, level, uid, method="delete")).json == no
    raw = asked_by_plugin("", "study", STUDY_UID) | {"token-value": treating.token}
    assert gate.ask(VALIDATE, raw).json == yes
    for level in ("patient", "system", "everything"):
        assert gate.ask(VALIDATE, asked_by_plugin(treating.token, level, STUDY_UID)).json == no
    assert gate.ask(VALIDATE, {}).json == no


def test_orthancs_plugin_learns_who_somebody_is_and_of_no_permission_for_everything(
    app: Flask, gate: Basic, treating: Caller
) -> None:
    nothing: dict[str, Any] = {"permissions": [], "authorized-labels": [], "groups": []}
    known = gate.ask(PROFILE, {"token-key": "Authorization", "token-value": f"Bearer {treating.token}"}).json
    assert known == nothing | {
        "name": "backend-rxb-system-treat",
        "user-id": "backend-rxb-system-treat",
        "validity": 30,
    }
    for token in ("", "Bearer nonsense", f"Bearer {caller(app, 'gate', 'RXA').token}"):
        unknown = gate.ask(PROFILE, {"token-key": "Authorization", "token-value": token}).json
        assert unknown == nothing | {"name": "anonymous", "user-id": "", "validity": 0}


def test_every_decision_is_in_the_audit_and_comes_out_the_same_when_it_is_made_again(
    app: Flask, gate: Basic, treating: Caller, stranger: Caller, steward: Caller
) -> None:
    services = app.extensions["services"]
    keep(services)
    said = [gate.decide(one.token, path=f"/studies/{STUDY_UID}/metadata") for one in (treating, stranger)]
    said.append(gate.decide(caller(app, scope="system/ImagingStudy.rs?modality=MR").token))
    assert [one["allowed"] for one in said] == [True, False, False]
    events = [e["resource"] for e in steward.get("/AuditEvent?patient=p1&_count=50").json["entry"]]
    told: dict[str, set[str]] = {}
    for event in events:
        for entity in event["entity"]:
            for detail in entity.get("detail", ()):
                if detail["type"] == "decision":
                    told.setdefault(detail["valueString"], set()).add(event["outcome"])
    assert [max(told.get(one["decision_id"], "?")) for one in said[:2]] == ["0", "4"]
    disclosed = [one for one in events if one["type"]["code"] == "110106" and one["outcome"] == "0"]
    assert len(disclosed) >= 1
    found = replay(services.store, services.enforcement)
    assert found.differences == []


def keep(services: Any) -> None:
    from app.access.linker import Linker

    Linker.of(services.store, services.settings, services.enforcement.switches).keep_policy()


def test_where_the_audit_cannot_be_written_there_is_no_decision(app: Flask, gate: Basic, treating: Caller) -> None:
    app.extensions["services"].store.retry(lambda tx: tx.run("ALTER TABLE audit RENAME TO audit_away"))
    answer = gate.ask(DECISION, {"token": treating.token, "study_uid": STUDY_UID})
    assert answer.status_code >= 500 and "PERMITTED" not in answer.text


def test_a_secret_is_hashed_slowly_once_and_one_that_was_changed_is_no_longer_good(
    app: Flask, gate: Basic, treating: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    real = proofs.check_password_hash
    monkeypatch.setattr(proofs, "check_password_hash", lambda *pair: counted.append(1) or real(*pair))
    for _ in range(3):
        assert gate.decide(treating.token)["allowed"]
    assert len(counted) == 1
    registered(app).secret = "x"
    assert gate.ask(DECISION, {"token": "x", "study_uid": "1.2"}).status_code == 200
