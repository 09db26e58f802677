"""$status and $events of a Subscription, by the R5 Backport guide for R4.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/operations.html. What an event may say is decided again now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.access import audit
from app.fhir import bundle, notification
from app.fhir.outcome import Fault
from app.fhir.resource import dump
from app.fhir.subscription import CONTENTS, Watch
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.notifying import event_of
from app.interactions.read import unknown
from app.interactions.subscribing import Subscriber, load
from app.storage import oauth, resources, subscriptions
from app.storage.engine import Tx

MOST = 100


def status(services: Services, asked: Asked, id: str) -> Answer:
    """How the subscription stands: a searchset with one Parameters."""

    def work(tx: Tx) -> Answer:
        subscriber = _owned(services, tx, asked, id)
        audit.record(
            tx,
            asked.subject,
            None,
            "operation",
            "Subscription",
            status=200,
            detail="$status",
            request_id=asked.request_id,
        )
        said = _said(services, subscriber, "query-status")
        address = f"{services.settings.base_url}/{subscriber.ref}/$status"
        hit = (address, dump(said), "match")
        return Answer(200, bundle.searchset([hit], links=[("self", address)], total=1, at=tx.at))

    return carry(services, asked, "operation", "Subscription", work)


def events(services: Services, asked: Asked, id: str, options: Sequence[tuple[str, Any]]) -> Answer:
    """Events that were sent, or tried, from one number to another, as a notification."""

    def work(tx: Tx) -> Answer:
        subscriber = _owned(services, tx, asked, id)
        since, until, content = _options(options, subscriber)
        watch = subscriber.watch if content is None else _with(subscriber, content)
        found = []
        for notice in subscriptions.sent(tx, subscriber.standing.rid, since, until, MOST):
            event, _ = event_of(services, tx, asked.subject, watch, subscriber.ref, notice, asked.request_id)
            event = event or notification.Event(0, notice.at, None)
            found.append(event._replace(number=notice.number or 0))
        said = _said(services, subscriber, "query-event", found)
        shown = [] if watch.content == "empty" else found
        return Answer(200, notification.bundle(services.settings.base_url, subscriber.ref, said, shown, at=tx.at))

    return carry(services, asked, "operation", "Subscription", work)


def _owned(services: Services, tx: Tx, asked: Asked, id: str) -> Subscriber:
    grant = services.enforcement.permit(tx, asked.subject, "read", "Subscription", id=id)
    stored = resources.get(tx, grant, "Subscription", id)
    standing = subscriptions.find(tx, id)
    if stored is None or stored.deleted or standing is None:
        raise unknown("Subscription")
    found = load(services, tx, standing, oauth.find(tx, standing.client))
    if found is None:
        raise Fault("conflict", "the subscription's client is disabled; expected one that is registered")
    return found


def _said(
    services: Services, subscriber: Subscriber, kind: str, found: Sequence[notification.Event] = ()
) -> dict[str, Any]:
    standing, topic = subscriber.standing, subscriber.watch.topic
    return notification.status(
        services.settings.base_url,
        subscriber.ref,
        state=standing.state,
        kind=kind,
        sent=standing.sent,
        topic=topic.url if topic else None,
        events=found,
        focused=subscriber.watch.content != "empty" or kind == "query-status",
        error=standing.problem or None,
    )


def _options(options: Sequence[tuple[str, Any]], subscriber: Subscriber) -> tuple[int, int, str | None]:
    given = {name: str(value) for name, value in options if name not in ("_format", "_pretty")}
    for name in given:
        if name not in ("eventsSinceNumber", "eventsUntilNumber", "content"):
            raise Fault("invalid", "no such parameter; expected eventsSinceNumber, eventsUntilNumber or content", name)
    numbers = []
    for name, default in (("eventsSinceNumber", "1"), ("eventsUntilNumber", str(subscriber.standing.sent))):
        text = given.get(name, default)
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Fault("invalid", "not a number of an event; expected a whole number", name)
        numbers.append(int(text))
    content = given.get("content")
    if content is not None and content not in CONTENTS:
        raise Fault("invalid", f"no such content; expected one of {', '.join(CONTENTS)}", "content")
    return numbers[0], numbers[1], content


def _with(subscriber: Subscriber, content: str) -> Watch:
    """No more than was subscribed to."""
    least = min(CONTENTS.index(content), CONTENTS.index(subscriber.watch.content))
    return replace(subscriber.watch, content=CONTENTS[least])
