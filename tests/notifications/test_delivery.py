"""At least once, in order, for as long as it is worth it: receivers that fail, and what becomes of their events.

Attacks 63 and 68 of the threat model are named where they are tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask

from app.notifications.deliver import waiting_time
from app.notifications.worker import Worker
from app.storage.engine import Store
from tests.notifications.conftest import ended, put, subscribe, subscribed, until
from tests.support.receiver import Received, Receiver
from tests.support.region import STUDY_UID, Caller, consent, episode, study

BASE = "http://127.0.0.1:8080/fhir"
Receivers = Callable[..., Receiver]


def studies(number: int, start: int = 2) -> list[dict[str, Any]]:
    return [study(f"s{n}", f"{STUDY_UID}.{n}") for n in range(start, start + number)]


def numbers(received: list[Received]) -> list[tuple[str, str]]:
    """(number, focus) of the events, in the order in which they came."""
    told = [event for one in received for event in one.status["events"]]
    return [(event["event-number"], event["focus"]["reference"].rsplit("/", 1)[1]) for event in told]


def store_of(app: Flask) -> Store:
    found: Store = app.extensions["services"].store
    return found


def test_a_receiver_that_fails_gets_the_same_events_again_with_the_same_numbers_and_in_order(
    steward: Caller, engine: Caller, receivers: Receivers, working: Worker
) -> None:
    failures = iter([500, 503, 0, 302, 429])
    begun = threading.Event()
    receiver = receivers(lambda got: next(failures, 200) if begun.is_set() else 200)
    subscribe(engine, receiver, "imaging-study-available")
    begun.set()
    for one in studies(4):
        put(steward, one)
    told = receiver.wait(5)[1:]
    assert numbers(told) == [("1", "s2"), ("2", "s3"), ("3", "s4"), ("4", "s5")]
    assert all(one.path == "/notify" for one in receiver.received)  # no redirect was followed


def test_several_events_go_in_one_notification_where_the_subscription_allows_it(
    steward: Caller, engine: Caller, receivers: Receivers, working: Worker
) -> None:
    closed = threading.Event()
    receiver = receivers(lambda got: 503 if closed.is_set() else 200)
    subscribe(engine, receiver, "imaging-study-available", most=10)
    closed.set()
    for one in studies(5):
        put(steward, one)
    until(lambda: bool(working.services))
    closed.clear()
    until(lambda: len(numbers(receiver.received[1:])) == 5)
    assert numbers(receiver.received[1:]) == [(str(n), f"s{n + 1}") for n in range(1, 6)]


def test_a_receiver_that_hangs_does_not_hold_up_another(
    app: Flask, steward: Caller, engine: Caller, receivers: Receivers, working: Worker
) -> None:
    begun = threading.Event()
    hanging = receivers(lambda got: 30.0 if begun.is_set() else 200)
    healthy = receivers()
    subscribe(engine, hanging, "imaging-study-available", timeout=1)
    subscribe(engine, healthy, "imaging-study-available")
    begun.set()
    for one in studies(3):
        put(steward, one)
    assert numbers(healthy.wait(4)[1:]) == [("1", "s2"), ("2", "s3"), ("3", "s4")]
    begun.clear()
    until(lambda: len(numbers(hanging.received[1:])) >= 3)


def test_a_receiver_that_fails_its_handshake_is_told_so_in_the_subscription(
    engine: Caller, receivers: Receivers, working: Worker
) -> None:
    receiver = receivers(lambda got: 404)
    made = engine.post("/Subscription", subscribed("imaging-study-available", receiver.url)).json
    until(lambda: engine.get(f"/Subscription/{made['id']}").json["status"] == "error")
    said = engine.get(f"/Subscription/{made['id']}").json
    assert said["error"] == "the receiver answered 404; expected a status of success"


@pytest.fixture
def impatient(app: Flask) -> Any:
    """A worker that gives a receiver up at once."""
    worker = Worker(app.extensions["services"], threads=2, hours=0, wait=lambda attempts: 0.05)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stopping.set()
    thread.join(30)


@pytest.mark.attack(68)
def test_what_cannot_be_delivered_is_kept_as_ids_and_delivered_when_it_is_replayed(
    app: Flask, steward: Caller, engine: Caller, receivers: Receivers, impatient: Worker
) -> None:
    """Attack 68: a dead letter holds ids only."""
    closed = threading.Event()
    receiver = receivers(lambda got: 500 if closed.is_set() else 200)
    id = subscribe(engine, receiver, "imaging-study-available", "full-resource")
    closed.set()
    put(steward, studies(1)[0])
    until(lambda: engine.get(f"/Subscription/{id}").json["status"] == "error")
    with store_of(app).begin(reads=True) as tx:
        rows = tx.rows("SELECT * FROM notification") + tx.rows("SELECT * FROM subscription")
    kept = repr(rows)
    assert "s2" in kept
    for canary in ("9990000018", "Willow", "Demo", STUDY_UID, "127.0.0.1"):
        assert canary not in kept
    runner = app.test_cli_runner()
    listed = orjson.loads(runner.invoke(args=["subscription", "list", "--json"]).output)
    assert [(one["id"], one["state"], one["dead"], one["attempts"]) for one in listed] == [(id, "error", 1, 1)]
    assert listed[0]["problem"] == "the receiver answered 500; expected a status of success"
    closed.clear()
    assert runner.invoke(args=["subscription", "replay", id]).output == "1 events are queued again\n"
    told = receiver.wait(3)[2]
    assert numbers([told]) == [("1", "s2")]


@pytest.mark.attack(60, 63)
def test_a_choice_made_after_the_event_binds_what_is_still_to_be_sent_and_leaves_no_gap(
    app: Flask, steward: Caller, engine: Caller, receivers: Receivers, working: Worker
) -> None:
    """Attack 63: full payloads, and an opt-out that comes while they wait."""
    receiver = receivers()
    subscribe(engine, receiver, "imaging-study-available", "full-resource")
    ended(working)
    for one in studies(2):
        put(steward, one)
    matched(app)
    put(steward, consent())
    again = Worker(app.extensions["services"], threads=1, wait=lambda attempts: 0.05)
    thread = threading.Thread(target=again.run)
    thread.start()
    try:
        until(lambda: _states(app) == {2: 2})
        receiver.quiet(1)
        put(steward, consent(status="inactive"))
        told = receiver.wait(4)[1:]
        assert {number for number, _ in numbers(told)} == {"1", "2", "3"}
        assert {focus for _, focus in numbers(told)} == {"s1", "s2", "s3"}
    finally:
        again.stopping.set()
        thread.join(30)
    with store_of(app).begin(reads=True) as tx:
        refused = [orjson.loads(body) for (body,) in tx.rows("SELECT body FROM audit WHERE outcome = '4'")]
    assert sum("suppressed" in one["detail"] for one in refused) == 2


def matched(app: Flask) -> None:
    """What has changed is matched, and nothing is sent yet."""
    from app.notifications.matching import Matcher

    matcher = Matcher(app.extensions["services"])
    while matcher.turn():
        pass


def _states(app: Flask) -> dict[int, int]:
    with store_of(app).begin(reads=True) as tx:
        return dict(tx.rows("SELECT state, count(*) FROM notification GROUP BY 1"))  # type: ignore[arg-type]


@pytest.mark.attack(63)
def test_a_relationship_that_ends_ends_what_is_told(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    """Attack 63: the relationship ended later."""
    subscribe(engine, receiver, "imaging-study-available")
    put(steward, episode(status="finished"))
    put(steward, studies(1)[0])
    receiver.quiet(1)


def test_a_disabled_client_is_told_nothing(
    app: Flask, steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available")
    listed = orjson.loads(app.test_cli_runner().invoke(args=["subscription", "list", "--json"]).output)
    assert app.test_cli_runner().invoke(args=["client", "disable", listed[0]["client"]]).exit_code == 0
    put(steward, studies(1)[0])
    receiver.quiet(1)


def test_status_and_events_let_a_subscriber_catch_up(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    id = subscribe(engine, receiver, "imaging-study-available")
    for one in studies(3):
        put(steward, one)
    receiver.wait(4)
    status = engine.get(f"/Subscription/{id}/$status").json
    said = {one["name"]: one for one in status["entry"][0]["resource"]["parameter"]}
    assert said["status"]["valueCode"] == "active"
    assert said["events-since-subscription-start"]["valueString"] == "3"
    events = engine.get(f"/Subscription/{id}/$events?eventsSinceNumber=2")
    assert events.status_code == 200, events.text
    assert [entry["fullUrl"] for entry in events.json["entry"][1:]] == [f"{BASE}/ImagingStudy/s{n}" for n in (3, 4)]
    put(steward, consent())
    hidden = engine.get(f"/Subscription/{id}/$events?eventsSinceNumber=2&eventsUntilNumber=3").json
    assert "ImagingStudy" not in orjson.dumps(hidden["entry"][1:]).decode()


@pytest.mark.parametrize("query", ["eventsSinceNumber=x", "eventsUntilNumber=-1", "content=all", "since=1"])
def test_a_wrong_parameter_of_events_is_refused_at_its_place(
    query: str, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    id = subscribe(engine, receiver, "imaging-study-available")
    answer = engine.get(f"/Subscription/{id}/$events?{query}")
    assert answer.status_code == 400
    assert answer.json["issue"][0]["expression"] == [query.split("=")[0]]


def test_somebody_else_s_subscription_is_none(app: Flask, engine: Caller, receiver: Receiver, working: Worker) -> None:
    from tests.support.region import caller

    id = subscribe(engine, receiver, "imaging-study-available")
    other = caller(app, ods="RXC")
    for path in ("$status", "$events"):
        assert other.get(f"/Subscription/{id}/{path}").status_code == 404


def test_a_cloud_event_is_thin_and_names_the_patient_by_number(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    id = subscribe(engine, receiver, "imaging-study-available", payload="application/cloudevents+json")
    put(steward, studies(1)[0])
    told = receiver.wait(2)[1]
    assert told.headers["Content-Type"] == "application/cloudevents+json"
    time = told.json.pop("time")
    assert time
    assert {k: v for k, v in told.json.items() if k != "time"} == {
        "specversion": "1.0",
        "id": f"{id}-1",
        "source": "http://127.0.0.1:8080",
        "type": "imaging-study-available.1",
        "subject": "9990000018",
        "dataref": f"{BASE}/ImagingStudy/s2",
    }


def test_a_heartbeat_comes_when_there_is_nothing_else_to_say(
    app: Flask, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    subscribe(engine, receiver, "imaging-study-available", heartbeat=10)
    store_of(app).retry(lambda tx: tx.run("UPDATE subscription SET heartbeat = 300000, due = 0, spoke = 0"))
    assert receiver.wait(3)[1].status["type"] == "heartbeat"


def test_the_time_between_tries_doubles_within_bounds() -> None:
    assert 0.3 < waiting_time(1) < 0.7
    assert 3 < waiting_time(4) < 6
    assert 400 < waiting_time(40) < 800


def test_a_subscription_that_is_off_or_deleted_is_silent(
    steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    first = subscribe(engine, receiver, "imaging-study-available")
    second = subscribe(engine, receiver, "imaging-study-available")
    off = engine.get(f"/Subscription/{first}").json | {"status": "off"}
    assert engine.put(f"/Subscription/{first}", off).status_code == 200
    assert engine.delete(f"/Subscription/{second}").status_code == 204
    put(steward, studies(1)[0])
    receiver.quiet(2)
