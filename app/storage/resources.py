"""Resources and their versions: read, write, history. Each function on protected rows takes a Grant.

The bytes that were accepted are kept and go out as they came in, but for `id` and `meta`. One transaction holds the
resource, its former version, its index, what policy reads of it, the feed and the outbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import orjson

from app.fhir import temporal
from app.fhir.identifier import bare_uid
from app.fhir.outcome import Fault
from app.fhir.query import Clause, Query, Token
from app.fhir.registry import TYPES
from app.fhir.resource import dump
from app.policy.grant import Grant
from app.storage import foresight, former, indexing, outbox, projection
from app.storage.dependents import dependents
from app.storage.engine import Contention, Tx
from app.storage.keys import new_id, new_rid
from app.storage.predicate import locatable, visible
from app.storage.sql import Sql, sql

TYPE_NAMES = {definition.code: name for name, definition in TYPES.items()}
OPERATIONS = {1: "POST", 2: "PUT", 3: "DELETE", 4: "PATCH"}
OP_CODES = {name: code for code, name in OPERATIONS.items()}

_HEAD = re.compile(rb'{"resourceType":("\w+"),"id":"[^"]*","meta":{"versionId":"[0-9]+","lastUpdated":"[^"]+"')

COLUMNS = "{0}.rid, {0}.type, {0}.id, {0}.version, {0}.updated, {0}.deleted, {0}.content, {0}.patient, {0}.owner"
PATIENT = 7  # its place among them


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource. `updated` in microseconds UTC; `patient` the rid of its Patient, 0 for none."""

    rid: int
    type: str
    id: str
    version: int
    updated: int
    deleted: bool
    content: bytes
    patient: int
    owner: str | None
    locatable: bool = True

    @property
    def ref(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def versioned(self) -> str:
        return f"{self.type}/{self.id}/_history/{self.version}"


def stored(row: tuple[Any, ...]) -> Stored:
    """A Stored from a row of COLUMNS, with `locatable` when the row has one column more."""
    rid, type_code, id, version, updated, deleted, content, patient, owner = row[:9]
    shown = bool(row[9]) if len(row) > 9 else True
    return Stored(
        rid, TYPE_NAMES[type_code], id, version, updated, bool(deleted), bytes(content), patient, owner, shown
    )


def foresee(tx: Tx, grant: Grant, type_name: str, id: str) -> None:
    """Ask for the current version in the round trip of the next statement, for `get` to find."""
    foresight.look(tx, grant, (type_name, id), _current(tx, grant, type_name, id))


def get(tx: Tx, grant: Grant, type_name: str, id: str) -> Stored | None:
    """The current version, deleted or not, if the grant covers it."""
    rows = foresight.seen(tx, grant, (type_name, id), type_name, lambda rows: (row[PATIENT] for row in rows))
    if rows is None:
        statement = _current(tx, grant, type_name, id)
        rows = tx.rows(statement.text, *statement.params)
    return stored(rows[0]) if rows else None


def _current(tx: Tx, grant: Grant, type_name: str, id: str) -> Sql:
    shown, located = visible(tx, grant, type_name, "r"), locatable(tx, grant, type_name, "r")
    return (
        f"SELECT {COLUMNS.format('r')}, ("
        + located
        + sql(
            ") FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid WHERE i.type = ? AND i.id = ? AND ",
            TYPES[type_name].code,
            id,
        )
        + shown
    )


def get_version(tx: Tx, grant: Grant, type_name: str, id: str, version: int) -> Stored | None:
    """One version, if the grant covers the resource as it is now and as it was then."""
    current = get(tx, grant, type_name, id)
    if current is None or current.version == version:
        return current
    shown, located = visible(tx, grant, type_name, "h"), locatable(tx, grant, type_name, "h")
    statement = (
        f"SELECT {COLUMNS.format('h')}, ("
        + located
        + ") FROM "
        + former.versions(tx, current.rid, current.patient)
        + sql(" AND h.version = ? AND (", version)
        + (shown + ")")
    )
    row = tx.one(statement.text, *statement.params)
    if row is None:
        return None
    found = stored(row)
    return replace(found, locatable=found.locatable and current.locatable)


FEW = 8  # looked up one by one: with lists, whose length it does not know, PostgreSQL plans anew every time
_THERE = (
    "SELECT i.type, i.id, r.rid, r.owner FROM identity i JOIN resource r ON r.patient = i.patient AND r.rid = i.rid"
    " WHERE NOT r.deleted AND"
)


def unresolved(tx: Tx, references: Iterable[str]) -> set[str]:
    """Those of the references ("Type/id") that name no resource in store, or a deleted one. What is found out of the others
    on the way is remembered, for it will be asked next."""
    missing = {reference for reference in references if ("there", reference) not in tx.memory}
    if not missing:
        return missing
    named = [(TYPES[type_name].code, id) for type_name, id in (one.split("/") for one in sorted(missing))]
    if len(named) <= FEW:
        one_of = " UNION ALL ".join([f"{_THERE} i.type = ? AND i.id = ?"] * len(named))
        rows = tx.rows(one_of, *(value for pair in named for value in pair))
    else:
        types, codes = tx.in_list("i.type", sorted({code for code, _ in named}))
        ids, values = tx.in_list("i.id", sorted({id for _, id in named}))
        rows = tx.rows(f"{_THERE} {types} AND {ids}", codes, values)
    for code, id, rid, owner in rows:
        projection.recall(tx, TYPE_NAMES[code], id, rid, owner)
    return missing - {f"{TYPE_NAMES[code]}/{id}" for code, id, _, _ in rows}


def match_keys(query: Query) -> set[bytes]:
    """What the criteria of a conditional write are held by: the identifiers that they name, each without its system and
    prefix, so that criteria that could match one resource meet; without identifiers, the criteria as a whole."""
    named = {
        f"{query.type} {bare_uid(value.code)}"
        for condition in query.where
        if isinstance(condition, Clause) and condition.param.shape == "identifier" and condition.modifier is None
        for value in condition.values
        if isinstance(value, Token) and value.code
    }
    whole = f"{query.type} {sorted(map(repr, query.where))}"
    return {blake2b(key.encode(), digest_size=16).digest() for key in named or {whole}}


def lock_match_keys(tx: Tx, keys: Iterable[bytes], *, now: bool = False) -> None:
    """Hold the keys from the next statement until the transaction ends, so that two never search by one at once; in order,
    so that two transactions never wait for each other. `now`: they are held when this returns, for whoever goes by the
    clock or by what they have looked up before."""
    for key in sorted(set(keys)):
        if ("held", key) not in tx.memory:
            tx.many(
                "INSERT INTO match_key (hash, at) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET at = excluded.at",
                [(key, tx.at)],
            )
            tx.memory["held", key] = True
    if now:
        tx.flush()


def same_person(tx: Tx, reference: str, patient: int) -> bool:
    """Whether the reference names the patient of this rid, or a record that was joined with theirs."""
    return (
        tx.one(
            "SELECT 1 FROM identity i JOIN person a ON a.patient = i.rid JOIN person b ON b.grp = a.grp"
            " WHERE i.type = ? AND i.id = ? AND b.patient = ?",
            TYPES["Patient"].code,
            reference.removeprefix(f"{tx.base_url}/").removeprefix("Patient/").split("/")[0],
            patient,
        )
        is not None
    )


def taken(tx: Tx, type_name: str, id: str) -> bool:
    """Whether the id is in use by any resource of the type, deleted or not."""
    return tx.one("SELECT 1 FROM identity WHERE type = ? AND id = ?", TYPES[type_name].code, id) is not None


def create(
    tx: Tx,
    grant: Grant,
    resource: dict[str, Any],
    id: str | None = None,
    method: str = "POST",
    *,
    alone: bool = False,
) -> Stored:
    """Store a new resource; `method` is what it came by. The database refuses an id that has just been taken.

    `alone`: the caller knows that nothing in store refers to it and that it joins no records (see `bulk`), so that
    nothing needs to be looked up and derived again.
    """
    now = Stored(new_rid(), resource["resourceType"], id or new_id(), 0, tx.at, False, b"", 0, None)
    return _put(tx, grant, now, resource, method, existing=False, alone=alone)


def update(tx: Tx, grant: Grant, current: Stored, resource: dict[str, Any], method: str = "PUT") -> Stored:
    """Store a new version; the current one itself if nothing but id and meta's own fields differs."""
    if not current.deleted and digest(dump(stamped(resource, "", 0, 0))) == _digest_of(tx, current):
        return current
    return _put(tx, grant, current, resource, method, existing=True)


def delete(tx: Tx, grant: Grant, current: Stored) -> Stored:
    """Mark as deleted. What policy reads of the row stays, so that only those who saw it learn that it went."""
    version, updated = current.version + 1, max(tx.at, current.updated + 1)
    _keep(tx, current)
    changed = tx.run(
        "UPDATE resource SET version = ?, updated = ?, deleted = TRUE, op = ?, content = ?, hash = ?"
        " WHERE patient = ? AND rid = ? AND version = ?",
        version,
        updated,
        OP_CODES["DELETE"],
        b"",
        b"",
        current.patient,
        current.rid,
        current.version,
    )
    if changed != 1:
        raise Contention
    gone = replace(current, version=version, updated=updated, deleted=True, content=b"")
    indexing.clear(tx, current.patient, current.rid)
    projection.remove(tx, gone)
    outbox.record(tx, gone, OP_CODES["DELETE"])
    for patient, rid in dependents(tx, gone, existing=True):
        _reindex(tx, patient, rid)
    return gone


def _put(
    tx: Tx,
    grant: Grant,
    current: Stored,
    resource: dict[str, Any],
    method: str,
    *,
    existing: bool,
    alone: bool = False,
) -> Stored:
    version, updated = current.version + 1, max(tx.at, current.updated + (1 if existing else 0))
    content = dump(stamped(resource, current.id, version, updated))
    local, extracted = indexing.read(tx, resource, content)
    facts = projection.read(
        tx, local, current.type, current.id, current.rid, grant.writer, extracted, fresh=not existing
    )
    op = OP_CODES[method]
    code = TYPES[current.type].code
    low, high = facts.when
    values = (
        *(version, updated, op, content, digest(content), facts.owner, facts.status),
        *(low, high, facts.marks, indexing.latest(low, high)),
    )
    if existing:
        _keep(tx, current)
        _move(tx, current, facts.patient)
        changed = tx.run(
            "UPDATE resource SET version = ?, updated = ?, deleted = FALSE, op = ?, content = ?, hash = ?, owner = ?,"
            " status = ?, low = ?, high = ?, facts = ?, latest = ? WHERE patient = ? AND rid = ? AND version = ?",
            *values,
            facts.patient,
            current.rid,
            current.version,
        )
        if changed != 1:
            raise Contention
        indexing.clear(tx, current.patient, current.rid)
    else:
        tx.many(
            "INSERT INTO identity (type, id, rid, patient) VALUES (?, ?, ?, ?)",
            [(code, current.id, current.rid, facts.patient)],
        )
        tx.many(
            "INSERT INTO resource (version, updated, op, content, hash, owner, status, low, high, facts, latest, patient,"
            " rid, type, id, deleted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*values, facts.patient, current.rid, code, current.id, False)],
        )
    indexing.write(tx, current.type, extracted, facts.patient, current.rid)
    now = Stored(current.rid, current.type, current.id, version, updated, False, content, facts.patient, facts.owner)
    projection.write(tx, now, local, facts, moved_from=current.patient if existing else None, alone=alone)
    outbox.record(tx, now, op)
    for patient, rid in () if alone else dependents(tx, now, existing=existing):
        _reindex(tx, patient, rid)
    return now


def _reindex(tx: Tx, patient: int, rid: int) -> None:
    """Derive the index and policy rows of a resource again, because something it refers to has changed or come."""
    where = "r.patient = ? AND r.rid = ? AND NOT r.deleted"
    row = tx.one(f"SELECT {COLUMNS.format('r')} FROM resource r WHERE {where}", patient, rid)
    if row is None:
        return
    old = stored(row)
    resource, extracted = indexing.read(tx, orjson.loads(old.content), old.content)
    facts = projection.read(tx, resource, old.type, old.id, old.rid, old.owner, extracted)
    low, high = facts.when
    _move(tx, old, facts.patient)
    tx.run(
        "UPDATE resource SET owner = ?, status = ?, low = ?, high = ?, facts = ?, latest = ? WHERE patient = ? AND rid = ?",
        facts.owner,
        facts.status,
        low,
        high,
        facts.marks,
        indexing.latest(low, high),
        facts.patient,
        old.rid,
    )
    indexing.clear(tx, old.patient, old.rid)
    indexing.write(tx, old.type, extracted, facts.patient, old.rid)
    now = replace(old, patient=facts.patient, owner=facts.owner)
    projection.write(tx, now, resource, facts, moved_from=old.patient)


_MOVED = "rid, updated, latest, low, high, version, type, op, deleted, id, hash, owner, status, facts, content"


def _move(tx: Tx, current: Stored, patient: int) -> None:
    """Take the row to another patient, as a new row, for the patient says on which machine it stands. Its history stays
    with whom it was about. Raises Contention where it has changed meanwhile."""
    if patient == current.patient:
        return
    row = tx.one(
        f"SELECT {_MOVED} FROM resource WHERE patient = ? AND rid = ? AND version = ?",
        current.patient,
        current.rid,
        current.version,
    )
    gone = "DELETE FROM resource WHERE patient = ? AND rid = ? AND version = ?"
    if row is None or tx.run(gone, current.patient, current.rid, current.version) != 1:
        raise Contention
    marks = ", ".join("?" * len(row))
    tx.many(f"INSERT INTO resource (patient, {_MOVED}) VALUES (?, {marks})", [(patient, *row)])
    former.note(tx, current.rid, current.patient)
    tx.many(
        "UPDATE identity SET patient = ? WHERE type = ? AND id = ?", [(patient, TYPES[current.type].code, current.id)]
    )


def _keep(tx: Tx, current: Stored) -> None:
    tx.many(
        "INSERT INTO history (patient, rid, version, type, id, updated, deleted, op, content, owner, status, low, high, facts)"
        " SELECT patient, rid, version, type, id, updated, deleted, op, content, owner, status, low, high, facts"
        " FROM resource WHERE patient = ? AND rid = ? AND version = ?",
        [(current.patient, current.rid, current.version)],
    )


def stamped(resource: dict[str, Any], id: str, version: int, updated: int) -> dict[str, Any]:
    """The resource as it is kept: its own elements in their order, after the server's id and meta."""
    meta = {"versionId": str(version), "lastUpdated": temporal.format_instant(updated)}
    meta |= {key: value for key, value in (resource.get("meta") or {}).items() if key not in meta}
    head: dict[str, Any] = {"resourceType": resource["resourceType"], "id": id, "meta": meta}
    return head | {key: value for key, value in resource.items() if key not in head}


def digest(content: bytes) -> bytes:
    """A hash of everything in what `stamped` made but id and the server's own part of meta. Raises ValueError."""
    head = _HEAD.match(content)
    if head is None:
        raise ValueError("not what was made by `stamped`")
    return blake2b(head[1] + content[head.end() :], digest_size=16).digest()


def _digest_of(tx: Tx, current: Stored) -> bytes:
    row = tx.one("SELECT hash FROM resource WHERE patient = ? AND rid = ?", current.patient, current.rid)
    if row is None:
        raise Fault("conflict", "the resource changed while it was read; expected to succeed when tried again")
    return bytes(row[0])


def studies_about(tx: Tx, grant: Grant, patient: int) -> list[Stored]:
    """The studies of one patient that the grant covers, oldest first."""
    shown = visible(tx, grant, "ImagingStudy", "r")
    rows = tx.rows(
        f"SELECT {COLUMNS.format('r')} FROM resource r WHERE r.patient = ? AND r.type = ? AND NOT r.deleted"
        f" AND {shown.text} ORDER BY r.low, r.rid",
        patient,
        TYPES["ImagingStudy"].code,
        *shown.params,
    )
    return [stored(row) for row in rows]
