"""Obligations carried out: the Task of somebody who can put it right, or word to somebody who must know, in the
transaction of the decision that asks for it. Both are changes like any other, of which one may be notified.

Each is made once: its id is made from what it is about, so that the next request finds it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from app.access import information
from app.fhir.identifier import ODS_ORGANISATION
from app.fhir.registry import TYPES
from app.fhir.temporal import format_instant
from app.policy.duty import TELLS, Duty, comes_of_age, duty
from app.policy.grant import Grant
from app.policy.switches import Switches
from app.storage import resources
from app.storage.engine import Tx
from app.storage.projection import patient_rid

CODES = "https://imaging-registry.example/fhir/CodeSystem/duty"
GRANTS = "https://imaging-registry.example/fhir/NamingSystem/emergency-access"


def carry_out(tx: Tx, grant: Grant, due: Iterable[Duty]) -> int:
    """Make the Tasks and Communications that are not there yet; how many. `grant` covers nothing: it says who writes."""
    wanted = {one.id: one for asked in due for one in _each(tx, asked)}
    text, ids = tx.in_list("i.id", list(wanted))
    kinds = f"({TYPES['Task'].code}, {TYPES['Communication'].code})"
    there = tx.rows(f"SELECT i.id FROM identity i WHERE i.type IN {kinds} AND {text}", ids)
    for one in [one for id, one in wanted.items() if (id,) not in there]:
        owner = one.owner or _keeper(tx, one)
        made = _notice(tx.at, one, owner) if one.code in TELLS else _task(tx.at, one, owner)
        resources.create(tx, replace(grant, writer=owner), made, one.id, "PUT")
    return len(wanted) - len(there)


def _each(tx: Tx, one: Duty) -> Iterator[Duty]:
    """A notice to those who made the patient's images is one to each of them, but for the organisation that asks."""
    if one.code != "NOTIFY_SOURCE_ORG" or one.owner is not None:
        yield one
        return
    rids = [rid for name in one.records if (rid := patient_rid(tx, name.partition("/")[2]))]
    for source in sorted({org for orgs in information.owners_of_studies(tx, rids).values() for org in orgs}):
        yield duty(one.code, one.records, one.basis, source, one.id, source, grant=one.grant)


def _notice(at: int, one: Duty, owner: str | None) -> dict[str, Any]:
    """Word to an organisation's privacy officer: what happened, and under what reference, and of nobody."""
    about: list[dict[str, Any]] = [{"reference": name} for name in one.basis]
    if one.grant:
        about.append({"identifier": {"system": GRANTS, "value": one.grant}})
    notice: dict[str, Any] = {
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"coding": [{"system": CODES, "code": one.code}]}],
        "priority": "urgent",
        "sent": format_instant(at),
        "payload": [{"contentString": one.says}],
    }
    return notice | ({"about": about} if about else {}) | ({"recipient": [_named(owner)]} if owner else {})


def _named(owner: str) -> dict[str, Any]:
    kind, _, code = owner.partition(":")
    return {"identifier": {"system": ODS_ORGANISATION, "value": code}} if kind == "ods" else {"reference": owner}


def _task(at: int, one: Duty, owner: str | None) -> dict[str, Any]:
    task: dict[str, Any] = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": one.code}]},
        "description": one.says,
        "authoredOn": format_instant(at),
    }
    if one.basis:
        task["focus"] = {"reference": one.basis[0]}
    if one.patient:
        task["for"] = {"reference": one.patient}
    if owner:
        task["owner"] = _named(owner)
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
