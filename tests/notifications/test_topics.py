"""Topic-based subscriptions, delivered by a real worker to a real receiver.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html and https://hl7.org/fhir/R4/subscription.html
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from flask import Flask

from app.fhir.topics import TOPICS
from app.notifications.worker import Worker
from tests.notifications.conftest import put, subscribe, subscribed, until
from tests.support import topics
from tests.support.receiver import Receiver
from tests.support.region import STUDY_UID, Caller, consent, episode, study

BASE = "http://127.0.0.1:8080/fhir"


def test_a_subscription_begins_with_a_handshake_and_is_then_active(
    engine: Caller, receiver: Receiver, working: Worker
) -> None:
    id = subscribe(engine, receiver, "imaging-study-available")
    said = receiver.received[0].status
    assert said["subscription"] == {"reference": f"{BASE}/Subscription/{id}"}
    assert said["events-since-subscription-start"] == "0"
    assert engine.get(f"/Subscription/{id}").json["status"] == "active"


def test_a_new_study_is_told_with_its_number_and_its_focus(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available")
    put(steward, study("s2", f"{STUDY_UID}.2"))
    told = receiver.wait(2)[1]
    (event,) = told.status["events"]
    assert told.json["type"] == "history"
    assert event["event-number"] == "1"
    assert event["focus"] == {"reference": f"{BASE}/ImagingStudy/s2"}
    assert [entry["fullUrl"] for entry in told.json["entry"][1:]] == [f"{BASE}/ImagingStudy/s2"]
    assert "resource" not in told.json["entry"][1]
    receiver.quiet(2)


@pytest.mark.attack(63)
def test_full_content_is_what_a_read_would_show(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available", "full-resource")
    put(steward, study("s2", f"{STUDY_UID}.2"))
    told = receiver.wait(2)[1]
    assert told.json["entry"][1]["resource"] == engine.get("/ImagingStudy/s2").json


def test_an_empty_payload_says_that_something_happened_and_nothing_else(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available", "empty")
    put(steward, study("s2", f"{STUDY_UID}.2"))
    told = receiver.wait(2)[1]
    assert "ImagingStudy/s2" not in told.body.decode()
    assert [event["event-number"] for event in told.status["events"]] == ["1"]
    assert len(told.json["entry"]) == 1


def test_what_is_sent_is_signed_with_the_key_that_the_subscriber_was_given(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    made = engine.post("/Subscription", subscribed("imaging-study-available", receiver.url))
    key = bytes.fromhex(made.headers["X-Registry-Signing-Key"])
    sent = receiver.wait(1)[0]
    at, given = (part.split("=")[1] for part in sent.headers["X-Registry-Signature"].split(","))
    assert hmac.new(key, f"{at}.".encode() + sent.body, hashlib.sha256).hexdigest() == given


@pytest.mark.attack(63)
def test_an_opt_out_withdraws_what_was_told_and_an_opt_in_tells_it_again(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available")
    subscribe(engine, receiver, "imaging-study-withdrawn")
    put(steward, study("s2", f"{STUDY_UID}.2"))
    receiver.wait(3)
    put(steward, consent())
    gone = receiver.wait(5)[3:]
    assert {event["focus"]["reference"] for one in gone for event in one.status["events"]} == {
        f"{BASE}/ImagingStudy/s1",
        f"{BASE}/ImagingStudy/s2",
    }
    assert all(entry["request"]["method"] == "DELETE" for one in gone for entry in one.json["entry"][1:])
    put(steward, consent(status="inactive"))
    back = receiver.wait(7)[5:]
    assert {one.status["topic"].rsplit("/", 1)[1] for one in back} == {"imaging-study-available"}


@pytest.mark.attack(63)
def test_a_study_of_a_patient_without_a_relationship_is_never_told(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available")
    put(steward, episode(status="finished"))
    put(steward, study("s2", f"{STUDY_UID}.2"))
    receiver.quiet(1)
    put(steward, episode(status="active"))
    told = receiver.wait(2)[1:]
    assert next(event["focus"]["reference"] for one in told for event in one.status["events"]).startswith(BASE)


def test_a_filter_lets_through_only_what_it_names(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available", filters=("ImagingStudy?modality=MR",))
    magnetic = study("s3", f"{STUDY_UID}.3")
    magnetic["modality"][0]["code"] = magnetic["series"][0]["modality"]["code"] = "MR"
    put(steward, study("s2", f"{STUDY_UID}.2"))
    put(steward, magnetic)
    told = receiver.wait(2)[1]
    assert told.status["events"][0]["focus"]["reference"] == f"{BASE}/ImagingStudy/s3"
    receiver.quiet(2)


def test_a_deleted_study_is_withdrawn(steward: Caller, engine: Caller, receiver: Receiver, working: Worker) -> None:
    subscribe(engine, receiver, "imaging-study-withdrawn")
    assert steward.delete("/ImagingStudy/s1").status_code == 204
    told = receiver.wait(2)[1]
    assert told.status["events"][0]["focus"]["reference"] == f"{BASE}/ImagingStudy/s1"


def test_criteria_of_r4_send_the_resource_by_put(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    made = engine.post(
        "/Subscription",
        {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "to be told",
            "criteria": "ImagingStudy?modality=CT",
            "channel": {"type": "rest-hook", "endpoint": receiver.url, "payload": "application/fhir+json"},
        },
    )
    assert made.status_code == 201, made.text
    until(lambda: engine.get(f"/Subscription/{made.json['id']}").json["status"] == "active")
    put(steward, study("s2", f"{STUDY_UID}.2"))
    (told,) = receiver.wait(1)
    assert (told.method, told.path) == ("PUT", "/notify/ImagingStudy/s2")
    assert told.json == engine.get("/ImagingStudy/s2").json


def test_the_published_topics_are_those_of_the_table() -> None:
    assert {path.name: path.read_text() for path in topics.FOLDER.glob("*.json")} == topics.written()


def test_the_capability_statement_names_every_topic(app: Flask) -> None:
    rest = app.test_client().get("/fhir/metadata").json["rest"][0]
    stated = next(one for one in rest["resource"] if one["type"] == "Subscription")
    named = [one["valueCanonical"] for one in stated["extension"] if "subscriptiontopic-canonical" in one["url"]]
    assert named == list(TOPICS)
