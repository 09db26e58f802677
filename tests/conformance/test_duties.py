"""What a decision obliges to is done: a Task for somebody who can put it right, once and not once a request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask import Flask

from app.fhir.registry import TYPES
from app.interactions import Services
from app.storage import resources
from app.storage.engine import Tx
from tests.doors.doors import ALL
from tests.support.region import STUDY_UID, Caller, caller, consent, patient, study

SEARCH = "/ImagingStudy?patient=p1"


def tasks(steward: Caller) -> list[dict[str, Any]]:
    return [e["resource"] for e in steward.get("/Task").json.get("entry", ())]


def codes(steward: Caller) -> list[str]:
    return sorted(one["code"]["coding"][0]["code"] for one in tasks(steward))


def test_several_consents_in_force_are_one_task_until_one_of_them_changes(
    app: Flask, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    steward.put("/Consent/c1", consent())
    treating.get(SEARCH)
    assert tasks(steward) == []
    steward.put("/Consent/c2", consent("c2", "permit"))
    for _ in range(3):
        treating.get(SEARCH)
        treating.get("/ImagingStudy/s1")
        stranger.get(SEARCH)
        treating.get("/ImagingStudy")
    assert codes(steward) == ["CONFLICT_TASK"]
    made = tasks(steward)[0]
    assert (made["status"], made["for"], made["focus"]) == (
        "requested",
        {"reference": "Patient/p1"},
        {"reference": "Consent/c1"},
    )
    assert made["input"][0]["valueReference"] == {"reference": "Consent/c2"}
    assert made["owner"]["identifier"]["value"] == "RXA"
    steward.put("/Consent/c2", consent("c2", "permit", dateTime="2026-01-14"))
    treating.get(SEARCH)
    assert codes(steward) == ["CONFLICT_TASK", "CONFLICT_TASK"]


def test_a_conflict_is_raised_though_the_request_is_refused_openly(steward: Caller, stranger: Caller) -> None:
    steward.put("/Consent/c1", consent())
    steward.put("/Consent/c2", consent("c2", "permit"))
    assert stranger.get(SEARCH).status_code == 403
    assert codes(steward) == ["CONFLICT_TASK"]


def test_a_consent_that_cannot_be_understood_is_a_task_of_the_organisation_that_keeps_it(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    services: Services = app.extensions["services"]
    forced = {name: value for name, value in consent(provision={"type": "maybe"}).items() if name != "id"}
    services.store.retry(lambda tx: resources.create(tx, ALL, forced, "c1"))
    for _ in range(2):
        assert treating.ids(SEARCH) == []
    assert codes(steward) == ["ALERT_DQ"]
    officer = caller(app, "app", "RXA", "user/*.rs", role="privacy", practitioner="Practitioner/ig")
    assert len(officer.ids("/Task")) == 1


@pytest.mark.attack(59)
def test_links_that_cannot_be_followed_are_a_task(steward: Caller, treating: Caller) -> None:
    def linked(id: str, other: str) -> dict[str, Any]:
        link = {"type": "replaced-by", "other": {"reference": f"Patient/{other}"}}
        return patient(id, "9990000026" if id == "p2" else "9990000018") | {"link": [link]}

    steward.put("/Patient/p2", patient("p2", "9990000026"))
    for id, other in (("p1", "p2"), ("p2", "p1")):
        assert steward.put(f"/Patient/{id}", linked(id, other)).status_code == 200
    assert treating.ids(SEARCH) == []
    assert codes(steward) == ["ALERT_DQ"]


@pytest.mark.attack(56)
def test_emergency_access_without_a_grant_alerts_privacy_once_a_day_for_each_who_tries(
    app: Flask, steward: Caller
) -> None:
    for ods in ("RXB", "RXC"):
        who = caller(app, "app", ods, "user/*.rs", role="clinician", purpose="BTG", practitioner="Practitioner/dr")
        who.get(SEARCH)
        who.get(SEARCH)
    assert codes(steward) == ["ALERT_PRIVACY", "ALERT_PRIVACY"]


def granted(app: Flask, hours: int = 2) -> int:
    """An emergency grant of the doctor at B for p2, who is nobody's patient there. The instant it was given."""
    store = app.extensions["services"].store
    at = int(store.clock())

    def work(tx: Tx) -> None:
        rid = tx.rows("SELECT patient FROM person WHERE id = 'p2'")[0][0]
        tx.run(
            "INSERT INTO emergency_grant (patient, id, version, practitioner, organisation, low, high, reason, note, revoked)"
            " VALUES (?, 'grant-1', 1, 'Practitioner/dr', 'ods:RXB', ?, ?, 'emergency', '', FALSE)",
            rid,
            at - 60_000_000,
            at + hours * 3_600_000_000,
        )

    store.retry(work)
    return at


def test_a_broken_glass_is_reviewed_and_told_to_the_privacy_officers_of_both_sides_once_and_names_nobody(
    app: Flask, steward: Caller
) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2", subject="p2"))
    steward.put("/ImagingStudy/s3", study("s3", f"{STUDY_UID}.3", subject="p2"))
    granted(app)
    doctor = caller(app, "app", "RXB", "user/*.rs", role="clinician", purpose="BTG", practitioner="Practitioner/dr")
    for _ in range(3):
        assert sorted(doctor.ids("/ImagingStudy?patient=p2")) == ["s2", "s3"]
        assert doctor.get("/ImagingStudy/s2").status_code == 200
    assert codes(steward) == ["REVIEW_WORKLIST"]
    found = {}
    for ods in ("RXA", "RXB", "RXC"):
        officer = caller(app, "app", ods, "user/*.rs", role="privacy", practitioner="Practitioner/ig")
        found[ods] = [e["resource"] for e in officer.get("/Communication").json.get("entry", ())]
    assert {ods: [one["category"][0]["coding"][0]["code"] for one in told] for ods, told in found.items()} == {
        "RXA": ["NOTIFY_SOURCE_ORG"],
        "RXB": ["NOTIFY_PRIVACY_OFFICER"],
        "RXC": [],
    }
    review = tasks(steward)[0]
    assert found["RXB"][0]["about"][0] == {"reference": f"Task/{review['id']}"}
    assert found["RXA"][0]["about"][-1]["identifier"]["value"] == "grant-1"
    for told in (*found["RXA"], *found["RXB"]):
        body = {name: value for name, value in told.items() if name not in ("id", "meta")}
        assert not any(secret in orjson.dumps(body) for secret in (b"p2", b"9990000026", b"Practitioner/dr", b"s2"))
        checked = steward.post("/Communication/$validate", told).json
        assert [one for one in checked["issue"] if one["severity"] in ("error", "fatal")] == []


def test_word_of_a_broken_glass_is_a_change_that_is_notified(app: Flask, steward: Caller) -> None:
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2", subject="p2"))
    granted(app)
    doctor = caller(app, "app", "RXB", "user/*.rs", role="clinician", purpose="BTG", practitioner="Practitioner/dr")
    doctor.get("/ImagingStudy/s2")
    with app.extensions["services"].store.begin(reads=True) as tx:
        kinds = {TYPES["Task"].code: "Task", TYPES["Communication"].code: "Communication"}
        changed = [kinds[kind] for (kind,) in tx.rows("SELECT type FROM change ORDER BY seq") if kind in kinds]
    assert sorted(changed) == ["Communication", "Communication", "Task"]


def test_no_ordinary_client_sees_the_tasks(app: Flask, steward: Caller, treating: Caller) -> None:
    steward.put("/Consent/c1", consent())
    steward.put("/Consent/c2", consent("c2", "permit"))
    treating.get(SEARCH)
    clinician = caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr")
    assert clinician.get("/Task").status_code == 403
    assert all("Task" not in str(e) for e in treating.get("/_history").json.get("entry", ()))


def test_choices_made_for_a_child_are_reviewed_once_when_the_child_comes_of_age(app: Flask, steward: Caller) -> None:
    """P20: three months before the sixteenth birthday, and not before; the patient's own choice needs none, nor one made
    for somebody grown up."""
    services: Services = app.extensions["services"]
    for id, born in (("p1", "2010-03-01"), ("p2", "2012-03-01"), ("p3", "2010-03-01"), ("p4", "1970")):
        child = patient(id, f"99900000{18 + 8 * int(id[1])}") | {"birthDate": born}
        assert steward.put(f"/Patient/{id}", child).status_code in (200, 201)
        by = {"reference": f"Patient/{id}"} if id == "p3" else {"display": "a parent"}
        made = steward.put(f"/Consent/{id}", consent(id, subject=id, performer=[by]))
        assert made.status_code == 201, made.text
    services.store.clock = lambda: 1_773_136_800_000_000  # 2026-03-10
    assert app.test_cli_runner().invoke(args=["policy", "review"]).output == "1 review opened\n"
    assert app.test_cli_runner().invoke(args=["policy", "review"]).output == "0 reviews opened\n"
    with services.store.begin(reads=True) as tx:
        rows = tx.rows("SELECT content FROM resource WHERE type = 17")
    assert sorted(orjson.loads(content)["for"]["reference"] for (content,) in rows) == ["Patient/p1"]
