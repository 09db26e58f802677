"""Every recorded decision comes out the same when it is made again from history, on both databases; what does not is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from tests.support.region import NHS, STUDY_UID, Caller, caller, consent, episode, patient, settle, study

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018&_include=ImagingStudy:endpoint"


def replay(app: Flask, *options: str) -> tuple[int, dict[str, Any]]:
    answer = app.test_cli_runner().invoke(args=["audit", "replay", "--json", *options])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer.exit_code, json.loads(answer.stdout)


def evaluate(who: Caller, organisation: str, action: str) -> None:
    properties = {"organisation": organisation, "role": "clinician", "purpose": "TREAT"}
    asked = {
        "subject": {"type": "practitioner", "id": "dr-x", "properties": properties},
        "action": {"name": action},
        "resource": {"type": "ImagingStudy", "id": STUDY_UID},
    }
    answer = who.http.post("/access/v1/evaluation", json=asked, headers={"Authorization": f"Bearer {who.token}"})
    assert answer.status_code == 200, answer.text


def look(app: Flask) -> None:
    """Everybody asks, by several doors."""
    callers = [caller(app), caller(app, ods="RXC"), caller(app, ods="RXA"), caller(app, ods="RXB01")]
    callers.append(caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr-x"))
    callers.append(caller(app, "app", "RXB", "user/*.rs", role="clerical", practitioner="Practitioner/cl-y"))
    callers.append(caller(app, purpose="HRESCH"))
    for who in callers:
        for path in (SEARCH, "/ImagingStudy/s1", "/ImagingStudy", "/ImagingStudy/s1/_history"):
            assert who.get(path).status_code in (200, 403, 404)
    for organisation in ("RXA", "RXB", "RXC"):
        for action in ("discover", "read", "locate"):
            evaluate(caller(app, "gate", "RXA"), organisation, action)


@pytest.fixture
def lived(app: Flask) -> Flask:
    """A region in which things have happened, with looks in between."""
    steward = settle(app)
    steward.put("/Practitioner/dr-x", {"resourceType": "Practitioner", "id": "dr-x"})
    steward.put("/Patient/p2", patient("p2", "9990000026"))
    steward.put("/ImagingStudy/s2", study("s2", "1.2.826.2", subject="p2"))
    look(app)
    steward.put("/Consent/c1", consent())
    look(app)
    steward.put("/Consent/c2", consent("c2", "permit", dateTime="2026-02-15"))
    steward.put("/EpisodeOfCare/e1", episode(status="onhold"))
    look(app)
    team = {
        "resourceType": "CareTeam", "id": "mdt", "status": "active", "subject": {"reference": "Patient/p1"},
        "participant": [{"member": {"reference": "Practitioner/dr-x"}}], "period": {"start": "2026-01-01"},
    }  # fmt: skip
    steward.put("/CareTeam/mdt", team)
    look(app)
    merged = patient() | {"link": [{"type": "replaced-by", "other": {"reference": "Patient/p2"}}]}
    steward.put("/Patient/p1", merged)
    steward.put("/Consent/c3", consent("c3", subject="p2"))
    look(app)
    steward.put("/Patient/p1", patient() | {"deceasedBoolean": True})
    steward.delete("/EpisodeOfCare/e1")
    steward.delete("/Consent/c2")
    look(app)
    assert app.test_cli_runner().invoke(args=["audit", "link"]).exit_code == 0
    return app


def test_every_decision_comes_out_the_same(lived: Flask) -> None:
    status, report = replay(lived)
    assert report["differences"] == []
    assert status == 0 and report["decisions"] > 150


def test_a_decision_stays_what_it_was_when_the_regions_choices_change(lived: Flask, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("opt_out_binds_origin = true\nonhold_counts = 'never'\n")
    settings = lived.extensions["services"].settings
    other = create_app(
        Settings(
            database_url=settings.database_url, keys_dir=settings.keys_dir, policy_file=str(policy), log_level="error"
        )
    )
    look(other)
    assert other.test_cli_runner().invoke(args=["audit", "link"]).exit_code == 0
    for app in (other, lived):
        assert replay(app)[1]["differences"] == []
    other.extensions["services"].store.retry(lambda tx: tx.run("DELETE FROM policy_set"))
    status, report = replay(other)
    assert status == 1 and "was not kept" in report["differences"][0]
    other.extensions["services"].store.close()


def test_only_what_was_decided_since_is_made_again(lived: Flask) -> None:
    whole = replay(lived)[1]["decisions"]
    assert replay(lived, "--since", "2099-01-01")[1] == {"decisions": 0, "permissions": 0, "differences": []}
    assert replay(lived, "--since", "2020-01-01")[1]["decisions"] == whole
    wrong = lived.test_cli_runner().invoke(args=["audit", "replay", "--since", "yesterday"])
    assert wrong.exit_code == 2 and "expected one like" in wrong.output


def test_a_history_that_was_changed_gives_other_answers_and_they_are_named(lived: Flask) -> None:
    store = lived.extensions["services"].store
    with store.begin(reads=True) as tx:
        rows = tx.rows("SELECT content FROM history WHERE id = 'e1' AND version = 1")
    changed = bytes(rows[0][0]).replace(b'"active"', b'"planned"')
    store.retry(lambda tx: tx.run("UPDATE history SET content = ? WHERE id = 'e1' AND version = 1", changed))
    status, report = replay(lived)
    assert status == 1
    assert any("EPISODE_ACTIVE" in one and "EPISODE_PLANNED" in one for one in report["differences"])
    assert not any("9990000018" in one for one in report["differences"])


def test_a_record_that_was_changed_is_named_by_its_id(lived: Flask) -> None:
    store = lived.extensions["services"].store
    with store.begin(reads=True) as tx:
        seq, body = tx.rows(
            "SELECT seq, body FROM audit WHERE patient = 'Patient/p1' AND outcome = '0' AND action = 'E' ORDER BY seq LIMIT 1"
        )[0]
    said = json.loads(bytes(body))
    forged = bytes(body).replace(b"EPISODE_ACTIVE", b"CARETEAM_MDT")
    store.retry(lambda tx: tx.run("UPDATE audit SET body = ? WHERE seq = ?", forged, seq))
    status, report = replay(lived)
    assert status == 1
    assert [one.split(":")[0] for one in report["differences"]] == [said["id"]]


def test_a_version_that_was_not_yet_committed_when_the_decision_was_made_makes_no_difference(app: Flask) -> None:
    """On PostgreSQL a write that began before a look may commit after it."""
    steward = settle(app)
    store = app.extensions["services"].store
    caller(app).get(SEARCH)
    steward.put("/Consent/c1", consent())
    assert app.test_cli_runner().invoke(args=["audit", "link"]).exit_code == 0
    with store.begin(reads=True) as tx:
        at = tx.rows("SELECT min(at) FROM audit WHERE action = 'E'")[0][0]
    store.retry(lambda tx: tx.run("UPDATE resource SET updated = ? WHERE id = 'c1'", at - 5))
    assert replay(app)[1]["differences"] == []
