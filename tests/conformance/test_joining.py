"""One study UID is one ImagingStudy, whichever archives send it, and no archive learns of another by sending it.

https://hl7.org/fhir/R4/imagingstudy.html · https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.fhir.study import counted
from tests.support.region import STUDY_UID, Caller, caller, endpoint, patient, study

UID = f"identifier=urn:dicom:uid|urn:oid:{STUDY_UID}"
MADE_BY = {"Endpoint/archive-rxa", "Endpoint/archive-rxb"}


@pytest.fixture
def archive(app: Flask, steward: Caller) -> Caller:
    """The archive of B, that has its own copy of the study which A registered."""
    assert steward.put("/Endpoint/archive-rxb", endpoint("RXB")).status_code == 201
    return caller(app, "archive", "RXB", purpose=None)


def copy(**more: Any) -> dict[str, Any]:
    made = study(ods="RXB", **more)
    del made["id"]
    return counted(made)


def series(uid: str, *numbers: int) -> dict[str, Any]:
    made = study()["series"][0]
    made["uid"] = uid
    made["instance"] = [made["instance"][0] | {"uid": f"{uid}.{number}", "number": number} for number in numbers]
    return dict(made, numberOfInstances=len(numbers))


def the_study(steward: Caller) -> dict[str, Any]:
    """The only one with the UID."""
    found = steward.get(f"/ImagingStudy?{UID}").json["entry"]
    assert len(found) == 1
    return dict(found[0]["resource"])


def endpoints(resource: dict[str, Any]) -> set[str]:
    return {one["reference"] for one in resource["endpoint"]}


@pytest.mark.parametrize("way", ["create", "conditional create", "conditional update", "transaction", "batch"])
def test_a_second_archive_adds_its_endpoint_and_what_it_holds(archive: Caller, steward: Caller, way: str) -> None:
    sent = copy(series=[series(f"{STUDY_UID}.1", 1), series(f"{STUDY_UID}.2", 1, 2)])
    entry = {"fullUrl": "urn:uuid:0d0a2c1e-0000-4000-8000-000000000001", "resource": sent}
    entry["request"] = {"method": "POST", "url": "ImagingStudy", "ifNoneExist": UID}
    match way:
        case "create":
            answer = archive.post("/ImagingStudy", sent)
        case "conditional create":
            answer = archive.post("/ImagingStudy", sent, If_None_Exist=UID)
        case "conditional update":
            answer = archive.put(f"/ImagingStudy?{UID}", sent)
        case _:
            bundle = {"resourceType": "Bundle", "type": way, "entry": [entry]}
            answer = archive.post("", bundle)
            assert answer.status_code == 200, answer.text
            assert answer.json["entry"][0]["response"]["status"].startswith("201"), answer.text
            assert "resource" not in answer.json["entry"][0]
    if way not in ("transaction", "batch"):
        assert answer.status_code == 201, answer.text
        assert answer.data == b""
        assert answer.headers["Location"].endswith("/ImagingStudy/s1")
        assert "ETag" not in answer.headers
    whole = the_study(steward)
    assert endpoints(whole) == MADE_BY
    assert (whole["numberOfSeries"], whole["numberOfInstances"]) == (2, 3)
    assert endpoints(whole["series"][1]) == {"Endpoint/archive-rxb"}


def test_sending_the_same_again_changes_nothing(archive: Caller, steward: Caller) -> None:
    assert archive.post("/ImagingStudy", copy(), If_None_Exist=UID).status_code == 201
    first = the_study(steward)
    again = archive.post("/ImagingStudy", copy(), If_None_Exist=UID)
    assert (again.status_code, again.data) == (200, b"")
    assert the_study(steward) == first


def test_the_study_stays_with_its_origin_and_the_second_archive_reads_no_more_than_before(
    app: Flask, archive: Caller, steward: Caller
) -> None:
    location = archive.post("/ImagingStudy", copy(), If_None_Exist=UID).headers["Location"]
    origin = caller(app, "archive", "RXA", purpose=None)
    changed = the_study(steward)
    assert origin.put("/ImagingStudy/s1", changed | {"description": "CT"}).status_code == 200
    assert archive.put("/ImagingStudy/s1", changed | {"description": "CT of the chest"}).status_code == 404
    assert location.endswith("/ImagingStudy/s1")


def test_an_origin_that_sends_its_own_study_again_is_shown_it(app: Flask, archive: Caller, steward: Caller) -> None:
    archive.post("/ImagingStudy", copy(), If_None_Exist=UID)
    origin = caller(app, "archive", "RXA", purpose=None)
    sent = counted(study(series=[series(f"{STUDY_UID}.1", 1, 2)]))
    answer = origin.post("/ImagingStudy", sent)
    assert answer.status_code == 200, answer.text
    assert answer.json["numberOfInstances"] == 2
    assert endpoints(the_study(steward)) == MADE_BY


def test_an_identity_collision_is_refused_with_an_alarm_and_changes_nothing(
    archive: Caller, steward: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steward.put("/Patient/p2", patient("p2", "9990000026")).status_code == 201
    before = the_study(steward)
    for sent, said in (
        (copy(subject="p2"), "the study uid is known under another patient; refused"),
        (
            copy(series=[series(f"{STUDY_UID}.7", 1) | {"instance": study()["series"][0]["instance"]}]),
            "a sop instance uid is known under another series; refused",
        ),
    ):
        answer = archive.post("/ImagingStudy", sent, If_None_Exist=UID)
        assert answer.status_code == 409, answer.text
        assert answer.json["issue"][0]["details"]["text"] == said
        assert "identity_collision" in capsys.readouterr().err
    assert the_study(steward) == before


def test_joined_records_of_one_person_are_no_collision(archive: Caller, steward: Caller) -> None:
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    assert steward.put("/Patient/old", patient("old", "9990000026") | {"link": link}).status_code == 201
    answer = archive.post("/ImagingStudy", copy(subject="old"))
    assert answer.status_code == 201, answer.text
    whole = the_study(steward)
    assert endpoints(whole) == MADE_BY
    assert whole["subject"] == {"reference": "Patient/p1"}


def test_a_study_withdrawn_as_wrong_is_not_taken_again(archive: Caller, steward: Caller) -> None:
    assert steward.put("/ImagingStudy/s1", study(status="entered-in-error")).status_code == 200
    answer = archive.post("/ImagingStudy", copy(), If_None_Exist=UID)
    assert answer.status_code == 409
    assert endpoints(the_study(steward)) == {"Endpoint/archive-rxa"}


@pytest.fixture
def origin(app: Flask, archive: Caller) -> Caller:
    """The archive of A, after B's has added a series of its own to A's study."""
    sent = copy(series=[series(f"{STUDY_UID}.1", 1), series(f"{STUDY_UID}.2", 1, 2)])
    assert archive.post("/ImagingStudy", sent, If_None_Exist=UID).status_code == 201
    return caller(app, "archive", "RXA", purpose=None)


def held_by(study: dict[str, Any]) -> dict[str, set[str]]:
    """The archives of each series: its own, else those of the study."""
    return {one["uid"]: endpoints(one) if "endpoint" in one else endpoints(study) for one in study["series"]}


BOTH_HOLD = {f"{STUDY_UID}.1": MADE_BY, f"{STUDY_UID}.2": {"Endpoint/archive-rxb"}}


def test_an_origin_s_update_by_id_keeps_what_another_archive_holds(origin: Caller, steward: Caller) -> None:
    answer = origin.put("/ImagingStudy/s1", study(description="CT of the chest"))
    assert answer.status_code == 200, answer.text
    whole = the_study(steward)
    assert answer.json == whole
    assert (whole["description"], held_by(whole)) == ("CT of the chest", BOTH_HOLD)
    again = origin.put("/ImagingStudy/s1", study(description="CT of the chest"))
    assert (again.status_code, again.json["meta"]["versionId"]) == (200, whole["meta"]["versionId"])


@pytest.mark.parametrize("way", ["json", "merge"])
def test_an_origin_s_patch_keeps_what_another_archive_holds(origin: Caller, steward: Caller, way: str) -> None:
    kind, change = {
        "json": ("application/json-patch+json", [{"op": "replace", "path": "/endpoint", "value": study()["endpoint"]}]),
        "merge": (
            "application/merge-patch+json",
            {name: study()[name] for name in ("endpoint", "series", "numberOfSeries", "numberOfInstances")},
        ),
    }[way]
    assert origin.send("PATCH", "/ImagingStudy/s1", change, Content_Type=kind).status_code == 200
    assert held_by(the_study(steward)) == BOTH_HOLD


def test_an_origin_may_take_its_own_archive_away_and_leave_the_other(origin: Caller, steward: Caller) -> None:
    accession = {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
        "system": "https://rxa.example/accession",
        "value": "77",
        "assigner": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RXA"}},
    }
    given_up = the_study(steward)
    given_up["identifier"].append(accession)
    given_up |= {"status": "cancelled", "endpoint": [{"reference": "Endpoint/archive-rxb"}]}
    given_up["series"] = [
        {name: value for name, value in one.items() if name != "endpoint"} for one in given_up["series"]
    ]
    assert origin.put("/ImagingStudy/s1", given_up).status_code == 200
    whole = the_study(steward)
    assert (whole["status"], endpoints(whole)) == ("available", {"Endpoint/archive-rxb"})


def test_an_origin_s_word_that_a_study_is_wrong_stands_whoever_holds_it(origin: Caller, steward: Caller) -> None:
    assert origin.put("/ImagingStudy/s1", study(status="entered-in-error")).status_code == 200
    assert the_study(steward)["status"] == "entered-in-error"


def test_an_origin_cannot_delete_what_another_archive_holds(origin: Caller, steward: Caller) -> None:
    answer = origin.delete("/ImagingStudy/s1")
    assert answer.status_code == 409
    assert answer.json["issue"][0]["details"]["text"] == (
        "another archive holds this study too; expected its own endpoint to be taken away instead"
    )
    assert held_by(the_study(steward)) == BOTH_HOLD
    assert steward.delete("/ImagingStudy/s1").status_code == 204


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_an_archive_withdraws_by_the_study_uid_what_is_its_own_alone(
    archive: Caller, origin: Caller, steward: Caller, status: str
) -> None:
    assert archive.put(f"/ImagingStudy?{UID}", copy(status=status)).status_code == 200
    whole = the_study(steward)
    assert (whole["status"], held_by(whole)) == ("available", {f"{STUDY_UID}.1": {"Endpoint/archive-rxa"}})
    assert origin.put(f"/ImagingStudy?{UID}", copy(status=status, endpoint=study()["endpoint"])).status_code == 200
    last = the_study(steward)
    assert (last["status"], "endpoint" in last) == (status, False)
