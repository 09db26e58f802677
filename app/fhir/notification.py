"""What a subscriber is sent, put together from stored bytes.

The Bundle of the R5 Backport guide for R4 (https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html): a
history whose first entry is the status as Parameters; and the thin CloudEvent (https://cloudevents.io, 1.0) of national
event services, which names what happened and where to read it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from app.fhir.lossless import dump
from app.fhir.temporal import format_instant

PROFILE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
STATUS_PROFILE = PROFILE + "backport-subscription-status-r4"
BUNDLE_PROFILE = PROFILE + "backport-subscription-notification-r4"
METHODS = {"POST": "201", "PUT": "200", "PATCH": "200", "DELETE": "204"}


class Event(NamedTuple):
    """`number` counts what this subscriber was sent. `focus` is "Type/id", None where it may not be told (any more).
    `content` is the resource, where it is to be sent. `at` in microseconds UTC."""

    number: int
    at: int
    focus: str | None
    method: str = "PUT"
    content: bytes | None = None


def status(
    base_url: str,
    subscription: str,
    *,
    state: str,
    kind: str,
    sent: int,
    topic: str | None,
    events: Sequence[Event] = (),
    focused: bool = True,
    error: str | None = None,
) -> dict[str, Any]:
    """The Parameters that say how a subscription stands. `kind`: handshake, heartbeat, event-notification, query-status
    or query-event. `sent` counts the events since the subscription began. Unless `focused`, events are told
    of without what they are about."""
    parameters: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": f"{base_url}/{subscription}"}},
        *([{"name": "topic", "valueCanonical": topic}] if topic else []),
        {"name": "status", "valueCode": state},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(sent)},
    ]
    for event in events:
        part: list[dict[str, Any]] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": format_instant(event.at)},
        ]
        if focused and event.focus is not None:
            part.append({"name": "focus", "valueReference": {"reference": f"{base_url}/{event.focus}"}})
        parameters.append({"name": "notification-event", "part": part})
    if error is not None:
        parameters.append({"name": "error", "valueCodeableConcept": {"text": error}})
    return {"resourceType": "Parameters", "meta": {"profile": [STATUS_PROFILE]}, "parameter": parameters}


def bundle(base_url: str, subscription: str, said: dict[str, Any], events: Iterable[Event] = (), *, at: int) -> bytes:
    """The notification Bundle: the status first, then what the events are about, its bytes as they are stored. The same
    events give the same ids, however often they are sent."""
    events = list(events)
    numbers = [event.number for event in events]
    named = uuid.uuid5(uuid.NAMESPACE_URL, f"{base_url}/{subscription}/{numbers or at}")
    head = {
        "resourceType": "Bundle",
        "id": str(named),
        "meta": {"profile": [BUNDLE_PROFILE]},
        "type": "history",
        "timestamp": format_instant(at),
    }
    first = {
        "fullUrl": f"urn:uuid:{uuid.uuid5(named, 'status')}",
        "resource": said,
        "request": {"method": "GET", "url": f"Subscription/{subscription.split('/')[-1]}/$status"},
        "response": {"status": "200"},
    }
    entries = [dump(first)]
    entries += [_entry(base_url, event) for event in events if event.focus is not None]
    return dump(head)[:-1] + b',"entry":[' + b",".join(entries) + b"]}"


def _entry(base_url: str, event: Event) -> bytes:
    around = {
        "fullUrl": f"{base_url}/{event.focus}",
        "request": {"method": event.method, "url": event.focus},
        "response": {"status": METHODS[event.method], "lastModified": format_instant(event.at)},
    }
    whole = dump(around)
    return whole if event.content is None else whole[:-1] + b',"resource":' + event.content + b"}"


def cloud_event(
    base_url: str, subscription: str, topic: str, event: Event, *, subject: str | None, source: str
) -> bytes:
    """One event as a thin CloudEvent. `subject` is the patient's NHS number, where the subscriber may know it."""
    said: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{subscription.split('/')[-1]}-{event.number}",
        "source": source,
        "type": f"{topic}.1",
        "time": format_instant(event.at),
    }
    if subject is not None:
        said["subject"] = subject
    if event.focus is not None:
        said["dataref"] = f"{base_url}/{event.focus}"
    return orjson.dumps(said)
