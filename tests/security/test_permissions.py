"""Who may write what: every type, by every interaction, by every kind of client, as the one table says; and attacks 48 to 53
of security.md 4 where they are writes.
"""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.access.permissions import WRITERS, WRITES
from app.fhir.registry import TYPES
from tests.support.examples import EXAMPLES
from tests.support.region import Caller, caller, consent, episode, patient, settle, study

# A caller of each kind: its parts in the table, and how it is made. Scopes are as wide as they can be.
KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "archive": (("archive",), {"kind": "archive", "ods": "RXA"}),
    "record system": (("backend",), {"kind": "backend"}),
    "recorder": (("backend", "recorder"), {"kind": "backend", "scope": "system/*.cruds system/Consent.cruds"}),
    "steward": (("steward",), {"kind": "steward", "ods": "RXB", "purpose": None}),
    "gate": ((), {"kind": "gate"}),
    "app": ((), {"kind": "app", "scope": "user/*.cruds"}),
    "clinician": ((), {"kind": "app", "scope": "user/*.cruds", "role": "clinician", "practitioner": "Practitioner/dr-x"}),
    "clinician through the record system": ((), {"kind": "backend", "practitioner": "Practitioner/dr-x"}),
    "clerk": ((), {"kind": "app", "scope": "user/*.cruds", "role": "clerical", "practitioner": "Practitioner/cl-y"}),
    "privacy officer": (("recorder",), {"kind": "app", "scope": "user/*.cruds", "role": "privacy", "practitioner": "Practitioner/ig"}),
}  # fmt: skip

PATCH = [{"op": "add", "path": "/language", "value": "en"}]
DONE = {"create": 201, "update": 200, "patch": 200, "delete": 204}


def expected(parts: tuple[str, ...], type_name: str) -> frozenset[str]:
    return frozenset(w for part in parts if type_name in WRITERS[part] for w in WRITERS[part][type_name].interactions)


def attempt(who: Caller, interaction: str, type_name: str, id: str, body: dict[str, Any]) -> int:
    path = f"/{type_name}/{id}"
    if interaction == "create":
        return who.post(f"/{type_name}", body).status_code
    if interaction == "update":
        return who.put(path, body | {"id": id, "language": "fr"}).status_code
    if interaction == "patch":
        return who.send("PATCH", path, PATCH, Content_Type="application/json-patch+json").status_code
    return who.delete(path).status_code


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_client_writes_what_the_table_says_and_nothing_else(kind: str, app: Flask) -> None:
    steward = settle(app)
    parts, made = KINDS[kind]
    who = caller(app, **made)
    ods = made.get("ods", "RXB")
    found: dict[tuple[str, str], int] = {}
    should: dict[tuple[str, str], int] = {}
    for type_name in TYPES:
        if type_name not in EXAMPLES:
            for interaction in WRITES:
                found[type_name, interaction] = attempt(who, interaction, type_name, "x", {"resourceType": type_name})
                should[type_name, interaction] = 405
            continue
        allowed = expected(parts, type_name)
        body = EXAMPLES[type_name](ods)
        created = who.post(f"/{type_name}", body)
        found[type_name, "create"] = created.status_code
        id = created.json.get("id") if created.status_code == 201 else steward.post(f"/{type_name}", body).json["id"]
        for interaction in ("update", "patch", "delete"):
            if type_name == "Consent" and interaction in ("update", "patch") and kind != "steward":
                # A choice in force is not edited: what the table allows is seen on one that is still a draft.
                draft = body | {"status": "draft"}
                made_ = (who if "create" in allowed else steward).post("/Consent", draft)
                found[type_name, interaction] = attempt(who, interaction, type_name, made_.json["id"], draft)
            else:
                found[type_name, interaction] = attempt(who, interaction, type_name, id, body)
        should |= {(type_name, one): DONE[one] if one in allowed else 403 for one in WRITES}
    assert found == should


def test_every_writable_type_has_an_example_and_a_keeper() -> None:
    writable = {name for name, one in TYPES.items() if "create" in one.interactions}
    assert set(EXAMPLES) == writable == set(WRITERS["steward"])
    assert "AuditEvent" not in {name for row in WRITERS.values() for name in row}


@pytest.mark.attack(48)
@pytest.mark.parametrize(
    "interaction", ["conditional-create", "conditional-update", "conditional-patch", "conditional-delete"]
)
def test_48_a_conditional_write_is_the_write_that_it_would_be(interaction: str, app: Flask) -> None:
    settle(app)
    clinician = caller(app, "app", "RXB", "user/*.cruds", role="clinician", practitioner="Practitioner/dr-x")
    for type_name, make in EXAMPLES.items():
        body, query = make("RXB"), f"/{type_name}?_id=x"
        if interaction == "conditional-create":
            answer = clinician.post(f"/{type_name}", body, If_None_Exist="_id=x")
        elif interaction == "conditional-update":
            answer = clinician.put(query, body)
        elif interaction == "conditional-patch":
            answer = clinician.send("PATCH", query, PATCH, Content_Type="application/json-patch+json")
        else:
            answer = clinician.delete(query)
        assert answer.status_code == 403, type_name


def bundle(method: str, body: dict[str, Any]) -> dict[str, Any]:
    url = body["resourceType"] + (f"/{body['id']}" if method == "PUT" else "")
    entry = {
        "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001",
        "resource": body,
        "request": {"method": method, "url": url},
    }
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def referral(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "subject": {"reference": "Patient/p2"},
        "requester": {"reference": "Organization/rxc"},
        "performer": [{"reference": "Organization/rxc"}],
        "authoredOn": "2026-03-01T10:00:00Z",
    } | more


def team(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": "Patient/p2"},
        "managingOrganization": [{"reference": "Organization/rxc"}],
        "participant": [{"member": {"reference": "Practitioner/dr-x"}}],
        "period": {"start": "2026-01-01"},
    } | more


@pytest.fixture
def region(app: Flask) -> Caller:
    """Patient p2, whose study is at A, and who has nothing to do with C."""
    steward = settle(app)
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s2", study("s2", "1.2.826.2", subject="p2"))
    steward.put("/Practitioner/dr-x", {"resourceType": "Practitioner", "id": "dr-x"})
    return steward


@pytest.mark.attack(49)
def test_49_no_user_makes_the_episode_team_or_referral_that_lets_the_user_in(app: Flask, region: Caller) -> None:
    for kind in ("app", "backend"):
        user = caller(
            app, kind, "RXC", "user/*.cruds system/*.cruds", role="clinician", practitioner="Practitioner/dr-x"
        )
        for body in (episode("n1", "RXC", "p2"), team(id="n2"), referral(id="n3"), EXAMPLES["Appointment"]("RXC")):
            path = f"/{body['resourceType']}"
            assert user.post(path, body).status_code == 403
            assert user.put(f"{path}/{body['id']}", body).status_code == 403
            assert user.post("", bundle("POST", body)).status_code == 403
            assert user.post("", bundle("PUT", body)).status_code == 403
        assert user.get("/ImagingStudy?patient=p2").status_code == 403


@pytest.mark.attack(49)
def test_49_a_record_system_refers_no_strangers_to_its_own_organisation(app: Flask, region: Caller) -> None:
    own = caller(app, ods="RXC")
    assert own.post("/ServiceRequest", referral()).status_code == 403
    assert own.post("/ServiceRequest", referral(requester={"reference": "Organization/rxa"})).status_code == 403
    assert own.post("/ServiceRequest", {k: v for k, v in referral().items() if k != "requester"}).status_code == 403
    by_identifier = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RXC"}}
    assert own.post("/ServiceRequest", referral(performer=[by_identifier])).status_code == 403
    assert own.get("/ImagingStudy?patient=p2").status_code == 403
    elsewhere = referral(performer=[{"reference": "Organization/rxb"}])
    assert own.post("/ServiceRequest", elsewhere).status_code == 201


@pytest.mark.attack(50)
def test_50_no_episode_of_another_organisation_is_made_or_changed_back_dated_or_for_ever(
    app: Flask, region: Caller
) -> None:
    own = caller(app, ods="RXC")
    for period in (
        {"start": "2020-01-01"},
        {"start": "2026-01-01", "end": "2099-12-31"},
        {"start": "2026-01-01", "end": "2027-01-01"},
    ):
        assert own.post("/EpisodeOfCare", episode(ods="RXB", period=period)).status_code == 403
        assert own.put("/EpisodeOfCare/e1", episode(ods="RXC", period=period)).status_code == 403
    assert region.get("/EpisodeOfCare/e1").json["meta"]["versionId"] == "1"


@pytest.mark.attack(50)
def test_50_an_episode_that_is_flipped_after_the_read_stays_in_history_and_in_the_audit(
    app: Flask, region: Caller
) -> None:
    own = caller(app, ods="RXC")
    assert own.put("/EpisodeOfCare/flip", episode("flip", "RXC", "p2")).status_code == 201
    assert own.ids("/ImagingStudy?patient=p2") == ["s2"]
    assert own.put("/EpisodeOfCare/flip", episode("flip", "RXC", "p2", "entered-in-error")).status_code == 200
    assert own.delete("/EpisodeOfCare/flip").status_code == 204
    assert region.get("/EpisodeOfCare/flip/_history/1").json["status"] == "active"
    event = region.get("/AuditEvent?type=110113&patient=p2&outcome=0&_count=1").json["entry"][0]["resource"]
    details = {d["type"]: d["valueString"] for entity in event["entity"] for d in entity.get("detail", ())}
    assert details["basis"] == "EpisodeOfCare/flip/_history/1"


@pytest.mark.attack(51)
def test_51_nobody_joins_a_team_for_a_patient_whom_their_organisation_does_not_treat(
    app: Flask, region: Caller
) -> None:
    own = caller(app, ods="RXC")
    assert own.post("/CareTeam", team()).status_code == 403
    region.put("/CareTeam/mdt", team(id="mdt", managingOrganization=[{"reference": "Organization/rxa"}]))
    change = [{"op": "add", "path": "/participant/-", "value": {"member": {"reference": "Practitioner/dr-x"}}}]
    assert own.send("PATCH", "/CareTeam/mdt", change, Content_Type="application/json-patch+json").status_code == 404
    assert own.put("/CareTeam/mdt", team(id="mdt")).status_code == 403
    treating = caller(app, ods="RXA")
    assert (
        treating.send("PATCH", "/CareTeam/mdt", change, Content_Type="application/json-patch+json").status_code == 200
    )


@pytest.mark.attack(52)
def test_52_no_choice_is_recorded_edited_or_deleted_by_whom_it_would_let_in(app: Flask, region: Caller) -> None:
    region.put("/Consent/c1", consent())
    for who in (
        caller(app),
        caller(app, "archive", "RXA"),
        caller(app, "app", "RXB", "user/*.cruds", role="clinician", practitioner="Practitioner/dr-x"),
    ):
        assert who.post("/Consent", consent(type="permit")).status_code == 403
        assert who.put("/Consent/c1", consent(type="permit")).status_code == 403
        assert who.delete("/Consent/c1").status_code == 403
        assert who.delete("/Consent?patient=p1").status_code == 403


@pytest.mark.attack(52)
def test_52_a_recorder_supersedes_a_choice_and_neither_edits_nor_deletes_it(app: Flask, region: Caller) -> None:
    recorder = caller(app, scope="system/Consent.cruds system/*.cruds", ods="RXA")
    assert recorder.put("/Consent/c1", consent()).status_code == 201
    for changed in (
        {"dateTime": "2020-01-01"},
        {"provision": {"type": "permit"}},
        {"patient": {"reference": "Patient/p2"}},
        {"performer": [{"reference": "Patient/p2"}]},
        {"status": "draft"},
        {"policy": [{"uri": "https://elsewhere.example/policy"}]},
    ):
        answer = recorder.put("/Consent/c1", consent() | changed)
        assert answer.status_code == 403 and "supersedes" in answer.json["issue"][0]["details"]["text"], changed
    assert recorder.delete("/Consent/c1").status_code == 403
    ended = [{"op": "replace", "path": "/status", "value": "inactive"}]
    assert recorder.send("PATCH", "/Consent/c1", ended, Content_Type="application/json-patch+json").status_code == 200
    again = [{"op": "replace", "path": "/status", "value": "active"}]
    assert recorder.send("PATCH", "/Consent/c1", again, Content_Type="application/json-patch+json").status_code == 403


@pytest.mark.attack(28)
def test_28_what_is_another_organisations_is_not_written(app: Flask, region: Caller) -> None:
    archive, system = caller(app, "archive", "RXC"), caller(app, ods="RXC")
    for who, body in (
        (archive, study()),
        (archive, EXAMPLES["Endpoint"]("RXA")),
        (system, episode()),
        (system, patient()),
    ):
        path = f"/{body['resourceType']}/{body['id'] if body['id'] != 'x-endpoint' else 'archive-rxa'}"
        assert who.put(path, body | {"id": path.split("/")[2]}).status_code in (403, 404), path
        assert who.delete(path).status_code in (403, 404), path
    assert caller(app).put("/Patient/p1", patient() | {"birthDate": "1971-01-01"}).status_code == 200, (
        "B treats the patient"
    )
