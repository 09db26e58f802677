"""How each subscription stands, for the operator: state, lag, failures, the last problem. No person is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from app.interactions import Services
from app.interactions.subscribing import load
from app.storage import oauth, subscriptions
from app.storage.engine import Tx

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Health:
    """`lag_seconds`: how long the oldest event has been waiting. `spoke`: microseconds UTC of the last success."""

    id: str
    state: str
    client: str
    organisation: str
    about: str
    sent: int
    pending: int
    dead: int
    suppressed: int
    lag_seconds: float
    attempts: int
    problem: str
    spoke: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def health(services: Services, tx: Tx) -> list[Health]:
    """All subscriptions, those with the most trouble first."""
    counts, oldest = subscriptions.counts(tx), subscriptions.oldest(tx)
    clients = {client.id: client for client in oauth.every(tx)}
    found = []
    for one in subscriptions.every(tx):
        client, of_one = clients.get(one.client), counts.get(one.rid, {})
        subscriber = load(services, tx, one, client)
        topic = subscriber.watch.topic if subscriber else None
        about = topic.name if topic else (subscriber.watch.type if subscriber else "cannot be read")
        found.append(
            Health(
                one.id,
                one.state,
                one.client,
                (client.organisation if client else "").removeprefix("ods:"),
                about,
                one.sent,
                of_one.get("pending", 0),
                of_one.get("dead", 0),
                of_one.get("suppressed", 0),
                (tx.at - oldest[one.rid]) / SECOND if one.rid in oldest else 0.0,
                one.attempts,
                one.problem,
                one.spoke,
            )
        )
    return sorted(found, key=lambda one: (one.state != "error", not one.problem, -one.lag_seconds, one.id))
