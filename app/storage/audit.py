"""The audit log: rows that are only ever added, in the transaction of what they record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.fhir.outcome import Fault
from app.fhir.query import Clause, Condition, Query, Range, Reference, Token
from app.fhir.registry import TYPES
from app.policy.grant import About, Everything, Grant, OwnedBy
from app.storage.engine import Tx
from app.storage.sql import FALSE, Sql, all_of, any_of, sql

# Which AuditEvents a row stands for: one for each bit up to AUTHENTICATION. The others say how the decision went.
BASIC, DECISION, DISCLOSURE, AUTHENTICATION, REFUSED, BY_CONSENT = 1, 2, 4, 8, 16, 32
SUFFIXES = {BASIC: "", DECISION: ".decision", DISCLOSURE: ".disclosure", AUTHENTICATION: ""}

COLUMNS = "a.seq, a.id, a.at, a.body, f.face"
ROWS = "audit a JOIN (SELECT 1 AS face UNION ALL SELECT 2 UNION ALL SELECT 4 UNION ALL SELECT 8) f ON (a.faces & f.face) <> 0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One audit row to be written. `patient`, `agent` and `entity` are references; `body` the canonical record."""

    id: str
    at: int
    patient: str | None
    action: str
    subtype: str
    outcome: str
    client: str | None
    agent: str | None
    org: str | None
    entity: str
    faces: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row, as one of the AuditEvents that it stands for."""

    seq: int
    id: str
    at: int
    body: bytes
    face: int = BASIC


ENVELOPE = "a.id, a.at, a.patient, a.action, a.subtype, a.outcome, a.client, a.agent, a.org, a.entity, a.faces"


def write(tx: Tx, entries: Sequence[Entry]) -> None:
    """Queue the rows; they commit with the transaction or not at all."""
    tx.many(
        "INSERT INTO audit (id, at, patient, action, subtype, outcome, client, agent, org, entity, faces, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (e.id, e.at, e.patient, e.action, e.subtype, e.outcome, e.client, e.agent, e.org, e.entity, e.faces, e.body)
            for e in entries
        ],
    )


def read(tx: Tx, grant: Grant, id: str) -> Recorded | None:
    """One AuditEvent, if the grant covers it."""
    shown = all_of([_of_id(id), "(" + visible(tx, grant) + ")"])
    row = tx.one(f"SELECT {COLUMNS} FROM {ROWS} WHERE {shown.text}", *shown.params)
    return _recorded(row) if row else None


def about(tx: Tx, id: str) -> tuple[str, ...]:
    """The id of the patient whom a row is about, if there is one."""
    row = tx.one("SELECT patient FROM audit WHERE id = ?", id.partition(".")[0])
    return (row[0].removeprefix("Patient/"),) if row and row[0] else ()


def _recorded(row: tuple[Any, ...]) -> Recorded:
    return Recorded(row[0], row[1], row[2], bytes(row[3]), row[4])


def _of_id(id: str) -> Sql:
    name, dot, suffix = id.partition(".")
    faces = [face for face, one in SUFFIXES.items() if one == dot + suffix]
    return sql("a.id = ?", name) + (f" AND f.face IN ({', '.join(map(str, faces))})" if faces else " AND FALSE")


def patients(tx: Tx, rids: Sequence[int]) -> dict[int, str]:
    """The references of patients."""
    names = {rid: tx.memory["name", rid] for rid in rids if ("name", rid) in tx.memory}
    if missing := [rid for rid in rids if rid not in names]:
        text, param = tx.in_list("patient", missing)
        names |= {rid: f"Patient/{id}" for rid, id in tx.rows(f"SELECT patient, id FROM person WHERE {text}", param)}
    return names


@dataclass(frozen=True, slots=True)
class Found:
    rows: list[Recorded]
    total: int | None
    next: str | None


def search(tx: Tx, grant: Grant, query: Query) -> Found:
    """A page of the log, newest first (or oldest first by `_sort=date`)."""
    where = all_of([visible(tx, grant), *("(" + _condition(tx, condition) + ")" for condition in query.where)])
    total = None
    if query.total != "none" or query.summary == "count" or query.count == 0:
        total = int(tx.rows(f"SELECT count(*) FROM {ROWS} WHERE " + where.text, *where.params)[0][0])
    if query.summary == "count" or query.count == 0:
        return Found([], total, None)
    for sort in query.sort:
        if sort.param.name not in ("date", "_lastUpdated"):
            raise Fault("invalid", "the audit is sorted by 'date' or '_lastUpdated' alone")
    rising = bool(query.sort) and not query.sort[0].descending
    if query.cursor is not None:
        seq, _, face = query.cursor.partition(".")
        if not (seq.isdecimal() and face.isdecimal()):
            raise Fault("invalid", "the page link is damaged; expected a link as the server gave it")
        where = where + sql(f" AND (a.seq, f.face) {'>' if rising else '<'} (?, ?)", int(seq), int(face))
    order = "ASC" if rising else "DESC"
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM {ROWS} WHERE {where.text} ORDER BY a.seq {order}, f.face {order} LIMIT ?",
        *where.params,
        query.count + 1,
    )
    more = len(rows) > query.count
    found = [_recorded(row) for row in rows[: query.count]]
    return Found(found, total, f"{found[-1].seq}.{found[-1].face}" if more else None)


def visible(tx: Tx, grant: Grant) -> Sql:
    """Rows of the reader's own organisation, and those about patients whose facts the grant holds; of these what lies
    within the token's scopes."""
    permitted = _permits(tx, grant)
    if "AuditEvent" not in grant.within:
        return permitted
    slices = [one.patient for one in grant.within["AuditEvent"]]
    return "(" + permitted + " AND " + any_of([_about_group(one) if one else sql("TRUE") for one in slices]) + ")"


def _about_group(patient: str) -> Sql:
    return sql(
        "a.patient IN (SELECT 'Patient/' || sb.id FROM person sa JOIN person sb ON sb.grp = sa.grp WHERE sa.id = ?)",
        patient.removeprefix("Patient/"),
    )


def _permits(tx: Tx, grant: Grant) -> Sql:
    parts = []
    for rule in grant.rows.get("AuditEvent", ()):
        if isinstance(rule, Everything):
            return sql("TRUE")
        if isinstance(rule, OwnedBy) and rule.orgs:
            text, param = tx.in_list("a.org", rule.orgs)
            parts.append(sql(text, param))
        if isinstance(rule, About):
            refs = [grant.patients[rid] for rid in rule.patients if rid in grant.patients]
            text, param = tx.in_list("a.patient", refs)
            parts.append(sql(text, param))
    return any_of(parts)


AET = "http://terminology.hl7.org/CodeSystem/audit-event-type"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
AUTHZ = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"

# parameter: what each AuditEvent of a row has there, as (faces, expression, code system)
TOKENS: dict[str, tuple[tuple[int, str, str | None], ...]] = {
    "action": (
        (BASIC | AUTHENTICATION, "a.action", "http://hl7.org/fhir/audit-event-action"),
        (DECISION, "'E'", "http://hl7.org/fhir/audit-event-action"),
        (DISCLOSURE, "'R'", "http://hl7.org/fhir/audit-event-action"),
    ),
    "outcome": (
        (BASIC | DISCLOSURE | AUTHENTICATION, "a.outcome", "http://hl7.org/fhir/audit-event-outcome"),
        (
            DECISION,
            f"CASE WHEN (a.faces & {REFUSED}) <> 0 THEN '4' ELSE '0' END",
            "http://hl7.org/fhir/audit-event-outcome",
        ),
    ),
    "subtype": (
        (BASIC | DISCLOSURE, "a.subtype", RESTFUL),
        (DECISION, f"CASE WHEN (a.faces & {BY_CONSENT}) <> 0 THEN 'AuthZ-Consent' ELSE 'AuthZ-Role' END", AUTHZ),
        (DISCLOSURE, "'disclose'", LIFECYCLE),
        (AUTHENTICATION, "'110122'", DCM),
    ),
    "type": (
        (BASIC, "'rest'", AET),
        (DECISION, "'110113'", DCM),
        (DISCLOSURE, "'110106'", DCM),
        (AUTHENTICATION, "'110114'", DCM),
    ),
}


def _condition(tx: Tx, condition: Condition) -> Sql:
    if not isinstance(condition, Clause) or condition.modifier is not None:
        raise Fault("invalid", "the audit is searched without chains and modifiers")
    name = condition.param.name
    parts: list[Sql] = []
    for value in condition.values:
        if isinstance(value, Range):
            parts.append(_range(value))
        elif isinstance(value, Token) and name == "_id":
            parts.append(_of_id(value.code or ""))
        elif isinstance(value, Token) and name in TOKENS:
            parts += [
                sql(f"(f.face & {faces}) <> 0")
                if value.code is None
                else sql(f"(f.face & {faces}) <> 0 AND {expression} = ?", value.code)
                for faces, expression, system in TOKENS[name]
                if value.system in (None, system)
            ]
        elif isinstance(value, Reference) and value.id is not None:
            parts.append(_reference(tx, name, value))
        else:
            parts.append(FALSE)
    return any_of(parts)


def _range(value: Range) -> Sql:
    column = "a.at"
    match value.prefix:
        case "gt" | "sa":
            return sql(f"{column} >= ?", value.high)
        case "lt" | "eb":
            return sql(f"{column} < ?", value.low)
        case "ge":
            return sql(f"{column} >= ?", value.low)
        case "le":
            return sql(f"{column} < ?", value.high)
        case "ne":
            return sql(f"NOT ({column} >= ? AND {column} < ?)", value.low, value.high)
        case _:
            return sql(f"{column} >= ? AND {column} < ?", value.low, value.high)


def _reference(tx: Tx, name: str, value: Reference) -> Sql:
    ref = f"{value.type or 'Patient'}/{value.id}"
    if name == "patient":
        return sql("a.patient = ?", ref)
    if name == "agent":
        return sql("a.agent = ?", f"{value.type or 'Practitioner'}/{value.id}")
    if name == "entity" and value.type in TYPES:
        # A row names its patient, and the patient column has the index: find the entity's own patient first.
        function = "strpos" if tx.postgresql else "instr"
        return sql(
            "(a.patient = ? OR a.patient IS NULL OR a.patient IN (SELECT 'Patient/' || p.id FROM identity i"
            " JOIN person p ON p.patient = i.patient WHERE i.type = ? AND i.id = ?))"
            f" AND {function}(a.entity, ?) > 0",
            ref,
            TYPES[value.type].code,
            value.id,
            f" {ref} ",
        )
    return FALSE


@dataclass(frozen=True, slots=True)
class Shown:
    """A row by which something of a patient's was shown."""

    seq: int
    id: str
    at: int
    org: str | None
    body: bytes


def disclosures(tx: Tx, grant: Grant, patients: Sequence[str], before: int | None, count: int) -> list[Shown]:
    """What was shown of these patients (references), as far as the grant covers, the newest first. Reading the audit is
    not among it: of the patient it shows nothing."""
    text, param = tx.in_list("a.patient", list(patients))
    function = "strpos" if tx.postgresql else "instr"
    where = all_of([sql(text, param), "(" + visible(tx, grant) + ")"])
    if before is not None:
        where = where + sql(" AND a.seq < ?", before)
    rows = tx.rows(
        f"SELECT a.seq, a.id, a.at, a.org, a.body FROM audit a WHERE {where.text} AND a.outcome = '0' AND a.action IN ('R', 'E')"
        f" AND a.entity <> ' ' AND {function}(a.entity, ' AuditEvent/') = 0 ORDER BY a.seq DESC LIMIT ?",
        *where.params,
        count,
    )
    return [Shown(row[0], row[1], row[2], row[3], bytes(row[4])) for row in rows]


def organisation_names(tx: Tx, keys: Sequence[str]) -> dict[str, str]:
    """What the organisations with these keys call themselves."""
    if not keys:
        return {}
    text, param = tx.in_list("o.key", sorted(set(keys)))
    rows = tx.rows(f"SELECT o.key, r.content FROM organisation o JOIN resource r ON r.rid = o.rid WHERE {text}", param)
    named = {key: orjson.loads(content).get("name") for key, content in rows if content}
    return {key: name for key, name in named.items() if isinstance(name, str)}
