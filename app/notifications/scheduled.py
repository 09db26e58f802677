"""Events that time brings: a planned visit comes near, an archive has gone silent. Each is announced once."""

from __future__ import annotations

from app.fhir.registry import TYPES
from app.interactions import Services
from app.policy.relationship import DAY
from app.storage import outbox, sources, telling
from app.storage.engine import Tx

PREFETCH, SILENT = "prefetch-due", "source-silent"
MOST = 500


def announce(services: Services) -> int:
    """Announce what has come due; how many events."""
    return services.store.retry(lambda tx: _announce(services, tx))


def _announce(services: Services, tx: Tx) -> int:
    switches = services.enforcement.switches
    lead, stale = switches.planned_lead_days * DAY, switches.planned_stale_days * DAY
    due = [(PREFETCH, rid, low) for rid, low in telling.planned(tx, tx.at - stale, tx.at + lead, MOST)]
    for state in sources.states(tx):
        if state.silent(tx.at) or (state.failures and not state.succeeded):
            rid = telling.rid_of(tx, TYPES["Endpoint"].code, state.endpoint.removeprefix("Endpoint/"))
            if rid is not None:
                due.append((SILENT, rid, state.succeeded))
    fresh = [one for one in due if not telling.is_announced(tx, *one)]
    return sum(outbox.announce(tx, topic, rid) for topic, rid, mark in fresh if telling.announce(tx, topic, rid, mark))
