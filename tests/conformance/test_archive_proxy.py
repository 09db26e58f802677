"""The proxy in front of archives: the same decision at every request, and only images of one study come through.

DICOM PS3.18, 10.4 and 10.6; attacks 1, 8, 16, 82 and 83 of the list in `tests/security`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.config import Settings
from app.demo.archive import instances
from app.demo.studies import studies
from tests.support.archive import PASSWORD, served
from tests.support.region import Caller, caller, consent, settle, study

HEAD = [one for one in instances() if one.study.id == "hazel-head"]
OTHER = next(one for one in instances() if one.study.id == "aspen-ct")
UID, SERIES, INSTANCE = HEAD[0].study_uid, HEAD[0].series_uid, HEAD[0].uid
SHAPED = ("series", "modality", "numberOfSeries", "numberOfInstances")
SHAPES = {
    one["id"]: {name: one[name] for name in SHAPED} for one in studies() if one["id"] in ("hazel-head", "aspen-ct")
}
BASE = "/archive/proxy/archive-rxa"
ONE = f"/studies/{UID}/series/{SERIES}/instances/{INSTANCE}"


@pytest.fixture(scope="module")
def pacs() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def app(database_url: str, tmp_path: Path, pacs: str) -> Iterator[Flask]:
    password, archives = tmp_path / "password", tmp_path / "archives.toml"
    password.write_text(PASSWORD)
    archives.write_text(
        f'[[archive]]\nendpoint = "archive-rxa"\naddress = "{pacs}/cedarholme-archive/"\n'
        f'username = "registry"\npassword_file = "{password}"\n'
        '[[archive]]\nendpoint = "gone"\naddress = "http://127.0.0.1:9/dicom-web"\n'
    )
    made = create_app(
        Settings(
            database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="error", archives_file=str(archives)
        )
    )
    yield made
    made.extensions["services"].store.close()


@pytest.fixture
def steward(app: Flask) -> Caller:
    """The region, where two studies of the demo archive are registered: one of p1, and one of nobody in care."""
    made = settle(app)
    registered = study("head", UID) | SHAPES["hazel-head"]
    answer = made.put("/ImagingStudy/head", registered)
    assert answer.status_code == 201, answer.text
    assert made.put("/Patient/p2", patient_two()).status_code == 201
    other = study("other", OTHER.study_uid, subject="p2") | SHAPES["aspen-ct"]
    assert made.put("/ImagingStudy/other", other).status_code == 201
    return made


def patient_two() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p2",
        "name": [{"family": "Demo", "given": ["Yew"]}],
        "gender": "male",
        "birthDate": "1980-01-01",
    }


def get(who: Caller, path: str, base: str = BASE, **headers: str) -> TestResponse:
    given = {"Authorization": f"Bearer {who.token}"} if who.token else {}
    return who.http.get(base + path, headers=given | headers)


FORMS = [
    (f"/studies/{UID}", "multipart/related"),
    (f"/studies/{UID}/metadata", "application/dicom+json"),
    (f"/studies/{UID}/series", "application/dicom+json"),
    (f"/studies?StudyInstanceUID={UID}", "application/dicom+json"),
    (f"/studies?0020000D={UID}&includefield=00081030%2C00080060&limit=101", "application/dicom+json"),
    (f"/studies/{UID}/series/{SERIES}", "multipart/related"),
    (f"/studies/{UID}/series/{SERIES}/metadata", "application/dicom+json"),
    (ONE, "multipart/related"),
    (f"{ONE}/metadata", "application/dicom+json"),
    (f"{ONE}/rendered", "image/jpeg"),
    (f"{ONE}/frames/1", "multipart/related"),
    (f"{ONE}/frames/1/rendered", "image/jpeg"),
]


def test_every_form_of_a_permitted_study_comes_through_and_of_no_other(treating: Caller, stranger: Caller) -> None:
    for path, kind in FORMS:
        comes_through(path, kind, treating, stranger)


def comes_through(path: str, kind: str, treating: Caller, stranger: Caller) -> None:
    answer = get(treating, path, Accept="image/jpeg, */*;q=0.1")
    assert (answer.status_code, answer.mimetype) == (200, kind), answer.text
    assert answer.data
    assert answer.headers["Cache-Control"] == "no-store" and "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Decision-Id"] and "Set-Cookie" not in answer.headers and "Server" not in answer.headers
    for who, said in (
        (stranger, "not available"),
        (Caller(stranger.http, ""), "no valid access token"),
        (Caller(stranger.http, "bad"), "no valid access token"),
    ):
        refused = get(who, path)
        assert refused.status_code == 403 and said in refused.text and refused.mimetype == "text/plain"


def test_an_opt_out_refuses_the_next_frame(treating: Caller, steward: Caller) -> None:
    assert get(treating, f"{ONE}/frames/1").status_code == 200
    steward.put("/Consent/c1", consent())
    assert get(treating, f"{ONE}/frames/1").status_code == 403
    assert get(treating, f"/studies?StudyInstanceUID={UID}").status_code == 403


@pytest.mark.attack(84)
def test_a_withheld_study_is_refused_like_one_that_never_was(treating: Caller, steward: Caller) -> None:
    steward.put("/Consent/c1", consent())
    answers = [get(treating, path) for path in (f"/studies/{UID}", "/studies/1.2.3.4.5", f"/studies/{OTHER.study_uid}")]
    assert {one.status_code for one in answers} == {403}
    assert len({one.data for one in answers}) == 1
    assert len({tuple(name for name, _ in one.headers) for one in answers}) == 1


LEAKS = [
    f"/studies?StudyInstanceUID={UID}&0020000D={OTHER.study_uid}",
    f"/studies?0020000D={OTHER.study_uid}&StudyInstanceUID={UID}",
    f"/studies?StudyInstanceUID={UID}&StudyInstanceUID={OTHER.study_uid}",
    f"/studies?StudyInstanceUID={UID}%5C{OTHER.study_uid}",
    f"/studies?StudyInstanceUID={UID},{OTHER.study_uid}",
    f"/studies/{UID}?StudyInstanceUID={OTHER.study_uid}",
    f"/studies/{UID}/series/{OTHER.series_uid}/metadata",
    f"/studies/{UID}/series/{SERIES}/instances/{OTHER.uid}/rendered",
    f"/studies/{UID}/../{OTHER.study_uid}",
    f"/studies/{UID}%2f..%2f{OTHER.study_uid}",
    "/studies",
    "/series",
    "/",
]


@pytest.mark.attack(82)
def test_nothing_of_another_study_comes_by_another_name(treating: Caller) -> None:
    for path in LEAKS:
        answer = get(treating, path)
        assert answer.status_code in (403, 404) and answer.mimetype in ("text/plain", "text/html"), path
        assert OTHER.study_uid.encode() not in answer.data


def test_only_configured_archives_are_asked_and_one_that_is_away_is_a_503(treating: Caller) -> None:
    assert get(treating, f"/studies/{UID}/metadata", "/archive/proxy/http:%2F%2F127.0.0.1").status_code == 404
    assert get(treating, f"/studies/{UID}/metadata", "/archive/proxy/nowhere").status_code == 404
    away = get(treating, f"/studies/{UID}/metadata", "/archive/proxy/gone")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")


def test_nothing_but_get_is_let_through(app: Flask, treating: Caller) -> None:
    headers = {"Authorization": f"Bearer {treating.token}"}
    for method in ("HEAD", "POST", "PUT", "DELETE", "PATCH"):
        assert app.test_client().open(f"{BASE}/studies/{UID}", method=method, headers=headers).status_code == 405


def test_a_token_reaches_no_further_than_its_scopes(app: Flask, steward: Caller) -> None:
    for scope, expected in (
        ("system/ImagingStudy.rs", 200),
        ("system/ImagingStudy.s", 403),
        ("system/Patient.rs", 403),
        ("system/ImagingStudy.rs?modality=CT", 200),
        ("system/ImagingStudy.rs?modality=MR", 403),
        ("patient/ImagingStudy.rs", 403),
    ):
        who = caller(app, "backend", "RXB", scope)
        assert get(who, f"{ONE}/rendered", Accept="image/png").status_code == expected, scope


@pytest.mark.attack(83)
def test_83_a_gates_own_token_is_nobodys(app: Flask, steward: Caller) -> None:
    """The archive's organisation made the study, but its gate asks for others, never for itself."""
    assert get(caller(app, "gate", "RXA"), f"/studies/{UID}/metadata").status_code == 403
    assert get(caller(app, "archive", "RXA"), f"/studies/{UID}/metadata").status_code == 200


def test_each_image_is_a_disclosure_in_the_audit_and_each_refusal_is_there(
    treating: Caller, stranger: Caller, steward: Caller
) -> None:
    shown = get(treating, f"{ONE}/rendered", Accept="image/png").headers["X-Decision-Id"]
    refused = get(stranger, f"{ONE}/rendered").headers["X-Decision-Id"]
    events = [e["resource"] for e in steward.get("/AuditEvent?patient=p1&type=110113&_count=10").json["entry"]]
    told = {
        detail["valueString"]: event["outcome"]
        for event in events
        for entity in event["entity"]
        for detail in entity.get("detail", ())
        if detail["type"] == "decision"
    }
    assert told[shown] == "0" and told[refused] == "4"
