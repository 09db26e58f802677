"""The clocks of a request, and what the worker does when one has run out: the request stands out, and the desk is told."""

from __future__ import annotations

from app.interactions import Services
from app.pathways.choice import filed
from app.pathways.choice.filed import Filed
from app.pathways.choice.response import CODES
from app.pathways.clocks import ACKNOWLEDGE_DAYS, CONFIRM_DAYS, one_month, working_days
from app.pathways.making import concept, notice
from app.storage import agenda, resources
from app.storage.agenda import Item
from app.storage.engine import Tx

KINDS = {name: f"choice-{name}" for name in ("acknowledge", "decide", "confirm")}
SAYS = {
    "acknowledge": "a request by form has not been acknowledged in writing within two working days",
    "decide": "a request by form has not been decided within one calendar month",
    "confirm": "a choice is in force, and the confirmation has not been sent within two working days",
}


def start(tx: Tx, one: Filed) -> None:
    """The acknowledgement and the decision are due from now on."""
    received = filed.instant(one.said["executionPeriod"]["start"], tx.zone) or tx.at
    agenda.put(
        tx,
        Item(KINDS["acknowledge"], one.task.id, working_days(received, ACKNOWLEDGE_DAYS, tx.zone)),
        Item(KINDS["decide"], one.task.id, one_month(received, tx.zone)),
    )


def acknowledged(tx: Tx, one: Filed) -> None:
    """The acknowledgement was sent."""
    agenda.drop(tx, KINDS["acknowledge"], one.task.id)


def decided(tx: Tx, one: Filed) -> None:
    """In force: the confirmation is due."""
    agenda.drop(tx, KINDS["decide"], one.task.id)
    agenda.put(tx, Item(KINDS["confirm"], one.task.id, working_days(tx.at, CONFIRM_DAYS, tx.zone)))


def stop(tx: Tx, one: Filed) -> None:
    """Nothing is due of the request any more."""
    for kind in KINDS.values():
        agenda.drop(tx, kind, one.task.id)


def overdue(services: Services, tx: Tx, kind: str, id: str) -> None:
    """A clock has run out: the Task becomes urgent, and the desk is told by reference."""
    grant = filed.sight(services, tx)
    task = resources.get(tx, grant, "Task", id)
    loaded = filed.load(services, tx, [task]) if task is not None and not task.deleted else []
    name = kind.removeprefix("choice-")
    if not loaded or name not in filed.request(services, tx, loaded[0]).overdue:
        return
    filed.changed(services, tx, grant, loaded[0], {"priority": "asap"}, f"overdue: {name}", {"authorString": "clock"})
    said = notice(concept(CODES, "overdue"), filed.desk_of(services), [f"Task/{id}"], SAYS[name], tx.at)
    services.validator.check(said)
    resources.create(tx, grant, said, f"{id}-overdue-{name}", "PUT")
