"""The audit log: rows that are only ever added, in the transaction of what they record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.fhir.outcome import Fault
from app.fhir.query import Clause, Condition, Query, Range, Reference, Token
from app.fhir.registry import TYPES
from app.policy.grant import About, Everything, Grant, OwnedBy
from app.storage.engine import Tx
from app.storage.sql import FALSE, Sql, all_of, any_of, sql

COLUMNS = "a.seq, a.id, a.at, a.body"


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
    body: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    seq: int
    id: str
    at: int
    body: bytes


def write(tx: Tx, entries: Sequence[Entry]) -> None:
    """Queue the rows; they commit with the transaction or not at all."""
    tx.many(
        "INSERT INTO audit (id, at, patient, action, subtype, outcome, client, agent, org, entity, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (e.id, e.at, e.patient, e.action, e.subtype, e.outcome, e.client, e.agent, e.org, e.entity, e.body)
            for e in entries
        ],
    )


def read(tx: Tx, grant: Grant, id: str) -> Recorded | None:
    """One row, if the grant covers it."""
    shown = visible(tx, grant)
    row = tx.one(f"SELECT {COLUMNS} FROM audit a WHERE a.id = ? AND {shown.text}", id, *shown.params)
    return Recorded(row[0], row[1], row[2], bytes(row[3])) if row else None


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
        total = int(tx.rows("SELECT count(*) FROM audit a WHERE " + where.text, *where.params)[0][0])
    if query.summary == "count" or query.count == 0:
        return Found([], total, None)
    for sort in query.sort:
        if sort.param.name not in ("date", "_lastUpdated"):
            raise Fault("invalid", "the audit is sorted by 'date' or '_lastUpdated' alone")
    rising = bool(query.sort) and not query.sort[0].descending
    if query.cursor is not None:
        if not query.cursor.isdecimal():
            raise Fault("invalid", "the page link is damaged; expected a link as the server gave it")
        where = where + sql(f" AND a.seq {'>' if rising else '<'} ?", int(query.cursor))
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM audit a WHERE {where.text} ORDER BY a.seq {'ASC' if rising else 'DESC'} LIMIT ?",
        *where.params,
        query.count + 1,
    )
    more = len(rows) > query.count
    found = [Recorded(row[0], row[1], row[2], bytes(row[3])) for row in rows[: query.count]]
    return Found(found, total, str(found[-1].seq) if more else None)


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


# parameter: (expression, the code system that its codes are of)
TOKENS = {
    "_id": ("a.id", None),
    "action": ("a.action", None),
    "outcome": ("a.outcome", None),
    "subtype": ("a.subtype", "http://hl7.org/fhir/restful-interaction"),
    "type": ("'rest'", "http://terminology.hl7.org/CodeSystem/audit-event-type"),
}


def _condition(tx: Tx, condition: Condition) -> Sql:
    if not isinstance(condition, Clause) or condition.modifier is not None:
        raise Fault("invalid", "the audit is searched without chains and modifiers")
    name = condition.param.name
    parts: list[Sql] = []
    for value in condition.values:
        if isinstance(value, Range):
            parts.append(_range(value))
        elif isinstance(value, Token) and name in TOKENS:
            expression, system = TOKENS[name]
            parts.append(sql(f"{expression} = ?", value.code) if value.system in (None, system) else FALSE)
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
