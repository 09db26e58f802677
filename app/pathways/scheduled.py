"""What the pathways do by time: each item of the agenda once, however many workers run. A new kind is one row of DOES."""

from __future__ import annotations

from collections.abc import Callable

from app import observability
from app.access.duties import review_minors
from app.fhir.temporal import DAY, MINUTE
from app.interactions import Services
from app.pathways import break_glass_review, emergency, mdt
from app.pathways.choice.clocks import KINDS, overdue
from app.storage import agenda
from app.storage.agenda import Item
from app.storage.engine import Tx, unavailable

MOST = 100
COME_OF_AGE = "come-of-age"
AGAIN = 15 * MINUTE

DOES: dict[str, Callable[[Services, Tx, Item], None]] = {
    break_glass_review.ESCALATE: lambda services, tx, one: break_glass_review.escalate(services, tx, one.ref),
    COME_OF_AGE: lambda services, tx, one: _come_of_age(services, tx, one),
    emergency.LOOK: lambda services, tx, one: emergency.look(services, tx, one.ref),
    mdt.CLOSE: lambda services, tx, one: mdt.closed(services, tx, one.ref),
    **dict.fromkeys(KINDS.values(), lambda services, tx, one: overdue(services, tx, one.kind, one.ref)),
}


def begin(services: Services) -> None:
    """Put down what recurs, where it is not there yet."""
    services.store.retry(lambda tx: agenda.put_new(tx, Item(COME_OF_AGE, "", tx.at)))


def _come_of_age(services: Services, tx: Tx, one: Item) -> None:
    """Once a day: the reviews that are due of choices made for children (P20)."""
    enforcement = services.enforcement
    review_minors(tx, enforcement.switches, enforcement.discharge)
    agenda.put(tx, Item(COME_OF_AGE, one.ref, tx.at + DAY))


def carry_out(services: Services) -> int:
    """Do what is due; how many items. One that fails is undone whole, holds up no other, and is tried again later."""
    with services.store.begin(reads=True) as tx:
        found = agenda.due(tx, MOST)
    return sum(_tried(services, one) for one in found)


def _tried(services: Services, one: Item) -> bool:
    try:
        return services.store.retry(lambda tx: _done(services, tx, one))
    except Exception as error:
        if unavailable(error):
            raise
        observability.event("scheduled_failed", error=type(error).__name__, place=observability.place_of(error))
        services.store.retry(lambda tx: _later(tx, one))
        return False


def _done(services: Services, tx: Tx, one: Item) -> bool:
    if not agenda.take(tx, one):
        return False
    DOES[one.kind](services, tx, one)
    return True


def _later(tx: Tx, one: Item) -> None:
    if agenda.take(tx, one):
        agenda.put(tx, Item(one.kind, one.ref, tx.at + AGAIN))
