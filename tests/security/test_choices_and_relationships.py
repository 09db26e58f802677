"""Attacks 53, 55, 57, 59, 60, 62, 80 and 81: what lets somebody in, or keeps them out, is bent, replayed or outlived."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from flask import Flask

from app.storage import resources
from app.storage.engine import Tx
from tests.doors.doors import ALL
from tests.support.region import STUDY_UID, Caller, caller, consent, episode, organization, patient, study

SEARCH = "/ImagingStudy?patient=p1"


@pytest.mark.attack(53)
def test_a_choice_is_of_one_patient_and_stays_so(steward: Caller, treating: Caller, app: Flask) -> None:
    """A Consent without a patient, or moved to another, would leave somebody without their refusal."""
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    for about in ({}, {"display": "her"}, {"reference": "Patient/none"}, {"reference": "Practitioner/dr"}):
        assert steward.put("/Consent/c1", consent(patient=about)).status_code in (400, 422), about
    steward.put("/Consent/c1", consent())
    recorder = caller(app, "app", "RXA", "user/*.cruds", role="privacy", practitioner="Practitioner/ig")
    assert recorder.put("/Consent/c1", consent(subject="p2")).status_code == 403
    assert recorder.send("PATCH", "/Consent/c1", [{"op": "replace", "path": "/patient/reference", "value": "Patient/p2"}], Content_Type="application/json-patch+json").status_code == 403  # fmt: skip
    assert treating.ids(SEARCH) == []


@pytest.mark.attack(55)
def test_nobody_is_called_to_learn_whom_a_choice_names(
    steward: Caller, treating: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By address, by contained resource, by identifier: an actor that is not on file cannot be told, and that is all."""
    called: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: called.append(given) or [])
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    for reference in ("http://127.0.0.1:9/Organization/1", "https://evil.example/Practitioner/1", "urn:uuid:2c5f0b1e-0f3c-4a4e-9a8e-7a9f6a2d3c11"):  # fmt: skip
        actor = [{"role": role, "reference": {"reference": reference}}]
        answer = steward.put("/Consent/c1", consent(provision={"type": "deny", "actor": actor}))
        assert answer.status_code == 422, reference
    actor = [{"role": role, "reference": {"identifier": {"system": "https://evil.example/id", "value": "1"}}}]
    made = steward.put(
        "/Consent/c1", consent(provision={"type": "permit", "provision": [{"type": "deny", "actor": actor}]})
    )
    assert made.status_code == 201, made.text
    assert treating.ids(SEARCH) == []
    assert called == []


def grant(
    app: Flask, practitioner: str = "Practitioner/dr", patient: str = "p2", hours: float = 2, revoked: bool = False
) -> None:
    store = app.extensions["services"].store

    def work(tx: Tx) -> None:
        rid = tx.rows("SELECT patient FROM person WHERE id = ?", patient)[0][0]
        tx.run("DELETE FROM emergency_grant")
        tx.run(
            "INSERT INTO emergency_grant (patient, id, version, practitioner, organisation, low, high, reason, note, revoked)"
            " VALUES (?, 'g1', 1, ?, 'ods:RXB', ?, ?, 'emergency', '', ?)",
            rid, practitioner, tx.at - 60_000_000, tx.at + int(hours * 3_600_000_000), revoked,
        )  # fmt: skip

    store.retry(work)


@pytest.mark.attack(57)
def test_an_emergency_grant_opens_for_nobody_and_nothing_else_over_http(app: Flask, steward: Caller) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/Patient/p3", patient("p3", "9990000034"))
    for id in ("p2", "p3"):
        steward.put(f"/ImagingStudy/{id}", study(id, f"{STUDY_UID}.{id[1]}", subject=id))

    def doctor(**who: Any) -> Caller:
        return caller(app, **({"kind": "app", "ods": "RXB", "scope": "user/*.rs", "role": "clinician", "purpose": "BTG", "practitioner": "Practitioner/dr"} | who))  # fmt: skip

    grant(app)
    mine = doctor()
    assert mine.get("/ImagingStudy/p2").status_code == 200
    others = {
        "a colleague": doctor(practitioner="Practitioner/other"),
        "the same person elsewhere": doctor(ods="RXC"),
        "a clerk": doctor(role="clerical"),
        "a system": doctor(kind="backend", scope="system/*.rs", role="system", practitioner=None),
        "without the purpose": doctor(purpose="TREAT"),
    }
    for name, who in others.items():
        assert who.get("/ImagingStudy/p2").status_code == 404, name
        assert who.get("/ImagingStudy?patient=p2").status_code == 403, name
    assert mine.get("/ImagingStudy/p3").status_code == 404
    grant(app, revoked=True)
    assert mine.get("/ImagingStudy/p2").status_code == 404
    grant(app, hours=-0.001)
    assert mine.get("/ImagingStudy/p2").status_code == 404
    grant(app)
    assert mine.get("/ImagingStudy/p2").status_code == 200
    steward.put("/Patient/p2", patient("p2", "9990000026") | {"deceasedBoolean": True})
    assert mine.get("/ImagingStudy/p2").status_code == 404


@pytest.mark.attack(59)
def test_records_that_are_joined_share_a_refusal_and_nobody_else_can_join_or_part_them(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    def linked(kind: str, other: str) -> dict[str, Any]:
        link = [{"type": kind, "other": {"reference": f"Patient/{other}"}}]
        return patient("p2", "9990000026") | {"link": link}

    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/Consent/c2", consent("c2", subject="p2"))
    assert treating.ids(SEARCH) == ["s1"]
    for who in (treating, stranger, caller(app, "archive", "RXC")):
        assert who.put("/Patient/p2", linked("replaced-by", "p1")).status_code == 403
    for kind in ("seealso", "refer"):
        steward.put("/Patient/p2", linked(kind, "p1"))
        assert treating.ids(SEARCH) == ["s1"], kind
    steward.put("/Patient/p2", linked("replaced-by", "p1"))
    assert treating.ids(SEARCH) == []
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    assert treating.ids(SEARCH) == ["s1"]
    steward.put("/Patient/p1", patient() | {"link": [{"type": "replaced-by", "other": {"reference": "Patient/p2"}}]})
    steward.put("/Patient/p2", linked("replaced-by", "p1"))
    assert treating.ids(SEARCH) == []
    assert treating.get("/ImagingStudy/s1").status_code == 404


@pytest.mark.attack(60)
def test_an_opt_out_during_a_search_is_before_or_after_it_and_never_in_its_midst(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    """Each answer is of one instant: what begins after the opt-out was acknowledged shows nothing of the patient."""
    for n in range(6):
        steward.put(f"/ImagingStudy/x{n}", study(f"x{n}", f"{STUDY_UID}.{n + 10}"))
    seen: list[tuple[bool, int]] = []
    acknowledged = threading.Event()
    done = threading.Event()
    other = Caller(app.test_client(), treating.token)

    def ask() -> None:
        while not done.is_set():
            before = acknowledged.is_set()
            seen.append((before, len(other.ids(f"{SEARCH}&_include=ImagingStudy:endpoint"))))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        while len(seen) < 3:
            pass
        assert steward.put("/Consent/c1", consent()).status_code == 201
        acknowledged.set()
        enough = len(seen) + 3
        while len(seen) < enough:
            pass
    finally:
        done.set()
        asking.join()
    assert {count for _, count in seen} <= {0, 7}
    assert {count for before, count in seen if before} == {0}


@pytest.mark.attack(62)
@pytest.mark.parametrize("code", ["RXB", "rxb", "RXB ", " rXb"])
def test_an_organisation_is_one_however_its_code_is_written(
    app: Flask, steward: Caller, treating: Caller, code: str
) -> None:
    """Another spelling is refused when it is written; where it came in all the same, a refusal that names it binds."""
    odd = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}}
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    nested = {"type": "deny", "actor": [{"role": role, "reference": odd}]}
    made = consent(provision={"type": "permit", "provision": [nested]})
    assert steward.put("/Consent/c1", made).status_code == (201 if code == "RXB" else 422)
    if code != "RXB":
        assert steward.put("/EpisodeOfCare/e1", episode(managingOrganization=odd)).status_code == 422
        forced = {name: value for name, value in made.items() if name != "id"}
        app.extensions["services"].store.retry(lambda tx: resources.create(tx, ALL, forced, "c1"))
    assert treating.ids(SEARCH) == []


@pytest.mark.attack(62)
def test_no_second_organisation_takes_the_code_of_another_in_another_spelling(app: Flask, steward: Caller) -> None:
    steward.put("/Organization/fake", organization("rxb") | {"id": "fake"})
    steward.put("/EpisodeOfCare/e1", episode(status="finished", period={"start": "2026-01-01", "end": "2026-01-02"}))
    assert caller(app).get(SEARCH).status_code == 403


@pytest.mark.attack(80)
@pytest.mark.parametrize("change", ["consent", "episode", "label", "merge", "role", "grant", "organisation"])
def test_a_permission_is_not_remembered_over_a_change(
    app: Flask, steward: Caller, treating: Caller, change: str
) -> None:
    """Whatever has been kept in memory by the first requests, the one after the change is decided anew."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
    refused = {"type": "deny", "securityLabel": [label | {"code": "R"}]}
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s1", study(meta={"security": [label]}))
    who, path = treating, "/ImagingStudy/s1"
    if change == "label":
        steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [refused]}))
    if change == "merge":
        steward.put("/Consent/c2", consent("c2", subject="p2"))
    if change == "role":
        who = caller(app, "app", "RXC", "user/*.rs", role="clinician", practitioner="Practitioner/dr")
        team = {"resourceType": "CareTeam", "id": "t1", "status": "active", "subject": {"reference": "Patient/p1"}, "participant": [{"member": {"reference": "Practitioner/dr"}}]}  # fmt: skip
        steward.put("/Practitioner/dr", {"resourceType": "Practitioner", "id": "dr"})
        assert steward.put("/CareTeam/t1", team).status_code == 201
    if change == "grant":
        steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2", subject="p2"))
        who = caller(app, "app", "RXB", "user/*.rs", role="clinician", purpose="BTG", practitioner="Practitioner/dr")
        path = "/ImagingStudy/s2"
        grant(app)
    if change == "organisation":
        who = caller(app, ods="RXB01")
    for _ in range(3):
        assert who.get(path).status_code == 200
    match change:
        case "consent":
            steward.put("/Consent/c1", consent())
        case "episode":
            steward.put("/EpisodeOfCare/e1", episode(status="cancelled"))
        case "label":
            steward.put("/ImagingStudy/s1", study(meta={"security": [label | {"code": "R"}]}))
        case "merge":
            link = [{"type": "replaced-by", "other": {"reference": "Patient/p1"}}]
            steward.put("/Patient/p2", patient("p2", "9990000026") | {"link": link})
        case "role":
            steward.put("/CareTeam/t1", team | {"participant": [{"member": {"reference": "Organization/rxc"}}]})
        case "grant":
            grant(app, revoked=True)
        case "organisation":
            steward.put("/Organization/rxb01", organization("RXB01"))
    assert who.get(path).status_code == 404


@pytest.mark.attack(81)
def test_what_is_kept_for_one_purpose_role_or_organisation_serves_no_other(app: Flask, steward: Caller) -> None:
    """The same request, one after the other, by callers that differ in one thing each: none gets the answer of another."""
    steward.put("/EpisodeOfCare/e2", episode("e2", "RXC"))
    refused = {
        "type": "deny",
        "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "ETREAT"}],
    }
    steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [refused]}))
    usual: dict[str, Any] = {"kind": "app", "ods": "RXB", "scope": "user/*.rs", "role": "clinician", "practitioner": "Practitioner/dr"}  # fmt: skip
    expected = [
        (caller(app, **usual), 1, True),
        (caller(app, **usual | {"purpose": "ETREAT"}), 0, False),
        (caller(app, **usual | {"role": "clerical"}), 1, False),
        (caller(app, **usual | {"ods": "RXC"}), 1, True),
        (caller(app, **usual | {"ods": "ZZ9"}), None, False),
        (caller(app, **usual | {"purpose": "HRESCH"}), None, False),
    ]
    for _ in range(2):
        for who, count, located in (*expected, *reversed(expected)):
            answer = who.get(f"{SEARCH}&_include=ImagingStudy:endpoint")
            found = answer.json.get("entry", ()) if answer.status_code == 200 else None
            studies = None if found is None else sum(one["resource"]["resourceType"] == "ImagingStudy" for one in found)
            assert studies == count
            assert any(one["resource"]["resourceType"] == "Endpoint" for one in found or ()) is located
