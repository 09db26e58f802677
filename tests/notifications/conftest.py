"""A small region, a subscriber's endpoint, and a worker that runs in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from app.fhir.topics import BY_NAME
from app.notifications.worker import Worker
from tests.support.receiver import Receiver
from tests.support.region import Caller, caller, settle

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

WORKING = "a worker under test"


def subscribed(
    topic: str, endpoint: str, content: str = "id-only", filters: tuple[str, ...] = (), **channel: Any
) -> dict[str, Any]:
    """A topic-based Subscription as R4 carries it. `channel` may give heartbeat, timeout, most, header and payload."""
    extensions = {
        "heartbeat": ("backport-heartbeat-period", "valueUnsignedInt"),
        "timeout": ("backport-timeout", "valueUnsignedInt"),
        "most": ("backport-max-count", "valuePositiveInt"),
    }
    stated = [
        {"url": BACKPORT + extensions[name][0], extensions[name][1]: value}
        for name, value in channel.items()
        if name in extensions
    ]
    made: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "to be told",
        "criteria": BY_NAME[topic].url if topic in BY_NAME else topic,
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": channel.get("payload", "application/fhir+json"),
            "_payload": {"extension": [{"url": BACKPORT + "backport-payload-content", "valueCode": content}]},
        },
    }
    if stated:
        made["channel"]["extension"] = stated
    if "header" in channel:
        made["channel"]["header"] = channel["header"]
    if filters:
        made["_criteria"] = {
            "extension": [{"url": BACKPORT + "backport-filter-criteria", "valueString": one} for one in filters]
        }
    return made


@pytest.fixture
def steward(app: Flask) -> Caller:
    return settle(app)


@pytest.fixture
def engine(app: Flask, steward: Caller) -> Caller:
    """The integration engine of trust B, which delivers care to p1."""
    return caller(app)


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*given: Any) -> Receiver:
        made.append(Receiver(*given))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def receiver(receivers: Callable[..., Receiver]) -> Receiver:
    return receivers()


@pytest.fixture
def working(app: Flask) -> Iterator[Worker]:
    """A worker, as a process of its own would run it."""
    worker = Worker(app.extensions["services"], threads=2, wait=lambda attempts: 0.05)
    thread = threading.Thread(target=worker.run, name=WORKING)
    thread.start()
    yield worker
    worker.stopping.set()
    thread.join(30)
    assert not thread.is_alive()


def subscribe(who: Caller, receiver: Receiver, topic: str, *given: Any, **more: Any) -> str:
    """The id of a new subscription, once it is active."""
    before = len(receiver.received)
    answer = who.post("/Subscription", subscribed(topic, receiver.url, *given, **more))
    assert answer.status_code == 201, answer.text
    assert answer.json["status"] == "requested"
    handshake = receiver.wait(before + 1)[before]
    assert handshake.status["type"] == "handshake"
    until(lambda: who.get(f"/Subscription/{answer.json['id']}").json["status"] == "active")
    return str(answer.json["id"])


def ended(worker: Worker) -> None:
    """Stop the worker of the fixture, and wait until the last of its threads has done what it was at."""
    worker.stopping.set()
    until(lambda: not any(one.name == WORKING for one in threading.enumerate()), 60)


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def put(who: Caller, resource: dict[str, Any]) -> None:
    answer = who.put(f"/{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in (200, 201), answer.text
