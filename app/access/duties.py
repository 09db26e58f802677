"""Obligations carried out: the Task of somebody who can put it right, in the transaction of the decision that asks for it.

A Task is made once: its id is made from what it is about, so that the next request finds it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from app.access import information
from app.fhir.registry import TYPES
from app.fhir.temporal import format_instant
from app.policy.duty import Duty, comes_of_age
from app.policy.grant import Grant
from app.policy.switches import Switches
from app.storage import resources
from app.storage.engine import Tx

CODES = "https://imaging-registry.example/fhir/CodeSystem/duty"
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


def carry_out(tx: Tx, grant: Grant, due: Iterable[Duty]) -> int:
    """Make the Tasks that are not there yet; how many. `grant` covers nothing: it says who writes."""
    wanted = {one.id: one for one in due}
    text, ids = tx.in_list("i.id", list(wanted))
    there = tx.rows(f"SELECT i.id FROM identity i WHERE i.type = ? AND {text}", TYPES["Task"].code, ids)
    for one in [one for id, one in wanted.items() if (id,) not in there]:
        owner = one.owner or _keeper(tx, one)
        resources.create(tx, replace(grant, writer=owner), _task(tx.at, one, owner), one.id, "PUT")
    return len(wanted) - len(there)


def _task(at: int, one: Duty, owner: str | None) -> dict[str, Any]:
    task: dict[str, Any] = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": one.code}]},
        "description": one.asks,
        "authoredOn": format_instant(at),
    }
    if one.basis:
        task["focus"] = {"reference": one.basis[0]}
    if one.patient:
        task["for"] = {"reference": one.patient}
    if owner:
        kind, _, code = owner.partition(":")
        task["owner"] = {"identifier": {"system": ODS, "value": code}} if kind == "ods" else {"reference": owner}
    if len(one.basis) > 1:
        also = {"coding": [{"system": CODES, "code": "basis"}]}
        task["input"] = [{"type": also, "valueReference": {"reference": name}} for name in one.basis[1:]]
    return task


def _keeper(tx: Tx, one: Duty) -> str | None:
    """The organisation that keeps what the task is about, or the patient's record."""
    for name in (*one.basis, one.patient):
        kind, _, id = (name or "").partition("/")
        row = tx.one(
            "SELECT r.owner FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
            " WHERE i.type = ? AND i.id = ?",
            TYPES[kind].code if kind in TYPES else 0,
            id,
        )
        if row and row[0]:
            return str(row[0])
    return None


def review_minors(tx: Tx, switches: Switches, discharge: Callable[[Tx, tuple[Duty, ...]], int]) -> int:
    """Open the reviews that are due of choices made for children (P20); how many."""
    made, after = 0, (0, 0)
    while rows := information.choices_and_births(tx, after):
        found = (comes_of_age(one, born, switches.minor_review_months, tx.at) for _, _, one, born in rows)
        if due := tuple(one for one in found if one):
            made += discharge(tx, due)
        after = rows[-1][:2]
    return made
