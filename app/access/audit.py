"""What happened, as one canonical record and as an AuditEvent by IHE BALP. Identifiers, never names.

https://profiles.ihe.net/ITI/BALP/. Failures are recorded as fully as successes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from app.access.subject import Subject
from app.fhir.query import Query
from app.fhir.resource import dump
from app.fhir.temporal import format_instant
from app.policy.grant import Grant
from app.storage import audit
from app.storage.engine import Tx
from app.storage.keys import new_id, words
from app.storage.resources import Stored
from app.storage.search import Page

ACTIONS = {"create": "C", "update": "U", "patch": "U", "delete": "D"}
QUERIES = ("search-type", "search-system", "operation")


def outcome_code(status: int) -> str:
    """AuditEvent.outcome: 0 success, 4 the requester's fault or a refusal, 8 ours."""
    return "0" if status < 400 else ("4" if status < 500 else "8")


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
) -> None:
    """One row for each patient whose data was given out (or who was named), one row where there is none."""
    patients = _by_patient(tx, grant, disclosed) or dict.fromkeys(named or (), ()) or {None: tuple(disclosed)}
    action = "E" if interaction in QUERIES else ACTIONS.get(interaction, "R")
    entries = []
    for patient, shown in patients.items():
        body: dict[str, Any] = {
            "id": new_id(),
            "at": tx.at,
            "interaction": interaction,
            "type": type_name,
            "status": status,
            "patient": patient,
            "entities": [one.versioned for one in shown],
            "located": [one.versioned for one in shown if one.type == "ImagingStudy" and one.locatable],
            "query": query,
            "detail": detail,
            "request": request_id,
        }
        if subject is not None:
            body |= {
                "client": subject.client_id,
                "kind": subject.kind,
                "practitioner": subject.practitioner,
                "role": subject.role,
                "organisation": subject.organisation,
                "purpose": subject.purpose,
            }
        if grant is not None:
            body |= {
                "decision": grant.decision,
                "policy": grant.policy,
                "reasons": grant.reasons,
                "basis": grant.basis,
                "obligations": grant.obligations,
                "until": grant.until,
            }
        entries.append(
            audit.Entry(
                id=body["id"],
                at=tx.at,
                patient=patient,
                action=action,
                subtype=interaction,
                outcome=outcome_code(status),
                client=body.get("client"),
                agent=body.get("practitioner"),
                org=body.get("organisation"),
                entity=words([f"{one.type}/{one.id}" for one in shown]),
                body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
            )
        )
    audit.write(tx, entries)


def _by_patient(tx: Tx, grant: Grant | None, disclosed: Sequence[Stored]) -> dict[str | None, Sequence[Stored]]:
    rids = {one.patient for one in disclosed if one.patient}
    names = dict(grant.patients) if grant is not None else {}
    if missing := sorted(rids - names.keys()):
        text, param = tx.in_list("patient", missing)
        names |= {rid: f"Patient/{id}" for rid, id in tx.rows(f"SELECT patient, id FROM person WHERE {text}", param)}
    grouped: dict[str | None, list[Stored]] = {}
    for one in disclosed:
        grouped.setdefault(names.get(one.patient), []).append(one)
    return dict(grouped)


def as_fhir(body: bytes) -> dict[str, Any]:
    """The AuditEvent for a record."""
    said = orjson.loads(body)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": said["id"],
        "meta": {"versionId": "1", "lastUpdated": format_instant(said["at"]), "profile": [_profile(said)]},
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": said["interaction"]}],
        "action": "E" if said["interaction"] in QUERIES else ACTIONS.get(said["interaction"], "R"),
        "recorded": format_instant(said["at"]),
        "outcome": outcome_code(said["status"]),
        "agent": _agents(said),
        "source": {
            "observer": {"display": "imaging registry"},
            "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4"}],
        },
        "entity": _entities(said),
    }
    if said["detail"]:
        event["outcomeDesc"] = said["detail"]
    if said.get("purpose"):
        event["purposeOfEvent"] = [_purpose(said["purpose"])]
    if not event["entity"]:
        del event["entity"]
    return event


BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."


def _profile(said: dict[str, Any]) -> str:
    if said["located"]:
        return BALP + "PrivacyDisclosure.Source"
    name = {"create": "Create", "update": "Update", "patch": "Update", "delete": "Delete"}.get(
        said["interaction"], "Read"
    )
    if said["interaction"] in QUERIES:
        name = "Query"
    return f"{BALP}{'Patient' if said['patient'] else ''}{name}"


def _purpose(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code}]}


def _agents(said: dict[str, Any]) -> list[dict[str, Any]]:
    client = said.get("client") or "anonymous"
    agents: list[dict[str, Any]] = [
        {
            "type": {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110153"}]},
            "who": {"identifier": {"value": client}},
            "requestor": not said.get("practitioner"),
        }
    ]
    if said.get("practitioner"):
        agents.append(
            {
                "type": {
                    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]
                },
                "role": [{"text": said["role"]}],
                "who": {"reference": said["practitioner"]},
                "requestor": True,
                **({"policy": [f"urn:sha256:{said['policy']}"]} if said.get("policy") else {}),
            }
        )
    if said.get("organisation"):
        code = str(said["organisation"]).removeprefix("ods:")
        agents.append(
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleClass", "code": "PROV"}]},
                "who": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}},
                "requestor": False,
            }
        )
    return agents


def _entities(said: dict[str, Any]) -> list[dict[str, Any]]:
    role_system = "http://terminology.hl7.org/CodeSystem/object-role"
    type_system = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
    entities: list[dict[str, Any]] = []
    if said["patient"]:
        entities.append(
            {
                "what": {"reference": said["patient"]},
                "type": {"system": type_system, "code": "1"},
                "role": {"system": role_system, "code": "1"},
            }
        )
    for reference in said["entities"]:
        entities.append(
            {
                "what": {"reference": reference},
                "type": {"system": type_system, "code": "2"},
                "role": {"system": role_system, "code": "4"},
            }
        )
    if said["query"]:
        entities.append(
            {
                "type": {"system": type_system, "code": "2"},
                "role": {"system": role_system, "code": "24"},
                "query": _base64(said["query"]),
            }
        )
    detail = [
        {"type": name, "valueString": value if isinstance(value, str) else ", ".join(value)}
        for name in ("decision", "reasons", "basis", "obligations")
        if (value := said.get(name))
    ]
    if said.get("until"):
        detail.append({"type": "until", "valueString": format_instant(said["until"])})
    if detail:
        entities.append(
            {
                "what": {"identifier": {"value": said["decision"]}},
                "type": {"system": type_system, "code": "2"},
                "role": {"system": role_system, "code": "13"},
                "detail": detail,
            }
        )
    if said["request"]:
        entities.append(
            {
                "what": {"identifier": {"value": said["request"]}},
                "type": {
                    "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                    "code": "XrequestId",
                },
            }
        )
    return entities


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def as_stored(row: audit.Recorded) -> Stored:
    """A record in the shape of any other resource: one version, never changed."""
    return Stored(row.seq, "AuditEvent", row.id, 1, row.at, False, dump(as_fhir(row.body)), 0, None)


def read(tx: Tx, grant: Grant, id: str) -> Stored | None:
    """One AuditEvent, if the grant covers it."""
    row = audit.read(tx, grant, id)
    return as_stored(row) if row else None


def search(tx: Tx, grant: Grant, query: Query) -> Page:
    """A page of AuditEvents."""
    found = audit.search(tx, grant, query)
    return Page([as_stored(row) for row in found.rows], [], found.total, found.next, False)
