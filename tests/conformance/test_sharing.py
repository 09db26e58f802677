"""What the registry is for, over HTTP: found because of care, absent after an opt-out, refused without a relationship."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.region import NHS, STUDY_UID, Caller, caller, consent, episode, patient, study

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018"


def test_a_treating_hospital_finds_the_study_and_its_archive(treating: Caller) -> None:
    found = treating.get(f"{SEARCH}&_include=ImagingStudy:endpoint").json
    assert [(e["resource"]["resourceType"], e["search"]["mode"]) for e in found["entry"]] == [
        ("ImagingStudy", "match"),
        ("Endpoint", "include"),
    ]
    assert found["entry"][1]["resource"]["address"] == "https://rxa.example/dicom-web"


@pytest.mark.attack(80)
def test_an_opt_out_changes_the_very_next_search_and_opting_in_again_the_one_after(
    steward: Caller, treating: Caller
) -> None:
    before = treating.get(SEARCH)
    assert len(before.json["entry"]) == 1
    steward.put("/Consent/c1", consent())
    after = treating.get(SEARCH)
    assert after.status_code == 200
    assert "entry" not in after.json
    assert treating.get("/ImagingStudy/s1").status_code == 404
    steward.put("/Consent/c2", consent("c2", "permit", dateTime="2026-02-15"))
    assert len(treating.get(SEARCH).json["entry"]) == 1


def test_without_a_relationship_a_named_patient_is_refused_like_an_unknown_one(stranger: Caller) -> None:
    known, unknown = stranger.get(SEARCH), stranger.get(f"/ImagingStudy?patient.identifier={NHS}|9990009999")
    assert known.status_code == unknown.status_code == 403
    assert known.json == unknown.json
    assert known.json["issue"][0]["code"] == "forbidden"
    assert "no care relationship" in known.json["issue"][0]["details"]["text"]
    assert stranger.get("/ImagingStudy?patient=Patient/p1").json == stranger.get("/ImagingStudy?patient=p0").json


@pytest.mark.attack(23, 25)
def test_a_hidden_study_is_answered_like_one_that_never_was(steward: Caller, treating: Caller) -> None:
    steward.put("/Consent/c1", consent())
    hidden, never = treating.get("/ImagingStudy/s1"), treating.get("/ImagingStudy/never-was")
    assert hidden.status_code == never.status_code == 404
    assert hidden.data == never.data
    for path in ("/_history/1", "/_history"):
        hidden, never = treating.get(f"/ImagingStudy/s1{path}"), treating.get(f"/ImagingStudy/never-was{path}")
        assert (hidden.status_code, hidden.data) == (never.status_code, never.data) == (404, never.data)
    cached = treating.get("/ImagingStudy/s1", If_None_Match='W/"1"')
    assert cached.status_code == 404


@pytest.mark.attack(33)
def test_totals_and_pages_count_only_what_may_be_seen(steward: Caller, treating: Caller) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/EpisodeOfCare/e2", episode("e2", subject="p2"))
    for n in range(6):
        subject = "p1" if n % 2 else "p2"
        steward.put(f"/ImagingStudy/x{n}", study(f"x{n}", f"{STUDY_UID}.{n + 10}", subject=subject))
    steward.put("/Consent/c1", consent(subject="p2"))
    seen: list[str] = []
    path = "/ImagingStudy?_count=2&_total=accurate"
    while path:
        page = treating.get(path).json
        assert page["total"] == 4
        ids = [entry["resource"]["id"] for entry in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        assert len(ids) == 2 or not following
        seen += ids
        path = following[0].split("/fhir")[1] if following else ""
    assert sorted(seen) == ["s1", "x1", "x3", "x5"]


@pytest.mark.attack(44)
def test_a_page_link_is_good_no_longer_than_the_decision_it_rests_on(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    for n in range(3):
        steward.put(f"/ImagingStudy/x{n}", study(f"x{n}", f"{STUDY_UID}.{n + 10}"))
    store = app.extensions["services"].store
    now = store.clock()
    store.clock = lambda: now
    page = treating.get("/ImagingStudy?patient=p1&_count=2").json
    following = next(link["url"] for link in page["link"] if link["relation"] == "next").split("/fhir")[1]
    store.clock = lambda: now + 890_000_000
    assert treating.get(following).status_code == 200
    store.clock = lambda: now + 902_000_000
    late = treating.get(following)
    assert (late.status_code, late.json["issue"][0]["expression"]) == (400, ["_cursor"])


def test_the_trust_that_made_the_study_sees_it_without_a_relationship(app: Flask, steward: Caller) -> None:
    origin = caller(app, "backend", "RXA")
    assert origin.ids("/ImagingStudy?patient=p1") == ["s1"]
    steward.put("/Consent/c1", consent())
    assert origin.ids("/ImagingStudy?patient=p1") == ["s1"]


def test_a_site_counts_as_its_trust(app: Flask, steward: Caller) -> None:
    assert caller(app, "backend", "RXB01").ids("/ImagingStudy?patient=p1") == ["s1"]


def test_ending_the_episode_ends_the_access(app: Flask, steward: Caller, treating: Caller) -> None:
    own = caller(app, "backend", "RXB")
    answer = own.put("/EpisodeOfCare/e1", episode(period={"start": "2026-01-01", "end": "2026-01-02"}))
    assert answer.status_code == 200, answer.text
    assert treating.get(SEARCH).status_code == 403


@pytest.mark.attack(29)
def test_an_endpoint_shows_only_with_a_study_that_may_be_located(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    assert treating.get("/Endpoint/archive-rxa").status_code == 200
    assert stranger.get("/Endpoint/archive-rxa").status_code == 404
    assert stranger.ids("/Endpoint?status=active") == []
    steward.put("/Consent/c1", consent())
    assert treating.get("/Endpoint/archive-rxa").status_code == 404


def test_a_clerk_learns_that_there_is_a_study_and_not_where_the_pictures_are(app: Flask, steward: Caller) -> None:
    clerk = caller(app, "app", "RXB", "user/*.rs", role="clerical", practitioner="Practitioner/clerk")
    found = clerk.get("/ImagingStudy?patient=p1&_include=ImagingStudy:endpoint").json["entry"]
    assert [entry["resource"]["resourceType"] for entry in found] == ["ImagingStudy"]
    assert {"identifier", "series", "endpoint", "description"}.isdisjoint(found[0]["resource"])
    assert found[0]["resource"]["modality"][0]["code"] == "CT"


def test_nobody_writes_the_relationship_that_would_let_them_in(app: Flask, steward: Caller, stranger: Caller) -> None:
    clinician = caller(app, "app", "RXC", "user/*.cruds", role="clinician", practitioner="Practitioner/dr-c")
    assert clinician.post("/EpisodeOfCare", episode("", "RXC")).status_code == 403
    assert (
        stranger.post("/EpisodeOfCare", {k: v for k, v in episode(ods="RXB").items() if k != "id"}).status_code == 403
    )
    assert stranger.put("/EpisodeOfCare/e1", episode(ods="RXC")).status_code in (403, 404)
    assert stranger.post("/Consent", {k: v for k, v in consent(type="permit").items() if k != "id"}).status_code == 403


def test_an_archive_writes_only_its_own_studies(app: Flask, steward: Caller) -> None:
    archive = caller(app, "archive", "RXA")
    new = {k: v for k, v in study(uid="1.2.3.4").items() if k != "id"}
    assert archive.post("/ImagingStudy", new).status_code == 201
    other = caller(app, "archive", "RXC")
    assert other.post("/ImagingStudy", new).status_code == 403
    # A hidden id and a free one are the same to somebody who may not see all studies.
    assert (
        other.put("/ImagingStudy/s1", study()).status_code == other.put("/ImagingStudy/free", study("free")).status_code
    )


def test_every_look_and_every_refusal_is_an_audit_event(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    treating.get(SEARCH)
    stranger.get(SEARCH)
    officer = caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    found = officer.get("/AuditEvent?patient=Patient/p1&subtype=search-type&outcome=0").json["entry"]
    event = found[0]["resource"]
    assert event["outcome"] == "0"
    assert {"reference": "ImagingStudy/s1/_history/1"} in [entity.get("what") for entity in event["entity"]]
    details = {d["type"]: d["valueString"] for entity in event["entity"] for d in entity.get("detail", ())}
    assert "EPISODE_ACTIVE" in details["reasons"]
    assert "EpisodeOfCare/e1/_history/1" in details["basis"]
    refused = steward.get("/AuditEvent?outcome=4").json["entry"]
    assert any("no care relationship" in e["resource"].get("outcomeDesc", "") for e in refused)
    assert treating.get("/AuditEvent").status_code == 403


def test_a_choice_that_names_a_persons_role_binds_them_there_and_changes_with_the_role(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    """The same doctor at another trust is somebody that the patient did not name; when the role moves, so does the choice."""

    def role(ods: str) -> dict[str, object]:
        return {
            "resourceType": "PractitionerRole",
            "id": "r1",
            "practitioner": {"reference": "Practitioner/dr"},
            "organization": {"reference": f"Organization/{ods.lower()}"},
        }

    steward.put("/Practitioner/dr", {"resourceType": "Practitioner", "id": "dr"})
    steward.put("/EpisodeOfCare/e2", episode("e2", "RXC"))
    assert steward.put("/PractitionerRole/r1", role("RXB")).status_code == 201
    receiver = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    nested = {"type": "deny", "actor": [{"role": receiver, "reference": {"reference": "PractitionerRole/r1"}}]}
    made = steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [nested]}))
    assert made.status_code == 201, made.text
    at_b, at_c = (
        caller(app, "app", ods, "user/*.rs", role="clinician", practitioner="Practitioner/dr") for ods in ("RXB", "RXC")
    )
    colleague = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/other")
    assert [one.ids("/ImagingStudy?patient=p1") for one in (at_b, at_c, colleague)] == [[], ["s1"], ["s1"]]
    assert steward.put("/PractitionerRole/r1", role("RXC")).status_code == 200
    assert [one.ids("/ImagingStudy?patient=p1") for one in (at_b, at_c, colleague)] == [["s1"], [], ["s1"]]
    for codes, seen in (
        (["doctor"], [[], ["s1"], ["s1"]]),
        (["clerical"], [["s1"]] * 3),
        (["ict"], [[], ["s1"], ["s1"]]),
    ):
        duties = [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/practitioner-role", "code": code}]}
            for code in codes
        ]
        assert steward.put("/PractitionerRole/r1", role("RXB") | {"code": duties}).status_code == 200
        found = [one.ids("/ImagingStudy?patient=p1") for one in (at_b, at_c, colleague)]
        assert found == seen, codes  # what nobody can compare refuses
