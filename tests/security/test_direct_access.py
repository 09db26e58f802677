"""Attacks 23 to 31: what is withheld is asked for by its own name. The answer is that of a registry that never held it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.storage.engine import Tx
from tests.properties.hidden_requests import Ask
from tests.security.sides import ARCHIVE, DOCTOR, MR_UID, SYSTEM, Sides, alike
from tests.support.region import STUDY_UID, Caller, caller, consent, endpoint, patient, study

UID = f"identifier=urn:dicom:uid|urn:oid:{MR_UID}"
PATCH = (("Content-Type", "application/json-patch+json"),)
CANCEL = [{"op": "replace", "path": "/status", "value": "cancelled"}]


def report(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "report"},
        "subject": {"reference": "Patient/p1"},
    } | more


@pytest.mark.attack(23)
def test_a_withheld_study_is_read_like_one_that_never_was(sides: Sides) -> None:
    paths = [f"/ImagingStudy/{id}{shape}" for id in ("s2", "s3", "s4", "never") for shape in ("", "?_summary=true")]
    alike(sides, *paths, "/DiagnosticReport/r2", "/DiagnosticReport/r3", answers=[404])


@pytest.mark.attack(23)
def test_looking_for_what_is_withheld_asks_the_database_as_much_as_looking_for_what_never_was(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time it takes is of one class."""
    asked: list[str] = []
    for name in ("rows", "one"):
        real = getattr(Tx, name)
        monkeypatch.setattr(Tx, name, lambda tx, text, *rest, real=real: (asked.append(text), real(tx, text, *rest))[1])
    counts = {}
    for id in ("s2", "s3", "never", "s2", "s3", "never"):
        asked.clear()
        sides[0].answer(DOCTOR, Ask("GET", f"/ImagingStudy/{id}"))
        counts[id] = len(asked)
    assert len(set(counts.values())) == 1, counts


@pytest.mark.attack(24)
def test_a_version_that_could_once_be_seen_cannot_be_any_more(sides: Sides, steward: Caller, treating: Caller) -> None:
    paths = [f"/ImagingStudy/{id}/_history{rest}" for id in ("s2", "s3", "s4", "never") for rest in ("", "/1", "/2")]
    alike(sides, *paths, answers=[404])
    alike(sides, "/ImagingStudy/_history", "/_history", "/_history?_count=3", "/ImagingStudy/_history?_since=2020")
    assert treating.get("/ImagingStudy/s1/_history/1").status_code == 200
    steward.put("/ImagingStudy/s1", study(description="a second version"))
    steward.put("/Consent/c1", consent())
    for rest in ("", "/_history", "/_history/1", "/_history/2"):
        assert treating.get(f"/ImagingStudy/s1{rest}").status_code == 404
    entries = treating.get("/ImagingStudy/_history").json.get("entry", ())
    assert [one for one in entries if "ImagingStudy/s1" in one["fullUrl"]] == []


@pytest.mark.attack(24)
def test_a_version_that_could_not_be_seen_then_cannot_be_because_the_next_one_can(
    steward: Caller, treating: Caller
) -> None:
    """What was restricted when it was written stays so, though the study is not any more."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    refused = {"type": "deny", "securityLabel": [label]}
    steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [refused]}))
    secret = study("s9", f"{STUDY_UID}.9", meta={"security": [label]}, description="secret")
    steward.put("/ImagingStudy/s9", secret)
    steward.put("/ImagingStudy/s9", secret | {"meta": {"security": [label | {"code": "N"}]}, "description": "open"})
    assert treating.get("/ImagingStudy/s9").json["description"] == "open"
    assert treating.get("/ImagingStudy/s9/_history/1").status_code == 404
    assert "secret" not in treating.get("/ImagingStudy/s9/_history").text
    assert "secret" not in treating.get("/ImagingStudy/_history").text


@pytest.mark.attack(25)
def test_who_names_a_version_of_what_is_withheld_is_not_told_that_it_is_the_same(sides: Sides) -> None:
    for header in (
        ("If-None-Match", 'W/"2"'),
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ):
        alike(
            sides, *(Ask("GET", f"/ImagingStudy/{id}", headers=(header,)) for id in ("s2", "s3", "s4")), answers=[404]
        )


@pytest.mark.attack(26)
def test_a_conditional_write_does_not_find_what_is_withheld(sides: Sides) -> None:
    """An archive that has no study with this number is refused or answered as if nobody had: nothing is found, nothing
    is changed. Who brings the study itself has it already, and is told that it is registered."""
    changes = [
        Ask("DELETE", f"/ImagingStudy?{UID}"),
        Ask("PATCH", f"/ImagingStudy?{UID}", CANCEL, PATCH),
        Ask("DELETE", "/ImagingStudy?modality=MR"),
        Ask("DELETE", "/DiagnosticReport?code=18748-4"),
        Ask("PATCH", "/ImagingStudy?patient=p1&modality=MR", CANCEL, PATCH),
    ]
    for one in changes:
        alike(sides, one, who=[ARCHIVE, SYSTEM], answers=[204, 403, 404, 412])
    bodies = [sides[0].answer(DOCTOR, Ask("GET", "/ImagingStudy/s1"))]
    assert bodies[0][0][:3] == b"200"
    with sides[0].store.begin(reads=True) as tx:
        assert tx.rows("SELECT version, deleted FROM resource WHERE id = 's2'") == [(2, 0)]


@pytest.mark.attack(26)
def test_a_conditional_create_by_other_criteria_does_not_say_that_something_matched(sides: Sides) -> None:
    several = ("modality=MR", "patient=p1&started=2020-05-05", "identifier=urn:accession|ACC2")
    for number, criteria in enumerate(several, 77):
        made = report(performer=[{"reference": "Organization/rxb"}])
        new = {name: value for name, value in study("x", f"{STUDY_UID}.{number}", "RXB").items() if name != "id"}
        for body, kind in ((new, "ImagingStudy"), (made, "DiagnosticReport")):
            wanted = criteria if kind == "ImagingStudy" else "code=18748-4"
            answers = [
                side.answer(ARCHIVE, Ask("POST", f"/{kind}", body, (("If-None-Exist", wanted),)))[0] for side in sides
            ]
            assert answers[0] == answers[1]
            assert answers[0][:3] == b"201", answers[0]


@pytest.mark.attack(27)
def test_an_update_to_the_id_of_what_is_withheld_is_answered_like_one_to_a_free_id(sides: Sides) -> None:
    for id in ("s2", "s3", "s4", "free"):
        body = study(id, f"{STUDY_UID}.78", "RXB")
        alike(sides, Ask("PUT", f"/ImagingStudy/{id}", body), who=[ARCHIVE], answers=[403, 404, 405])
        alike(sides, Ask("PATCH", f"/ImagingStudy/{id}", CANCEL, PATCH), Ask("DELETE", f"/ImagingStudy/{id}"), who=[ARCHIVE], answers=[204, 403, 404])  # fmt: skip
    report_ = report(
        id="r2", imagingStudy=[{"reference": "ImagingStudy/s1"}], performer=[{"reference": "Organization/rxb"}]
    )
    alike(sides, Ask("PUT", "/DiagnosticReport/r2", report_), who=[ARCHIVE], answers=[403, 404, 405])


@pytest.mark.attack(29)
def test_an_archive_that_only_a_withheld_study_names_is_unknown(sides: Sides) -> None:
    alike(sides, "/Endpoint/archive-rxc", answers=[404])
    alike(sides, "/Endpoint", "/Endpoint?_id=archive-rxc", "/Endpoint?organization=Organization/rxc", "/Endpoint?organization.identifier=RXC", "/Endpoint?status=active&_total=accurate", "/Endpoint?_has:ImagingStudy:endpoint:modality=MR", "/Organization?_has:Endpoint:organization:status=active", "/Organization?_revinclude=Endpoint:organization")  # fmt: skip


@pytest.mark.attack(30)
def test_who_is_contained_is_found_by_nobody_and_opens_nothing(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    """A Patient or an Endpoint inside another resource is a part of it: no patient in anybody's care, no archive."""
    inner = [endpoint("RXC") | {"id": "inner"}, patient("me", "9990000026") | {"id": "me"}]
    refused = steward.put(
        "/ImagingStudy/s5", study("s5", f"{STUDY_UID}.5", contained=inner[1:], subject={"reference": "#me"})
    )
    assert refused.status_code in (201, 422)
    made = study("s6", f"{STUDY_UID}.6", contained=inner[:1], endpoint=[{"reference": "#inner"}])
    steward.put("/ImagingStudy/s6", made)
    steward.put("/Consent/c1", consent())
    for who in (treating, stranger):
        for path in ("/Endpoint/inner", "/Patient/me", "/ImagingStudy/s5", "/ImagingStudy/s6"):
            assert who.get(path).status_code == 404, path
        assert who.ids("/Patient?identifier=9990000026") == []
        assert "inner" not in who.ids("/Endpoint")
        assert "rxc.example" not in who.get("/Endpoint").text
        assert not {"s5", "s6"} & set(who.ids("/ImagingStudy"))


@pytest.mark.attack(30)
def test_a_clerk_is_not_given_the_archive_that_a_study_contains(app: Flask, steward: Caller) -> None:
    inner = endpoint("RXC") | {"id": "inner"}
    made = steward.put(
        "/ImagingStudy/s6", study("s6", f"{STUDY_UID}.6", contained=[inner], endpoint=[{"reference": "#inner"}])
    )
    assert made.status_code == 201, made.text
    clerk = caller(app, "app", "RXB", "user/*.rs", role="clerical", practitioner="Practitioner/clerk")
    shown = clerk.get("/ImagingStudy/s6")
    assert shown.status_code == 200
    assert "contained" not in shown.json and "rxc.example" not in shown.text


@pytest.mark.attack(31)
def test_what_is_attached_to_the_report_of_a_withheld_study_is_nowhere(sides: Sides) -> None:
    alike(sides, "/DiagnosticReport/r2", "/DiagnosticReport/r3", answers=[404])
    alike(sides, "/DiagnosticReport", "/DiagnosticReport?patient=p1&_include=DiagnosticReport:study", "/Patient/p1/DiagnosticReport", "/Patient/p1/$everything", "/DiagnosticReport/_history", "/ImagingStudy?_id=s1&_revinclude=DiagnosticReport:study")  # fmt: skip
    assert b"d2l0aGhlbGQ=" in sides[0].answer(DOCTOR, Ask("GET", "/DiagnosticReport/r1"))[0]
