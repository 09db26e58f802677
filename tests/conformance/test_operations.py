"""Patient/$everything, Patient/$match and ImagingStudy/$explain-access: each no wider than a search would be."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.support.region import NHS, STUDY_UID, Caller, caller, consent, patient, study


def everything(who: Caller, path: str = "/Patient/p1/$everything") -> list[str]:
    """What is in it, page by page."""
    found: list[str] = []
    while path:
        answer = who.get(path)
        assert answer.status_code == 200, answer.text
        entries = [entry["resource"] for entry in answer.json.get("entry", ())]
        found += [f"{one['resourceType']}/{one['id']}" for one in entries]
        following = [link["url"] for link in answer.json["link"] if link["relation"] == "next"]
        path = following[0].split("/fhir")[1] if following else ""
    return found


def test_everything_is_the_patient_the_record_and_whom_it_names(steward: Caller, treating: Caller) -> None:
    found = everything(treating)
    assert found[0] == "Patient/p1"
    assert set(found) == {
        "Patient/p1", "ImagingStudy/s1", "Endpoint/archive-rxa", "EpisodeOfCare/e1", "Organization/rxb"
    }  # fmt: skip
    assert everything(treating, "/Patient/p1/$everything?_type=ImagingStudy&start=2027") == []


def test_pages_of_everything_lack_nothing_and_repeat_nothing(steward: Caller, treating: Caller) -> None:
    for n in range(5):
        steward.put(f"/ImagingStudy/x{n}", study(f"x{n}", f"{STUDY_UID}.{n + 10}"))
    paged = everything(treating, "/Patient/p1/$everything?_count=2")
    assert set(paged) == set(everything(treating))
    of_record = [one for one in paged if not one.startswith(("Endpoint", "Organization"))]
    assert len(of_record) == len(set(of_record)) == 8


@pytest.mark.attack(46)
def test_everything_leaves_out_what_is_withheld(steward: Caller, treating: Caller, stranger: Caller) -> None:
    steward.put("/Consent/c1", consent())
    assert set(everything(treating)) == {"Patient/p1", "EpisodeOfCare/e1", "Organization/rxb"}
    known, never = stranger.get("/Patient/p1/$everything"), stranger.get("/Patient/nobody/$everything")
    assert (known.status_code, known.data) == (never.status_code, never.data) == (404, never.data)


@pytest.mark.parametrize(
    "wrong", ["_type=Device", "colour=red", "_count=x", f"_count={'9' * 5000}", "start=2026&start=2027"]
)
def test_what_everything_does_not_know_is_refused_with_its_name(treating: Caller, wrong: str) -> None:
    answer = treating.get(f"/Patient/p1/$everything?{wrong}")
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (400, [wrong.split("=")[0]])


@pytest.mark.parametrize("path", ["/Patient/p1/_history", "/Patient/p1/$disclosures", "/EpisodeOfCare/e1/$prefetch"])
@pytest.mark.parametrize("count", ["x", "-1", "٣", "9" * 5000])
def test_a_count_that_is_no_number_is_refused_everywhere(steward: Caller, path: str, count: str) -> None:
    answer = steward.get(f"{path}?_count={count}")
    assert (answer.status_code, answer.json["issue"][0]["expression"]) == (400, ["_count"]), answer.text


def asked(resource: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = [{"name": "resource", "resource": resource}]
    named += [
        {"name": name, "valueBoolean" if value is True else "valueInteger": value} for name, value in more.items()
    ]
    return {"resourceType": "Parameters", "parameter": named}


def graded(answer: Any) -> list[tuple[str, str, float]]:
    assert answer.status_code == 200, answer.text
    return [
        (entry["resource"]["id"], entry["search"]["extension"][0]["valueCode"], entry["search"]["score"])
        for entry in answer.json.get("entry", ())
    ]


def test_a_feed_finds_anyone_by_number_and_demographics(steward: Caller, stranger: Caller) -> None:
    number = {"system": NHS, "value": "9990000018"}
    by_all = {"resourceType": "Patient", "identifier": [number], "birthDate": "1970-02-03"}
    assert graded(stranger.post("/Patient/$match", asked(by_all))) == [("p1", "certain", 1.0)]
    other_day = by_all | {"birthDate": "1971-02-03"}
    assert graded(stranger.post("/Patient/$match", asked(other_day))) == [("p1", "possible", 0.5)]
    assert graded(stranger.post("/Patient/$match", asked(other_day, onlyCertainMatches=True))) == []
    by_name = {"resourceType": "Patient", "name": [{"family": "DEMO", "given": ["willow"]}], "birthDate": "1970-02-03"}
    assert graded(stranger.post("/Patient/$match", asked(by_name))) == [("p1", "probable", 0.8)]
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    assert len(graded(stranger.post("/Patient/$match", asked(by_name, count=1)))) == 1


@pytest.mark.attack(46)
def test_a_person_matches_only_those_in_their_care(app: Flask, steward: Caller) -> None:
    number = {"system": NHS, "value": "9990000018"}
    wanted = asked({"resourceType": "Patient", "identifier": [number], "birthDate": "1970-02-03"})
    for ods, found in (("RXB", 1), ("RXC", 0)):
        who = caller(app, "app", ods, "user/*.rs", role="clinician", practitioner="Practitioner/dr")
        assert len(graded(who.post("/Patient/$match", wanted))) == found


@pytest.mark.parametrize(
    ("body", "status"),
    [({"resourceType": "Parameters"}, 400), (asked({"resourceType": "Group"}), 400), (asked({"resourceType": "Patient"}), 422),
     (asked({"resourceType": "Patient", "name": [{"family": "Demo"}]}), 422)],
)  # fmt: skip
def test_too_little_to_match_by_is_refused(stranger: Caller, body: dict[str, Any], status: int) -> None:
    assert stranger.post("/Patient/$match", body).status_code == status


def decisions(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found = []
    for one in answer.json.get("parameter", ()):
        told: dict[str, Any] = {}
        for part in one["part"]:
            value = next((v for k, v in part.items() if k.startswith("value")), part.get("part"))
            told.setdefault(part["name"], []).append(value)
        found.append(told)
    return found


def test_one_is_told_why_one_sees_what_one_sees_and_nothing_of_what_is_withheld(
    steward: Caller, treating: Caller, stranger: Caller
) -> None:
    told = decisions(treating.get("/ImagingStudy/$explain-access?patient=p1"))
    assert [(one["study"][0]["reference"], one["effect"], one["reason"][0]) for one in told] == [
        ("ImagingStudy/s1", ["PERMIT"], "EPISODE_ACTIVE")
    ]
    assert "rule" not in told[0] and "expires" in told[0]
    assert decisions(treating.get("/ImagingStudy/s1/$explain-access")) == told or told
    steward.put("/Consent/c1", consent())
    assert decisions(treating.get("/ImagingStudy/$explain-access?patient=p1")) == []
    hidden, never = treating.get("/ImagingStudy/s1/$explain-access"), treating.get("/ImagingStudy/none/$explain-access")
    assert (hidden.status_code, hidden.data) == (never.status_code, never.data) == (404, never.data)
    for id in ("p1", "nobody"):
        assert stranger.get(f"/ImagingStudy/$explain-access?patient={id}").status_code == 404
    assert treating.get("/ImagingStudy/$explain-access?patient=p1&organization=RXC").status_code == 403


def test_the_privacy_role_is_told_every_rule_for_anyone(app: Flask, steward: Caller) -> None:
    steward.put("/Consent/c1", consent())
    officer = caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    asks = "patient=https://fhir.nhs.uk/Id/nhs-number|9990000018&organization=RXB&practitioner=dr"
    for answer in (
        officer.get(f"/ImagingStudy/$explain-access?{asks}"),
        officer.get("/ImagingStudy/s1/$explain-access?organization=RXB&practitioner=dr"),
        officer.post(
            "/ImagingStudy/$explain-access",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "patient", "valueString": "p1"}, {"name": "organization", "valueCode": "RXB"}],
            },
        ),
    ):
        told = decisions(answer)
        assert [(one["effect"], one["reason"]) for one in told] == [(["DENY"], ["CONSENT_BASE_DENY"])]
        assert len(told[0]["rule"]) == 13
        assert "Consent/c1/_history/1" in told[0]["basis"]
    origin = decisions(officer.get("/ImagingStudy/$explain-access?patient=p1&organization=RXA"))
    assert origin[0]["reason"] == ["ORIGIN"]
    before = decisions(officer.get("/ImagingStudy/$explain-access?patient=p1&organization=RXB&at=2025-01-01"))
    assert before[0]["reason"][0] == "EPISODE_OUT_OF_PERIOD"


@pytest.mark.parametrize("wrong", ["colour=red", "patient=p1&role=king", "patient=p1&at=soon", ""])
def test_what_explain_access_does_not_know_is_refused(app: Flask, steward: Caller, wrong: str) -> None:
    officer = caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    assert officer.get(f"/ImagingStudy/$explain-access?{wrong}").status_code == 400
