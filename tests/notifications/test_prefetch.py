"""Outpatient pre-fetch: which priors are worth fetching before a visit, and when that is announced. The list is decided at
each reading; nothing is announced of visits that are cancelled, nor where the patient has opted out (P3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from app.fhir.temporal import DAY, format_instant
from app.notifications.scheduled import announce
from app.notifications.worker import Worker
from app.policy.switches import Switches
from app.storage.engine import microseconds
from tests.notifications.conftest import put, subscribe
from tests.support.receiver import Receiver
from tests.support.region import STUDY_UID, Caller, caller, consent, endpoint, episode, patient, study

SNOMED = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
HEAD, CHEST = "69536005", "51185008"
HOUR = 3_600_000_000


def site(number: int, modality: str, region: str, started: str, ods: str = "RXA") -> dict[str, Any]:
    made = study(f"t{number}", f"{STUDY_UID}.{number}", ods, "p2", started=started)
    made["modality"] = [{"system": DCM, "code": modality}]
    made["series"][0] |= {"modality": made["modality"][0], "bodySite": {"system": SNOMED, "code": region}}
    return made


def appointment(id: str = "visit", days: float = 7, status: str = "booked", **more: Any) -> dict[str, Any]:
    at = microseconds() + int(days * DAY)
    return {
        "resourceType": "Appointment",
        "id": id,
        "status": status,
        "start": format_instant(at),
        "end": format_instant(at + HOUR),
        "participant": [
            {"actor": {"reference": "Patient/p2"}, "status": "accepted"},
            {"actor": {"reference": "Location/clinic"}, "status": "accepted"},
        ],
    } | more


@pytest.fixture
def region(steward: Caller) -> None:
    """p2 with studies at A and C, one at B itself; a clinic of B."""
    put(steward, patient("p2", "9990000026"))
    put(steward, endpoint("RXC"))
    put(steward, endpoint("RXB"))
    put(steward, {
        "resourceType": "Location", "id": "clinic", "name": "Clinic",
        "managingOrganization": {"reference": "Organization/rxb"},
    })  # fmt: skip
    for one in (
        site(1, "MR", HEAD, "2020-01-01"),
        site(2, "CT", HEAD, "2021-01-01", "RXC"),
        site(3, "MR", CHEST, "2022-01-01"),
        site(4, "CT", CHEST, "2023-01-01"),
        site(5, "MR", HEAD, "2019-01-01"),
        site(6, "MR", HEAD, "2024-01-01", "RXB"),
    ):
        put(steward, one)


def coded(code: str, system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def read(who: Caller, path: str = "/Appointment/visit/$prefetch") -> list[str]:
    answer = who.get(path)
    assert answer.status_code == 200, answer.text
    return [e["resource"]["id"] for e in answer.json.get("entry", ()) if e["search"]["mode"] == "match"]


def test_the_same_region_and_modality_come_first_and_ones_own_not_at_all(
    region: None, steward: Caller, engine: Caller
) -> None:
    put(engine, appointment(reasonCode=[coded(HEAD)], serviceType=[coded("MR", DCM)]))
    assert read(engine) == ["t1", "t5", "t2", "t3", "t4"]
    answer = engine.get("/Appointment/visit/$prefetch?_count=3").json
    assert answer["total"] == 3
    assert [(e["resource"]["id"], e["search"].get("score")) for e in answer["entry"]] == [
        ("t1", 0.88), ("t5", 0.88), ("t2", 0.62), ("archive-rxa", None), ("archive-rxc", None),
    ]  # fmt: skip
    assert read(engine, f"/Appointment/visit/$prefetch?modality=CT&bodysite={SNOMED}|{CHEST}")[0] == "t4"


def test_what_a_referral_says_counts_as_well(region: None, steward: Caller, engine: Caller) -> None:
    put(engine, {
        "resourceType": "ServiceRequest", "id": "ref", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p2"}, "requester": {"reference": "Organization/rxb"},
        "performer": [{"reference": "Organization/rxc"}], "bodySite": [coded(CHEST)], "code": coded("CT", DCM),
    })  # fmt: skip
    put(engine, appointment(basedOn=[{"reference": "ServiceRequest/ref"}]))
    assert read(engine) == ["t4", "t3", "t2", "t1", "t5"]


def test_the_region_bounds_how_many_and_how_far_back(app: Flask, region: None, steward: Caller, engine: Caller) -> None:
    put(engine, appointment())
    app.extensions["services"].enforcement.switches = Switches(prefetch_most=2)
    assert read(engine) == ["t4", "t3"]
    since_2021 = datetime.now(UTC).year - 2021
    app.extensions["services"].enforcement.switches = Switches(prefetch_years=since_2021)
    assert set(read(engine)) == {"t3", "t4"}


def test_the_list_is_decided_at_each_reading(app: Flask, region: None, steward: Caller, engine: Caller) -> None:
    put(engine, appointment())
    assert len(read(engine)) == 5
    put(steward, consent("c1", subject="p2"))
    assert read(engine) == []
    put(steward, consent("c1", subject="p2", status="inactive"))
    assert len(read(engine)) == 5
    put(engine, appointment(status="cancelled"))
    answer = engine.get("/Appointment/visit/$prefetch").json
    assert answer["total"] == 0
    text = answer["entry"][0]["resource"]["issue"][0]["details"]["text"]
    assert text == "the visit is not to come; nothing is to be fetched for it"
    put(engine, appointment(days=60))
    assert read(engine) == [], "the window has not opened"
    assert read(caller(app, ods="RXC")) == []
    assert caller(app, ods="RXD").get("/Appointment/visit/$prefetch").status_code == 404


def test_a_planned_episode_has_a_list_too(region: None, steward: Caller, engine: Caller) -> None:
    start = format_instant(microseconds() + 7 * DAY)
    put(engine, episode("plan", subject="p2", status="planned", period={"start": start}, type=[coded(HEAD)]))
    assert read(engine, "/EpisodeOfCare/plan/$prefetch") == ["t2", "t1", "t5", "t4", "t3"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/Appointment/nobody/$prefetch", 404),
        ("/Appointment/visit/$prefetch?_count=0", 400),
        ("/Appointment/visit/$prefetch?_count=many", 400),
        ("/Appointment/visit/$prefetch?_count=501", 400),
        ("/Appointment/visit/$prefetch?modality=CT&modality=MR", 400),
        ("/Appointment/visit/$prefetch?what=x", 400),
        ("/Patient/p2/$prefetch", 404),
    ],
)
def test_what_is_wrong_is_refused(region: None, steward: Caller, engine: Caller, path: str, status: int) -> None:
    put(engine, appointment())
    assert engine.get(path).status_code == status


def test_a_coordinator_gets_no_list_of_what_cannot_be_fetched(
    app: Flask, region: None, steward: Caller, engine: Caller
) -> None:
    put(engine, appointment())
    clerk = caller(app, "app", "RXB", "user/*.rs", role="clerical", practitioner="Practitioner/clerk")
    assert read(clerk) == []


def test_a_booked_visit_is_announced_when_its_window_opens_and_when_a_day_is_left(
    app: Flask, region: None, steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    services = app.extensions["services"]
    subscribe(engine, receiver, "appointment-prefetch-due")
    put(engine, appointment(days=20))
    announce(services)
    receiver.quiet(1)
    services.store.clock = lambda: microseconds() + 7 * DAY
    announce(services)
    announce(services)
    told = receiver.wait(2)[1]
    assert told.status["events"][0]["focus"]["reference"].endswith("/Appointment/visit")
    services.store.clock = lambda: microseconds() + 19 * DAY + HOUR
    announce(services)
    announce(services)
    assert receiver.wait(3)[2].status["events"][0]["focus"]["reference"].endswith("/Appointment/visit")
    receiver.quiet(3)


def test_nothing_is_announced_of_what_is_cancelled_opted_out_or_without_a_prior(
    app: Flask, region: None, steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    services = app.extensions["services"]
    subscribe(engine, receiver, "appointment-prefetch-due")
    put(steward, patient("p3", "9990000034"))
    put(engine, appointment("none", participant=[
        {"actor": {"reference": "Patient/p3"}, "status": "accepted"},
        {"actor": {"reference": "Location/clinic"}, "status": "accepted"},
    ]))  # fmt: skip
    put(engine, appointment("gone", status="cancelled"))
    put(steward, consent("c1", subject="p2"))
    put(engine, appointment("refused"))
    announce(services)
    receiver.quiet(1)


def test_a_planned_episode_is_announced_where_there_is_something_to_fetch(
    app: Flask, region: None, steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "prefetch-due")
    start = format_instant(microseconds() + 7 * DAY)
    put(engine, episode("plan", subject="p2", status="planned", period={"start": start}))
    announce(app.extensions["services"])
    assert receiver.wait(2)[1].status["events"][0]["focus"]["reference"].endswith("/EpisodeOfCare/plan")
