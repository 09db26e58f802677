"""How an interaction is carried out: in one transaction with its record; a refusal is recorded in one of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.access import audit
from app.access.reasoning import noted
from app.fhir.outcome import Fault
from app.interactions import Asked, Services
from app.policy.grant import Grant
from app.storage.engine import Tx

T = TypeVar("T")


def carry(
    services: Services, asked: Asked, interaction: str, type_name: str, work: Callable[[Tx], T], query: str = ""
) -> T:
    """Run `work` in a transaction that the database may ask to have run again. What it refuses is recorded too, with
    what was decided on the way to the refusal."""
    decided: Grant | None = None
    standing = asked.subject.standing

    def attempt(tx: Tx) -> T:
        nonlocal decided
        if standing is not None:
            standing.ask(tx)
        try:
            return work(tx)
        except Fault:
            tx.settle()  # whose token is good no more is told that, and nothing else
            decided = noted(tx)
            raise

    try:
        return services.store.retry(attempt)
    except Fault as fault:
        if standing is not None and standing.number is None:  # nobody's request: the edge records it as such
            raise
        if decided is not None and decided.due:
            due = decided.due
            services.store.retry(lambda tx: services.enforcement.discharge(tx, due))
        record_refusal(services, asked, interaction, type_name, fault, query, decided)
        raise


def record_refusal(
    services: Services,
    asked: Asked,
    interaction: str,
    type_name: str,
    fault: Fault,
    query: str = "",
    decided: Grant | None = None,
) -> None:
    """The record of a request that was not granted, as full as that of one that was."""
    services.store.retry(lambda tx: refused(tx, asked, interaction, type_name, fault, query, decided))


def refused(
    tx: Tx,
    asked: Asked,
    interaction: str,
    type_name: str,
    fault: Fault,
    query: str = "",
    decided: Grant | None = None,
) -> None:
    """The same inside a transaction that is open already."""
    audit.record(
        tx,
        asked.subject,
        decided,
        interaction,
        type_name,
        status=fault.status,
        query=query,
        detail=fault.text,
        request_id=asked.request_id,
        named=tuple(decided.patients.values()) if decided is not None and decided.reason is None else (),
    )
    fault.recorded = True
