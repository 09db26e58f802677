"""Attack 73 of security.md 4: no person and no study in logs, metrics or errors, whatever is asked and however it fails.

Canaries are names, numbers and UIDs that occur nowhere else. They are stored, asked for and misused in every way, with the
log at its most talkative; then everything that the registry has said of itself is searched for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.config import Settings
from tests.support.region import NHS, Caller, caller, consent, episode, patient, settle, study

NUMBER, UID = "9990007438", "1.2.826.0.1.3680043.9.7777.424242"
NAMES = ("Quetzalcanary", "Zephyrcanary", "17CanaryLane", "canary.person@example.test")
SECRETS = (NUMBER, "999 000 7438", "999-000-7438", UID, *NAMES, "canary-patient", "canary-study", "canary-token")


@pytest.fixture
def talkative(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The application with its log as talkative as it gets."""
    settings = Settings(
        database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="debug", log_format="json"
    )
    app = create_app(settings)
    yield app
    app.extensions["services"].store.close()


def person() -> dict[str, Any]:
    return patient("canary-patient", NUMBER) | {
        "name": [{"family": NAMES[0], "given": [NAMES[1]]}],
        "address": [{"line": [NAMES[2]]}],
        "telecom": [{"system": "email", "value": NAMES[3]}],
    }


def requests(who: Caller) -> Iterator[TestResponse]:
    """Honest requests, mistaken ones and malicious ones."""
    honest = (
        "/Patient/canary-patient", "/ImagingStudy/canary-study", "/ImagingStudy/canary-study/_history",
        f"/ImagingStudy?patient.identifier={NHS}|{NUMBER}", f"/Patient?identifier={NHS}|{NUMBER}", f"/Patient?family={NAMES[0]}",
        f"/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{UID}", "/Patient/canary-patient/ImagingStudy",
        "/AuditEvent?patient=canary-patient", "/Patient/canary-patient/$disclosures",
    )  # fmt: skip
    wrong = (
        f"/Patient/{NUMBER}", f"/ImagingStudy/{UID}", f"/ImagingStudy?{NUMBER}=1", f"/Patient?birthdate={NUMBER}",
        f"/Patient?_sort={NAMES[0]}", f"/Patient?name:{NAMES[1]}=x", f"/{NAMES[0]}/1", f"/Patient?_include={NAMES[0]}:x",
        f"/ImagingStudy?_cursor={NAMES[0]}", f"/ImagingStudy?_count={NUMBER}x", f"/ImagingStudy/_history?_since={NUMBER}x",
        f"/ImagingStudy?started=ge{NUMBER}", f"/ImagingStudy/canary-study/_history/{NUMBER}", f"/${NAMES[0]}",
    )  # fmt: skip
    for path in (*honest, *wrong):
        yield who.get(path)
        yield who.get(path, Accept=NAMES[0], If_None_Match=NAMES[0], X_Request_ID="x" * 200, Prefer=NAMES[0])
    for body in (
        "{" + NAMES[0], f'{{"resourceType": "{NAMES[0]}"}}', json.dumps(person() | {"birthDate": NUMBER}),
        json.dumps(person() | {"nonsense": NAMES[1]}), json.dumps(person() | {"gender": NAMES[0]}), f"<Patient>{NAMES[0]}",
        json.dumps(study(UID, UID, subject=NAMES[0])), json.dumps([NAMES[0]]), "\0" + NAMES[0],
    ):  # fmt: skip
        yield who.post("/Patient", body)
        yield who.put("/Patient/canary-patient", body)
        yield who.post("/Patient", body, Content_Type="application/fhir+xml")
        yield who.post("", body)
        yield who.send("PATCH", "/Patient/canary-patient", body, Content_Type="application/json-patch+json")
        yield who.post("/Patient/$validate", body)
        yield who.post("/Consent/$record-choice", body)
        yield who.http.post("/access/v1/evaluation", data=body, headers={"Authorization": f"Bearer {who.token}"})
        yield who.http.post(
            "/auth/token", data={"grant_type": NAMES[0], "client_id": NAMES[1], "client_secret": "canary-token"}
        )
    for token in ("canary-token", f"{who.token}canary-token"):
        yield Caller(who.http, token).get("/Patient/canary-patient")
    yield who.http.get(f"/fhir/Patient?access_token=canary-token&identifier={NUMBER}")
    yield who.http.get(f"/{NAMES[0]}/{NUMBER}")
    yield who.http.open("/fhir/Patient", method="CANARY")


def settled(app: Flask) -> list[Caller]:
    steward = settle(app)
    for resource in (
        person(),
        study("canary-study", UID, subject="canary-patient"),
        episode("ce", subject="canary-patient"),
    ):
        assert steward.put(f"/{resource['resourceType']}/{resource['id']}", resource).status_code == 201
    officer = caller(app, "app", "RXB", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    return [steward, caller(app), caller(app, ods="RXC"), officer]


def told(app: Flask, capture: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything that is said of requests without being asked for: the log, and the metrics."""
    captured = capture.readouterr()
    metrics = app.test_client().get("/metrics").text
    assert "registry_requests_total" in metrics
    return {"standard error": captured.err, "standard output": captured.out, "metrics": metrics}


@pytest.mark.attack(73)
def test_73_no_canary_sings_in_logs_and_metrics(talkative: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    statuses = {answer.status_code for who in settled(talkative) for answer in requests(who)}
    assert statuses >= {200, 400, 401, 403, 404}
    assert not {status for status in statuses if status >= 500}, "bad input is never our fault"
    said = told(talkative, capsys)
    assert '"event": "request"' in said["standard error"], "the log is on"
    assert {where: [one for one in SECRETS if one in text] for where, text in said.items()} == {
        where: [] for where in said
    }


@pytest.mark.attack(73)
def test_73_no_canary_sings_when_the_database_fails(talkative: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    callers = settled(talkative)
    store = talkative.extensions["services"].store
    for table in ("identifier", "relationship", "directive", "history"):
        store.retry(lambda tx, table=table: tx.run(f"ALTER TABLE {table} RENAME TO {table}_away"))
    broken = [answer for who in callers for answer in requests(who)]
    assert any(answer.status_code >= 500 for answer in broken)
    for answer in broken:
        if answer.status_code >= 500:
            assert not [one for one in SECRETS if one in answer.text], answer.text
            assert "SELECT" not in answer.text and "Traceback" not in answer.text
    said = told(talkative, capsys)
    assert "request_failed" in said["standard error"] or "database_unavailable" in said["standard error"]
    assert {where: [one for one in SECRETS if one in text] for where, text in said.items()} == {
        where: [] for where in said
    }


@pytest.mark.attack(71, 73)
def test_73_errors_repeat_nothing_but_the_names_of_parameters(talkative: Flask) -> None:
    for who in settled(talkative)[1:3]:
        for answer in requests(who):
            if answer.status_code >= 400 and answer.content_type.startswith("application/fhir+json"):
                texts = [issue.get("details", {}).get("text", "") for issue in answer.json.get("issue", ())]
                sent = [one for one in SECRETS if one in unquote(answer.request.url)]
                found = [one for one in SECRETS for text in texts if one in text]
                assert set(found) <= set(sent), (answer.request.url, texts)
                assert not {NUMBER, UID} & set(found) or f"?{NUMBER}=" in answer.request.url, texts


@pytest.mark.attack(73)
def test_73_the_audit_holds_identifiers_and_no_names(talkative: Flask) -> None:
    callers = settled(talkative)
    for who in callers:
        who.get("/Patient/canary-patient")
        who.get(f"/ImagingStudy?patient.identifier={NHS}|{NUMBER}")
        who.put("/Patient/canary-patient", person())
    callers[0].put("/Consent/c9", consent("c9", subject="canary-patient"))
    with talkative.extensions["services"].store.begin(reads=True) as tx:
        rows = [bytes(body).decode() for (body,) in tx.rows("SELECT body FROM audit")]
    assert rows and not [one for one in NAMES for row in rows if one in row]
