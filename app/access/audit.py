"""What happened, as one canonical record for each patient concerned. Identifiers, never names.

Failures are recorded as fully as successes. A record is plain data, cheap to make on the way of a request; it becomes
AuditEvents only when it is read (balp.py). Its bytes are canonical JSON (RFC 8785): the chain is made over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app import observability
from app.access import balp
from app.access.subject import Subject
from app.fhir.query import Query
from app.fhir.resource import dump
from app.policy.grant import Grant, Reasoned
from app.storage import audit
from app.storage.audit import AUTHENTICATION, BASIC, BY_CONSENT, DECISION, DISCLOSURE, REFUSED
from app.storage.engine import Tx
from app.storage.keys import new_id, words
from app.storage.resources import Stored
from app.storage.search import Page

ACTIONS = {"create": "C", "update": "U", "patch": "U", "delete": "D"}
QUERIES = ("search-type", "search-system", "operation", "batch", "transaction")
SHOWING = frozenset({"read", "vread", "search-type", "history-instance", "history-type", "history-system", "operation"})


def record(
    tx: Tx,
    subject: Subject | None,
    grant: Grant | None,
    interaction: str,
    type_name: str,
    *,
    status: int,
    disclosed: Sequence[Stored] = (),
    query: str = "",
    detail: str = "",
    request_id: str = "",
    named: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    address: str = "",
    asked: Sequence[str] = (),
) -> None:
    """One row for each patient whose data was given out (or who was named), one row where there is none.

    What is nobody's, such as an archive's Endpoint, is a part of each patient's row. `named` are references of
    patients; `asked` of what was asked about and not shown.
    """
    shared, patients, reasons = _by_patient(tx, grant, disclosed)
    concerned = patients or dict.fromkeys(named, ()) or {None: ()}
    general: dict[str, Any] = {
        "at": tx.at,
        "counts": dict(counts or {}),
        "detail": detail,
        "interaction": interaction,
        "query": query,
        "request": request_id,
        "status": status,
        "type": type_name,
        "address": subject.address if subject is not None else address,
        "asked": list(asked),
    }
    if subject is not None:
        general |= {
            "client": subject.client_id,
            "kind": subject.kind,
            "practitioner": subject.practitioner,
            "self": subject.patient,
            "role": subject.role,
            "organisation": subject.organisation,
            "purpose": subject.purpose,
            "token": subject.token,
            "expires": subject.expires,
        }
        if subject.emergency is not None:
            general["emergency"] = subject.emergency
    if grant is not None:
        general |= {"decision": grant.decision, "policy": grant.policy, "reasons": grant.reasons, "decided": grant.at}
    entries = []
    for patient, shown in concerned.items():
        said = reasons.get(patient) if patient is not None else None
        body = general | {
            "id": new_id(),
            "patient": patient,
            "entities": [one.versioned for one in (*shown, *shared)],
            "located": [one.versioned for one in shown if one.type == "ImagingStudy" and one.locatable],
        }
        if said is not None:
            observability.decided(said.effect)
            body |= {
                "basis": said.basis,
                "effect": said.effect,
                "obligations": said.obligations,
                "reasons": said.reasons,
                "until": said.until,
            }
        entries.append(entry(body))
    audit.write(tx, entries)


def entry(body: Mapping[str, Any]) -> audit.Entry:
    """The row of a record: every column is a function of the record, and `audit verify` holds it against it."""
    interaction, status = body["interaction"], body["status"]
    return audit.Entry(
        id=body["id"],
        at=body["at"],
        patient=body["patient"],
        action="E" if interaction in QUERIES else ACTIONS.get(interaction, "R"),
        subtype=interaction,
        outcome=balp.outcome_code(status),
        client=body.get("client"),
        agent=body.get("practitioner"),
        org=body.get("organisation"),
        entity=words([one.split("/_history/")[0] for one in body["entities"]]),
        faces=_faces(body),
        body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
    )


def columns(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What stands beside a record in its row (storage.audit.ENVELOPE)."""
    e = entry(body)
    return (e.id, e.at, e.patient, e.action, e.subtype, e.outcome, e.client, e.agent, e.org, e.entity, e.faces)


def _faces(body: Mapping[str, Any]) -> int:
    """Which AuditEvents the record stands for."""
    if body["interaction"] == "login":
        return AUTHENTICATION
    faces = BASIC
    if "effect" in body:
        faces |= DECISION
        open_ = body["effect"] in ("PERMIT", "REDACT") or (body["status"] < 400 and body["effect"] == "PARTIAL")
        faces |= 0 if open_ else REFUSED
        faces |= BY_CONSENT if any(one.startswith("Consent/") for one in body["basis"]) else 0
    if body["located"] and body["status"] < 400 and body["interaction"] in SHOWING:
        faces |= DISCLOSURE
    return faces


def _by_patient(
    tx: Tx, grant: Grant | None, disclosed: Sequence[Stored]
) -> tuple[list[Stored], dict[str | None, Sequence[Stored]], Mapping[str, Reasoned]]:
    """What is nobody's, what is whose, and the decision about each."""
    names = dict(grant.patients) if grant is not None else {}
    reasons = grant.reasoned if grant is not None else {}
    if missing := tuple(sorted({one.patient for one in disclosed if one.patient} - names.keys())):
        if grant is not None and grant.reason is not None:
            found = grant.reason(missing)
            names |= {rid: name for rid, (name, _) in found.items()}
            reasons = {**reasons, **dict(found.values())}
        else:
            names |= audit.patients(tx, missing)
    grouped: dict[str | None, list[Stored]] = {}
    shared = []
    for one in disclosed:
        if one.patient in names:
            grouped.setdefault(names[one.patient], []).append(one)
        else:
            shared.append(one)
    return shared, {**grouped}, reasons


def noted(
    tx: Tx,
    interaction: str,
    *,
    status: int,
    subject: Subject | None = None,
    client: str | None = None,
    detail: str = "",
    request_id: str = "",
    address: str = "",
) -> None:
    """Record what is no interaction with a resource: "login" for a token given or refused, by the claimed `client`."""
    who = subject or (Subject(client, "unknown", None, role="unknown") if client else None)
    record(tx, who, None, interaction, "", status=status, detail=detail, request_id=request_id, address=address)


def as_stored(row: audit.Recorded) -> Stored:
    """One of a record's AuditEvents in the shape of any other resource: one version, never changed."""
    event = balp.event(orjson.loads(row.body), row.face)
    return Stored(row.seq, "AuditEvent", event["id"], 1, row.at, False, dump(event), 0, None)


def read(tx: Tx, grant: Grant, id: str) -> Stored | None:
    """One AuditEvent, if the grant covers it."""
    row = audit.read(tx, grant, id)
    return as_stored(row) if row else None


def search(tx: Tx, grant: Grant, query: Query) -> Page:
    """A page of AuditEvents."""
    found = audit.search(tx, grant, query)
    return Page([as_stored(row) for row in found.rows], [], found.total, found.next, False)
