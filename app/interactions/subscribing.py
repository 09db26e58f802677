"""Writing a Subscription, and what it means to have one: checked when written, and acting for the client that wrote it.

https://hl7.org/fhir/R4/subscription.html; topics by https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from app.access import permissions
from app.access.scopes import authorize
from app.access.subject import Subject
from app.fhir.outcome import Fault, Issue
from app.fhir.query import Clause, Query, Reference
from app.fhir.resource import load as parsed
from app.fhir.subscription import Watch, read
from app.interactions import Asked, Services
from app.storage import resources, subscriptions, telling
from app.storage.engine import Tx
from app.storage.oauth import Client
from app.storage.resources import Stored
from app.storage.subscriptions import Standing

SECOND = 1_000_000


def check(services: Services, tx: Tx, asked: Asked, resource: dict[str, Any]) -> None:
    """Raises Fault unprocessable or forbidden for one that cannot act. It begins with a handshake, whatever its status
    was said to be, unless it is to be off."""
    settings = services.settings
    watch = read(resource, base_url=settings.base_url, zone=tx.zone, at=tx.at)
    if not settings.may_notify(watch.endpoint):
        place = "Subscription.channel.endpoint"
        text = "the address is not of an origin that may be notified; expected one that the operator has allowed"
        raise Fault("unprocessable", text, place, issues=(Issue("value", text, place),))
    subject = asked.subject
    authorize(subject, watch.type, "read")
    everything = subject.kind == "steward" and services.enforcement.reads_all
    if watch.type in permissions.PRIVACY_TYPES and not permissions.reads_privacy(subject) and not everything:
        raise Fault(
            "forbidden",
            f"events about {watch.type} are for the privacy role alone; expected a topic that this client may read",
            "Subscription.criteria",
        )
    if resource.get("status") != "off":
        resource["status"] = "requested"
        resource.pop("error", None)


def register(tx: Tx, asked: Asked, stored: Stored) -> None:
    """The Subscription was stored: it acts for the client that stored it, from the change after this on."""
    resource = orjson.loads(stored.content)
    state = "off" if resource.get("status") == "off" else "requested"
    watch = read(resource, base_url="", zone=tx.zone, at=tx.at)
    heartbeat = watch.heartbeat * SECOND if watch.heartbeat and watch.topic else None
    subscriptions.register(tx, stored.rid, stored.id, asked.subject.client_id, state, heartbeat)


def tell(services: Services, tx: Tx, id: str, status: str, error: str | None) -> None:
    """Write how it stands into the Subscription itself, where its owner reads it."""
    grant = services.enforcement.for_matching(tx)
    current = resources.get(tx, grant, "Subscription", id)
    if current is None or current.deleted:
        return
    resource = parsed(current.content)
    resource["status"] = status
    resource.pop("error", None)
    if error:
        resource["error"] = error
    resources.update(tx, replace(grant, writer=current.owner), current, resource)


def signing_key(services: Services, ref: str) -> bytes:
    """The key under which what is sent to a subscription ("Subscription/id") is signed; its owner is given it in hex."""
    return hmac.new(services.notify_secret, ref.encode(), hashlib.sha256).digest()


@dataclass(frozen=True)
class Subscriber:
    """One subscription: what it asks for, and who it acts for."""

    standing: Standing
    watch: Watch
    subject: Subject

    @property
    def ref(self) -> str:
        return f"Subscription/{self.standing.id}"

    @cached_property
    def patients(self) -> frozenset[str] | None:
        """The patients to whom the filters narrow it; None for any."""
        found = [_patients(query) for query in self.watch.queries]
        if not found or None in found:
            return None
        return frozenset(id for one in found if one for id in one)


def _patients(query: Query) -> frozenset[str] | None:
    for one in query.where:
        if isinstance(one, Clause) and one.param.name in ("patient", "subject") and one.modifier in (None, "Patient"):
            return frozenset(v.id for v in one.values if isinstance(v, Reference) and v.id)
    return None


def subject_of(client: Client) -> Subject:
    """The client as it acts by itself: there is no person behind a notification."""
    return Subject(
        client_id=client.id,
        kind=client.kind,
        organisation=client.organisation,
        role=client.role,
        purpose=client.purpose,
        scopes=tuple(client.scope.split()),
    )


def load(services: Services, tx: Tx, standing: Standing, client: Client | None) -> Subscriber | None:
    """One subscription with what it asks for; None where its client is gone or it can no longer be read."""
    if client is None or client.disabled:
        return None
    found = telling.version(tx, services.enforcement.for_matching(tx), standing.rid, None)
    if found is None:
        return None
    try:
        watch = read(orjson.loads(found.content), base_url=services.settings.base_url, zone=tx.zone, at=tx.at)
    except Fault:
        return None
    return Subscriber(standing, watch, subject_of(client))
