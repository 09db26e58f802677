"""Whose a resource must be for a client to write it: the last column of the table in permissions.py, in code.

No write may make the relationship that lets the writer in where there is none: a team names people of an organisation
that already cares for the patient, and a referral comes from somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from app.access.permissions import CARED_FOR, CHOICES, REFERRALS, TEAMS, Kept
from app.fhir.outcome import Fault
from app.policy.care import compile_relationships
from app.storage.engine import Tx
from app.storage.projection import owner_of, resolver
from app.storage.resources import Stored

# What may still be said of a choice that was put on record.
OF_A_CHOICE = frozenset({"status", "meta", "text", "verification", "identifier"})
STEPS = {
    "active": ("active", "inactive", "entered-in-error"),
    "inactive": ("inactive", "entered-in-error"),
    "rejected": ("rejected", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}

REQUESTS = "https://imaging-registry.example/fhir/CodeSystem/registry-choice"

Cares = Callable[[str], bool]  # whether the client's organisation cares for the patient with this id, or made a study


def check(
    tx: Tx,
    kept: Kept,
    tree: frozenset[str],
    resource: dict[str, Any],
    current: Stored | None,
    writer: str | None,
    cares: Cares,
) -> None:
    """Raises Fault "forbidden" where the resource, as it is or as it is to be, is not one that the client may write."""
    type_name = resource["resourceType"]
    owner = owner_of(tx, resource, writer)
    if kept.whose == CARED_FOR:
        mine = current is None or current.owner in tree or cares(current.id)
        if not mine or (owner not in tree and (current is None or owner != current.owner)):
            raise _foreign(type_name)
        return
    if owner not in tree or (current is not None and current.owner not in tree):
        raise _foreign(type_name)
    if kept.whose == CHOICES:
        if current is not None and not current.deleted:
            _step(orjson.loads(current.content), resource)
    elif type_name == "Task" and current is not None and not current.deleted:
        _moved(orjson.loads(current.content), resource)
    elif type_name == "Appointment":
        if any(not one.orgs <= tree for one in compile_relationships(resource, resolver(tx), tx.zone)):
            raise _foreign(type_name)
    elif kept.whose == TEAMS:
        if not _cared_for(resource, cares):
            raise Fault(
                "forbidden",
                "this CareTeam is for a patient who is not in the organisation's care; expected one who is",
                detail="ACCESS_DENIED",
            )
    elif kept.whose == REFERRALS:
        _referral(tx, tree, resource, cares)


def _moved(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A request by form has effects at every step, so that it is moved by these steps alone."""
    codings = before.get("code", {}).get("coding", ())
    ours = any(isinstance(one, dict) and one.get("system") == REQUESTS for one in codings)
    if ours and (before.get("status"), before.get("for")) != (after.get("status"), after.get("for")):
        raise Fault(
            "unprocessable",
            "a request by form is not moved by writing its status; expected Task/$advance-request, or the desk",
            "Task.status",
        )


def _foreign(type_name: str) -> Fault:
    return Fault(
        "forbidden",
        f"this {type_name} belongs to another organisation; expected one of the client's own organisation",
        detail="ACCESS_DENIED",
    )


def _step(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A choice on record is superseded by a new one, and never edited."""
    steps = STEPS.get(str(before.get("status")))
    if steps is None:
        return
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - OF_A_CHOICE
    if changed or after.get("status") not in steps:
        raise Fault(
            "forbidden",
            "a choice that was put on record is not edited; expected a new Consent, or $record-choice, that supersedes it",
            detail="ACCESS_DENIED",
        )


def _referral(tx: Tx, tree: frozenset[str], resource: dict[str, Any], cares: Cares) -> None:
    requester = resource.get("requester")
    asked = compile_relationships(resource | {"performer": [requester]}, resolver(tx), tx.zone) if requester else []
    if any(not one.orgs <= tree for one in asked):
        raise _foreign("ServiceRequest")
    performed = compile_relationships(resource, resolver(tx), tx.zone)
    if any(one.orgs & tree for one in performed) and not _cared_for(resource, cares):
        raise Fault(
            "forbidden",
            "this ServiceRequest refers a patient to the client's own organisation, which has none of the patient's care;"
            " expected the referring organisation to write it",
            detail="ACCESS_DENIED",
        )


def _cared_for(resource: dict[str, Any], cares: Cares) -> bool:
    subject = resource.get("subject")
    text = subject.get("reference") if isinstance(subject, dict) else None
    return isinstance(text, str) and text.startswith("Patient/") and cares(text.split("/")[1])
