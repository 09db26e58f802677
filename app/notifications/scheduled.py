"""Events that time brings: a planned visit comes near (when its window opens, and when a day is left), an archive has gone
silent. Each is announced once; whether there is anything to fetch is decided when it is told."""

from __future__ import annotations

from app.fhir.registry import TYPES
from app.interactions import Services
from app.policy.relationship import DAY
from app.storage import outbox, sources, telling
from app.storage.engine import Tx

SILENT = "source-silent"
VISITS = (
    ("episode", "planned", "prefetch-due"),
    ("appointment", "booked", "appointment-prefetch-due"),
)
OPENS, LAST_DAY = 1, -1  # the two times at which a visit is announced, told apart by the sign of their mark
MOST = 500


def announce(services: Services) -> int:
    """Announce what has come due; how many events."""
    return services.store.retry(lambda tx: _announce(services, tx))


def _announce(services: Services, tx: Tx) -> int:
    switches = services.enforcement.switches
    lead, stale = switches.planned_lead_days * DAY, switches.planned_stale_days * DAY
    due: list[tuple[str, int, int]] = []
    for kind, status, topic in VISITS:
        opened = telling.planned(tx, kind, status, topic, (tx.at - stale, tx.at + lead), OPENS, MOST)
        due += [(topic, rid, low * OPENS) for rid, low in opened]
        new = {rid for rid, _ in opened}
        last = telling.planned(tx, kind, status, topic, (tx.at, tx.at + DAY), LAST_DAY, MOST)
        for visit, low in last:
            if visit in new:  # announced just now: the last day needs no word of its own
                telling.announce(tx, topic, visit, low * LAST_DAY)
            else:
                due.append((topic, visit, low * LAST_DAY))
    for state in sources.states(tx):
        if state.silent(tx.at) or (state.failures and not state.succeeded):
            rid = telling.rid_of(tx, TYPES["Endpoint"].code, state.endpoint.removeprefix("Endpoint/"))
            if rid is not None:
                due.append((SILENT, rid, state.succeeded))
    fresh = [one for one in due if not telling.is_announced(tx, *one)]
    return sum(outbox.announce(tx, topic, rid) for topic, rid, mark in fresh if telling.announce(tx, topic, rid, mark))
