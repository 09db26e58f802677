"""The audit, by IHE Basic Audit Log Patterns: https://profiles.ihe.net/ITI/BALP/. Each answer and each refusal leaves what
happened, why it was allowed or not, and what was disclosed; identifiers, never names.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask import Flask

from tests.support.region import NHS, Caller, caller, consent, episode, patient, study

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018&_include=ImagingStudy:endpoint"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."


@pytest.fixture
def officer(app: Flask, steward: Caller) -> Caller:
    return caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig-wren")


def events(reader: Caller, query: str) -> list[dict[str, Any]]:
    answer = reader.get(f"/AuditEvent?{query}&_count=100")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json.get("entry", ())]


def details(event: dict[str, Any]) -> dict[str, str]:
    return {d["type"]: d["valueString"] for entity in event["entity"] for d in entity.get("detail", ())}


def names(event: dict[str, Any]) -> list[str]:
    return [entity["what"]["reference"] for entity in event["entity"] if "reference" in entity.get("what", {})]


def agent(event: dict[str, Any], code: str) -> dict[str, Any]:
    found = [one for one in event["agent"] if code in [coding["code"] for coding in one["type"]["coding"]]]
    assert len(found) == 1
    return found[0]


def test_one_search_is_a_query_a_decision_and_a_disclosure(steward: Caller, treating: Caller) -> None:
    treating.get(SEARCH, X_Request_ID="r-17")
    found = {
        event["meta"].get("profile", ["AuthZ-Role"])[0]: event for event in events(steward, "patient=p1&outcome=0")
    }
    query = found[f"{BALP}PatientQuery"]
    assert query["type"]["code"] == "rest" and query["action"] == "E"
    assert [one["code"] for one in query["subtype"]] == ["search-type"]
    raw = [base64.b64decode(entity["query"]).decode() for entity in query["entity"] if "query" in entity]
    assert raw == [
        f"http://127.0.0.1:8080/fhir{SEARCH}".replace(":endpoint", "%3Aendpoint")
        .replace("|", "%7C")
        .replace("https://", "https%3A%2F%2F")
        .replace("nhs.uk/Id/", "nhs.uk%2FId%2F")
    ]
    assert names(query) == ["Patient/p1", "ImagingStudy/s1/_history/1", "Endpoint/archive-rxa/_history/1"]
    assert "r-17" in [
        entity["what"].get("identifier", {}).get("value") for entity in query["entity"] if "what" in entity
    ]
    assert agent(query, "110153")["network"] == {"address": "127.0.0.1", "type": "2"}

    decision = found["AuthZ-Role"]
    assert decision["type"]["code"] == "110113" and decision["outcome"] == "0"
    assert decision["subtype"][0]["code"] == "AuthZ-Role", "care implied consent: there is none to name"
    said = details(decision)
    assert said["basis"] == "EpisodeOfCare/e1/_history/1"
    assert "EPISODE_ACTIVE" in said["reasons"] and said["policy"].startswith("urn:sha256:")
    assert said["obligations"] == "AUDIT" and said["expires"]
    assert said["matches"] == "1" and said["included"] == "1"
    assert agent(decision, "IRCP")["purposeOfUse"][0]["coding"][0]["code"] == "TREAT"
    assert agent(decision, "PROV")["who"]["identifier"]["value"] == "RXB"
    assert agent(decision, "authserver")["who"] == decision["source"]["observer"]

    disclosure = found[f"{BALP}PrivacyDisclosure.Source"]
    assert [one["code"] for one in disclosure["subtype"]] == ["disclose", "search-type"]
    assert disclosure["type"]["code"] == "110106" and disclosure["action"] == "R"
    assert names(disclosure) == ["Patient/p1", "ImagingStudy/s1/_history/1"]
    assert agent(disclosure, "110153")["who"] == disclosure["source"]["observer"]
    assert agent(disclosure, "110152")["who"]["identifier"]["value"] == "backend-rxb-system-treat"


def test_a_decision_by_consent_names_each_consent_with_its_version(steward: Caller, treating: Caller) -> None:
    steward.put("/Consent/c1", consent(type="permit"))
    steward.put("/Consent/c1", consent(type="permit", dateTime="2026-01-16"))
    treating.get(SEARCH)
    decision = events(steward, "type=110113&patient=p1")[0]
    assert decision["meta"]["profile"] == [f"{BALP}AuthZconsent"]
    assert decision["subtype"][0]["code"] == "AuthZ-Consent"
    assert names(decision) == ["Patient/p1", "Consent/c1/_history/2"]
    kinds = [entity["type"]["code"] for entity in decision["entity"]]
    assert kinds == ["1", "Consent", "UserOauthAgent"], "the slices of AuthZconsent are closed"
    assert details(decision)["basis"] == "EpisodeOfCare/e1/_history/1, Consent/c1/_history/2"


@pytest.mark.parametrize("path", ["/ImagingStudy/s1", "/ImagingStudy/s1/_history/1", "/ImagingStudy/s1/_history"])
def test_a_look_at_what_is_withheld_is_recorded_with_patient_and_refusal(
    path: str, steward: Caller, treating: Caller
) -> None:
    steward.put("/Consent/c1", consent())
    assert treating.get(path).status_code == 404
    decision = events(steward, "type=110113&patient=p1")[0]
    assert decision["outcome"] == "4"
    assert names(decision) == ["Patient/p1", "Consent/c1/_history/1"]
    assert "CONSENT_BASE_DENY" in decision["outcomeDesc"]
    assert events(steward, "type=110106&patient=p1") == []
    basic = events(steward, "type=rest&patient=p1&outcome=4")[0]
    assert basic["outcomeDesc"].startswith("no ImagingStudy with this id")


def test_a_search_without_relationship_is_recorded_as_fully_as_one_that_finds(
    steward: Caller, stranger: Caller
) -> None:
    assert stranger.get(SEARCH).status_code == 403
    basic = events(steward, "type=rest&patient=p1&outcome=4")[0]
    assert basic["entity"][1]["query"] and names(basic) == ["Patient/p1"]
    assert agent(basic, "PROV")["who"]["identifier"]["value"] == "RXC"
    decision = events(steward, "type=110113&patient=p1&outcome=4")[0]
    assert details(decision)["effect"] == "PARTIAL" and "NO_RELATIONSHIP" in details(decision)["reasons"]


@pytest.mark.parametrize(
    ("headers", "detail"),
    [({}, "no access token"), ({"Authorization": "Bearer nonsense"}, "not valid")],
)
def test_a_request_without_a_good_token_is_recorded(
    headers: dict[str, str], detail: str, app: Flask, steward: Caller
) -> None:
    assert app.test_client().get("/fhir/ImagingStudy/s1", headers=headers).status_code == 401
    event = events(steward, "outcome=4")[0]
    assert detail in event["outcomeDesc"] and event["subtype"][0]["code"] == "read"
    assert event["agent"][0]["who"]["identifier"]["value"] == "anonymous"
    assert event["agent"][0]["network"]["address"] == "127.0.0.1"
    assert "nonsense" not in json.dumps(event)


def test_refused_writes_and_requests_that_cannot_be_read_are_recorded(steward: Caller, treating: Caller) -> None:
    assert treating.post("/ImagingStudy", study("x")).status_code == 403
    event = events(steward, "outcome=4")[0]
    assert event["subtype"][0]["code"] == "create" and "may not write ImagingStudy" in event["outcomeDesc"]
    assert treating.post("/EpisodeOfCare", "{").status_code == 400
    assert events(steward, "outcome=4")[0]["subtype"][0]["code"] == "create"
    assert treating.get("/ImagingStudy?nonsense=1").status_code == 400
    assert events(steward, "outcome=4")[0]["subtype"][0]["code"] == "search-type"
    assert treating.put("/EpisodeOfCare/e9", episode("e8")).status_code == 400
    assert events(steward, "outcome=4")[0]["subtype"][0]["code"] == "update"


def test_a_search_over_everybody_is_one_event_for_each_patient_with_that_patients_basis_alone(
    steward: Caller, treating: Caller
) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/EpisodeOfCare/e2", episode("e2", subject="p2"))
    steward.put("/ImagingStudy/s2", study("s2", "1.2.826.9", subject="p2"))
    assert sorted(treating.ids("/ImagingStudy")) == ["s1", "s2"]
    for person, care, image in (("p1", "e1", "s1"), ("p2", "e2", "s2")):
        event = events(steward, f"type=rest&subtype=search-type&patient={person}")[0]
        assert names(event) == [f"Patient/{person}", f"ImagingStudy/{image}/_history/1"]
        assert details(event)["basis"] == f"EpisodeOfCare/{care}/_history/1"


def test_writes_are_creates_updates_and_deletes_of_a_patients_data(steward: Caller) -> None:
    steward.put("/EpisodeOfCare/e2", episode("e2"))
    steward.put("/EpisodeOfCare/e2", episode("e2", status="onhold"))
    steward.delete("/EpisodeOfCare/e2")
    found = [
        (e["action"], e["meta"]["profile"][0]) for e in events(steward, "patient=p1&entity=EpisodeOfCare/e2&type=rest")
    ]
    assert found == [("D", f"{BALP}PatientDelete"), ("U", f"{BALP}PatientUpdate"), ("C", f"{BALP}PatientCreate")]


def test_a_user_is_named_with_role_purpose_and_the_id_of_the_token(
    app: Flask, steward: Caller, officer: Caller
) -> None:
    clinician = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr-x")
    assert clinician.ids("/ImagingStudy?patient=p1") == ["s1"]
    event = events(officer, "type=rest&patient=p1&agent=Practitioner/dr-x")[0]
    user = agent(event, "IRCP")
    assert user["who"] == {"reference": "Practitioner/dr-x"} and user["role"] == [{"text": "clinician"}]
    assert len(user["policy"]) == 1, "BALP's OAUTHaccessTokenUse.Minimal wants the token's id"
    assert "UserOauthAgent" in [coding["code"] for coding in user["type"]["coding"]]


def test_reading_the_audit_is_audited(steward: Caller, officer: Caller) -> None:
    (first, *_) = events(officer, "patient=p1")
    assert officer.get(f"/AuditEvent/{first['id']}").status_code == 200
    seen = events(steward, "agent=Practitioner/ig-wren&type=rest")
    assert [e["subtype"][0]["code"] for e in seen] == ["read", "search-type"]
    assert names(seen[0]) == [f"AuditEvent/{first['id']}/_history/1"]


def test_pages_of_events_lose_none_and_repeat_none(steward: Caller, treating: Caller) -> None:
    for _ in range(3):
        treating.get(SEARCH)
    everything = [event["id"] for event in events(steward, "patient=p1")]
    assert len(everything) == len(set(everything)) >= 9
    seen: list[str] = []
    path = "/AuditEvent?patient=p1&_count=2"
    while path and len(seen) < len(everything):
        page = steward.get(path).json
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        path = following[0].split("/fhir")[1] if following else ""
    assert seen[: len(everything)] == everything


def test_each_event_reads_by_its_own_id_and_no_other(steward: Caller, treating: Caller) -> None:
    treating.get(SEARCH)
    for event in events(steward, "patient=p1")[:3]:
        assert steward.get(f"/AuditEvent/{event['id']}").json == event
    whole = event["id"].split(".")[0]
    assert steward.get(f"/AuditEvent/{whole}.nothing").status_code == 404
    assert steward.get(f"/AuditEvent/{whole}").status_code == 200
