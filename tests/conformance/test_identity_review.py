"""Studies whose patient is in doubt: who waits, what a person decides, and that nothing is guessed, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from pydicom.dataset import Dataset

from app.access import audit_cli
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.ingest import archive, identity_cli, sync
from app.ingest.files import Read
from app.ingest.report import Report
from app.interactions import Asked, Services
from app.pathways import identity_review
from tests.support.region import NHS, Caller, caller, endpoint, patient

NUMBER = "9990000018"  # of p1, a woman born on 1970-02-03


def desk(ods: str = "RXA", role: str = "privacy") -> Asked:
    who = f"Practitioner/{role}-{ods}"
    return Asked(Subject("desk", "user", f"ods:{ods}", role, practitioner=who, scopes=("user/*.cruds",), user="desk"))


def image(study: str = "1.2.9", number: str = NUMBER, **elements: Any) -> Dataset:
    made = Dataset()
    stated = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "SOPInstanceUID": f"{study}.1.1",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "Modality": "CT",
        "PatientID": number,
        "IssuerOfPatientID": "NHS",
        "PatientName": "Canary^Willow",
        "PatientBirthDate": "19700302",
    } | elements
    for keyword, value in stated.items():
        setattr(made, keyword, value)
    return made


@pytest.fixture
def services(app: Flask, steward: Caller) -> Services:
    assert steward.put("/Endpoint/archive-rxb", endpoint("RXB")).status_code == 201
    return app.extensions["services"]  # type: ignore[no-any-return]


def ingested(services: Services, *images: Dataset, of: str = "archive-rxa") -> Report:
    found = archive.archive(services, of)
    return sync.ingest((Read("x", one) for one in images), found.source, found.registry)


def the_hold(services: Services, asked: Asked | None = None) -> identity_review.Hold:
    (found,) = identity_review.holds(services, asked or desk())
    return found


def stored(steward: Caller, uid: str = "1.2.9") -> dict[str, Any] | None:
    found = steward.get(f"/ImagingStudy?identifier=urn:oid:{uid}").json.get("entry", [])
    return found[0]["resource"] if found else None


def test_a_mismatch_waits_with_what_the_archive_says_and_who_it_may_be(services: Services, steward: Caller) -> None:
    report = ingested(services, image())
    assert [one["code"] for one in report.held] == ["birth-date-mismatch"]
    assert stored(steward) is None
    held = the_hold(services)
    assert (held.study_uid, held.endpoint, held.organisation) == ("1.2.9", "Endpoint/archive-rxa", "RXA")
    assert held.said == identity_review.Said("Canary^Willow", "1970-03-02", None, ((NHS, NUMBER),))
    (candidate,) = held.candidates
    assert (candidate.patient, candidate.number, candidate.agrees, candidate.differs) == (
        "Patient/p1", NUMBER, ("number",), ("birth date",),
    )  # fmt: skip
    assert identity_review.hold(services, desk(), held.id) == held


def test_a_hold_is_a_task_of_the_archive_s_organisation_that_names_nobody(
    app: Flask, services: Services, steward: Caller
) -> None:
    ingested(services, image())
    ours, theirs = (caller(app, "app", ods, role="privacy", purpose=None) for ods in ("RXA", "RXB"))
    (entry,) = ours.get("/Task").json["entry"]
    task = entry["resource"]
    assert (task["status"], task["focus"]) == ("requested", {"reference": "Endpoint/archive-rxa"})
    assert "for" not in task and "Canary" not in json.dumps(task) and "1.2.9" not in json.dumps(task)
    assert theirs.ids("/Task") == []
    ingested(services, image())
    assert ours.get(f"/Task/{task['id']}").json["meta"]["versionId"] == "1"
    identity_review.resolve(services, desk(), task["id"], "p1")
    assert ours.get(f"/Task/{task['id']}").json["status"] == "completed"


def test_resolving_attaches_the_study_and_the_next_like_it_and_access_is_decided_anew(
    app: Flask, services: Services, steward: Caller, treating: Caller, stranger: Caller
) -> None:
    ingested(services, image(), image("1.2.10"), image("1.2.11", PatientBirthDate="19700303"))
    assert treating.ids("/ImagingStudy?patient=p1") == ["s1"]
    first = next(one for one in identity_review.holds(services, desk()) if one.study_uid == "1.2.9")
    assert identity_review.resolve(services, desk(), first.id, "Patient/p1") == ["1.2.9", "1.2.10"]
    assert [one.study_uid for one in identity_review.holds(services, desk())] == ["1.2.11"]
    for uid in ("1.2.9", "1.2.10"):
        study = stored(steward, uid)
        assert study is not None and study["subject"] == {"reference": "Patient/p1"}
        assert treating.ids(f"/ImagingStudy?patient=p1&identifier=urn:oid:{uid}") == [study["id"]]
    assert stranger.get("/ImagingStudy?patient=p1").status_code == 403
    late = image(SOPInstanceUID="1.2.9.1.2")
    assert ingested(services, late).updated == ["1.2.9"]
    assert ingested(services, image("1.2.12")).created == ["1.2.12"]
    assert [one["code"] for one in ingested(services, image("1.2.13"), of="archive-rxb").held] == [
        "birth-date-mismatch"  # the words of another archive are another's
    ]


def test_a_study_set_aside_waits_again_only_when_its_archive_says_something_else(services: Services) -> None:
    ingested(services, image())
    identity_review.dismiss(services, desk(), the_hold(services).id, "a phantom")
    assert identity_review.holds(services, desk()) == []
    ingested(services, image())
    assert identity_review.holds(services, desk()) == []
    ingested(services, image(PatientBirthDate="19700304"))
    assert the_hold(services).said.born == "1970-03-04"
    with pytest.raises(Fault, match="no reason is given"):
        identity_review.dismiss(services, desk(), the_hold(services).id, " ")


def test_a_study_whose_patient_becomes_known_waits_no_longer_when_it_is_sent_again(
    app: Flask, services: Services, steward: Caller
) -> None:
    ingested(services, image(number="9990000026"))
    held = the_hold(services)
    assert (held.code, held.candidates) == ("unknown-patient", ())
    newcomer = patient("p2", "9990000026") | {"birthDate": "1970-03-02"}
    assert steward.put("/Patient/p2", newcomer).status_code == 201
    assert ingested(services, image(number="9990000026")).created == ["1.2.9"]
    assert identity_review.holds(services, desk()) == []
    ours = caller(app, "app", "RXA", role="privacy", purpose=None)
    assert ours.get(f"/Task/{held.id}").json["status"] == "completed"


def test_a_collision_is_an_alarm_that_waits_and_cannot_be_resolved_to_the_wrong_person(
    services: Services, steward: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingested(services, image(PatientBirthDate="19700203")).created == ["1.2.9"]
    assert steward.put("/Patient/p2", patient("p2", "9990000026")).status_code == 201
    before = stored(steward)
    report = ingested(services, image(number="9990000026", PatientBirthDate="19700203"), of="archive-rxb")
    assert (len(report.alarms), report.ok) == (1, False)
    assert "identity_collision" in capsys.readouterr().err
    held = the_hold(services, desk("RXB"))
    assert held.code == "identity-collision"
    with pytest.raises(Fault, match="known under another patient"):
        identity_review.resolve(services, desk("RXB"), held.id, "p2")
    assert stored(steward) == before
    identity_review.resolve(services, desk("RXB"), held.id, "p1")
    after = stored(steward)
    assert after is not None and len(after["endpoint"]) == 2


@pytest.mark.parametrize(
    ("who", "kind"),
    [(desk("RXB"), "not-found"), (desk(role="clinician"), "forbidden"), (desk(role="system"), "forbidden")],
)
def test_nobody_else_sees_or_settles_it(services: Services, who: Asked, kind: str) -> None:
    ingested(services, image())
    held = the_hold(services)
    for act in (
        lambda: identity_review.hold(services, who, held.id),
        lambda: identity_review.resolve(services, who, held.id, "p1"),
        lambda: identity_review.dismiss(services, who, held.id, "why"),
    ):
        with pytest.raises(Fault) as caught:
            act()
        assert caught.value.kind == kind
    if kind == "not-found":
        assert identity_review.holds(services, who) == []
    assert the_hold(services) == held


@pytest.mark.parametrize("wrong", ["nobody", "Patient/nobody", ""])
def test_a_patient_who_is_not_known_is_refused(services: Services, wrong: str) -> None:
    ingested(services, image())
    with pytest.raises(Fault, match="no patient with this id is known"):
        identity_review.resolve(services, desk(), the_hold(services).id, wrong)


def test_looking_and_deciding_are_recorded_with_the_patients_shown(services: Services) -> None:
    ingested(services, image())
    identity_review.resolve(services, desk(), the_hold(services).id, "p1")
    with services.store.begin() as tx:
        rows = tx.rows("SELECT patient, agent FROM audit WHERE subtype = 'operation' ORDER BY seq")
    assert set(rows) == {("Patient/p1", "Practitioner/privacy-RXA")} and len(rows) == 2


def test_the_command_line_lists_resolves_and_dismisses(app: Flask, services: Services, steward: Caller) -> None:
    run = app.test_cli_runner()
    assert run.invoke(identity_cli.identity, ["list"]).output == "nothing waits\n"
    ingested(services, image(), image("1.2.11", PatientBirthDate="19700303"))
    text = run.invoke(identity_cli.identity, ["list"]).output
    assert "birth-date-mismatch" in text and "Patient/p1: Willow Demo" in text and "differs: birth date" in text
    first, second = json.loads(run.invoke(identity_cli.identity, ["list", "--json"]).output)
    done = run.invoke(identity_cli.identity, ["resolve", first["id"], "--patient", "p1"])
    assert (done.exit_code, done.output) == (0, "1 study was attached\n")
    assert run.invoke(identity_cli.identity, ["dismiss", second["id"], "--reason", "a phantom"]).exit_code == 0
    again = run.invoke(identity_cli.identity, ["dismiss", second["id"], "--reason", "a phantom"])
    assert again.exit_code == 1 and "no study with this id waits" in again.output


def test_the_records_of_a_review_can_be_replayed(app: Flask, services: Services) -> None:
    ingested(services, image())
    identity_review.resolve(services, desk(), the_hold(services).id, "p1")
    replayed = app.test_cli_runner().invoke(audit_cli.audit, ["replay"])
    assert replayed.exit_code == 0, replayed.output
