"""What matching works with: the changes still to be looked at, what clients can see of them, what time has announced.

Content is read here for nobody: a subscriber is permitted what it is sent when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table

from app.fhir.registry import TYPES
from app.policy.grant import Everything, Grant
from app.storage.engine import Tx
from app.storage.keys import code_hash, param_number
from app.storage.outbox import OLDEST
from app.storage.resources import COLUMNS, Stored, stored
from app.storage.tables import Key, metadata

# What a client can see of the studies and reports that its subscriptions are about. `version` and `visible` are as they
# were last looked at; `shown` once the client was really sent it: who is to learn that it is withdrawn.
told = Table(
    "told",
    metadata,
    Column("patient", BigInteger, primary_key=True, autoincrement=False),
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("client", Key, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("shown", Boolean, nullable=False),
    Column("recheck", BigInteger),
    Index("told_rid", "rid"),
    Index("told_recheck", "recheck"),
)

# Events that time brings, each announced once.
announced = Table(
    "announced",
    metadata,
    Column("topic", Key, primary_key=True),
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
)

progress = Table(
    "progress",
    metadata,
    Column("name", Key, primary_key=True),
    Column("xid", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the outbox: a version of a resource, or an event of `topic` that time brought."""

    xid: int
    seq: int
    at: int
    topic: str
    patient: int
    rid: int
    version: int


# Matching --------------------------------------------------------------------------------------------------------


def hold(tx: Tx, *, wait: bool) -> bool:
    """Be the only one that matches until this transaction ends. Without `wait`, False where another is."""
    tx.begin()
    tx.run("INSERT INTO progress (name, xid, seq) VALUES ('outbox', 0, 0) ON CONFLICT DO NOTHING")
    lock = (" FOR UPDATE" + ("" if wait else " SKIP LOCKED")) if tx.postgresql else ""
    return tx.one(f"SELECT xid, seq FROM progress WHERE name = 'outbox'{lock}") is not None


def take_changes(tx: Tx, most: int) -> list[Change]:
    """The next changes that no open transaction can come before, held by this transaction alone and taken from the
    outbox by its commit. Empty where there are none, or where another worker holds them."""
    if tx.one("SELECT 1 FROM outbox LIMIT 1") is None:
        return []
    if not hold(tx, wait=False):
        return []
    rows = tx.rows(
        f"SELECT xid, seq, at, topic, patient, rid, version FROM outbox WHERE xid < {OLDEST[tx.dialect]}"
        " ORDER BY xid, seq LIMIT ?",
        most,
    )
    found = [Change(*row) for row in rows]
    if found:
        text, param = tx.in_list("seq", [one.seq for one in found])
        tx.run(f"DELETE FROM outbox WHERE {text}", param)
        tx.run("UPDATE progress SET xid = ?, seq = ? WHERE name = 'outbox'", found[-1].xid, found[-1].seq)
    return found


# What subscribers know -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """That a client can see version `version` of a study or report; `shown` if it was sent it."""

    patient: int
    rid: int
    client: str
    version: int
    shown: bool


def known(tx: Tx, patients: Sequence[int], rids: Sequence[int] = ()) -> list[Known]:
    """What clients can see of these patients, or of these resources, as it was last looked at."""
    text, param = tx.in_list("patient", patients)
    of_rid, rid_param = tx.in_list("rid", rids)
    rows = tx.rows(f"SELECT patient, rid, client, version, shown FROM told WHERE {text} OR {of_rid}", param, rid_param)
    return [Known(patient, rid, client, version, bool(shown)) for patient, rid, client, version, shown in rows]


def learn(tx: Tx, rows: Sequence[Known], recheck: int | None) -> None:
    """A client can see these now; whether it still can is looked at again at `recheck`."""
    tx.many(
        "INSERT INTO told (patient, rid, client, version, shown, recheck) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (patient, rid, client) DO UPDATE SET version = excluded.version, recheck = excluded.recheck,"
        " shown = told.shown OR excluded.shown",
        [(one.patient, one.rid, one.client, one.version, one.shown, recheck) for one in rows],
    )


def shown(tx: Tx, rid: int, client: str) -> None:
    """The client is sent the resource now."""
    tx.many("UPDATE told SET shown = TRUE WHERE rid = ? AND client = ?", [(rid, client)])


def lose(tx: Tx, rows: Sequence[Known]) -> None:
    """A client can see these no longer. What it was sent stays marked until it has learned of it."""
    tx.many("DELETE FROM told WHERE rid = ? AND client = ? AND NOT shown", [(one.rid, one.client) for one in rows])
    tx.many(
        "UPDATE told SET version = 0, recheck = NULL WHERE rid = ? AND client = ?",
        [(one.rid, one.client) for one in rows],
    )


def was_shown(tx: Tx, rid: int, client: str) -> bool:
    """Whether the client was ever sent the resource, so that it may learn that it is withdrawn."""
    return tx.one("SELECT 1 FROM told WHERE rid = ? AND client = ? AND shown LIMIT 1", rid, client) is not None


def forgotten(tx: Tx, rid: int, client: str) -> None:
    """The client has learned that the resource is withdrawn."""
    tx.many("DELETE FROM told WHERE rid = ? AND client = ? AND version = 0", [(rid, client)])


def to_recheck(tx: Tx, most: int) -> list[int]:
    """Patients of whom what clients can see may have changed by time alone. Each is taken once."""
    rows = tx.rows("SELECT DISTINCT patient FROM told WHERE recheck <= ? LIMIT ?", tx.at, most)
    patients = [int(patient) for (patient,) in rows]
    if patients:
        text, param = tx.in_list("patient", patients)
        tx.run(f"UPDATE told SET recheck = NULL WHERE recheck <= ? AND {text}", tx.at, param)
    return patients


# What time brings ------------------------------------------------------------------------------------------------


def planned(
    tx: Tx, kind: str, status: str, topic: str, between: tuple[int, int], sign: int, most: int
) -> list[tuple[int, int]]:
    """(rid, start) of relationships of a kind and status that start between the two instants and were not announced yet
    with the start times `sign` as the mark."""
    rows = tx.rows(
        f"SELECT DISTINCT r.rid, r.low FROM relationship r WHERE r.kind = '{kind}' AND r.status = '{status}'"
        " AND r.status IN ('planned', 'booked') AND r.low > ? AND r.low <= ?"
        " AND NOT EXISTS (SELECT 1 FROM announced a WHERE a.topic = ? AND a.rid = r.rid AND a.mark = r.low * ?) LIMIT ?",
        *between,
        topic,
        sign,
        most,
    )
    return [(int(rid), int(low)) for rid, low in rows]


def rid_of(tx: Tx, type_code: int, id: str) -> int | None:
    row = tx.one("SELECT rid FROM identity WHERE type = ? AND id = ?", type_code, id)
    return int(row[0]) if row else None


def is_announced(tx: Tx, topic: str, rid: int, mark: int) -> bool:
    return tx.one("SELECT 1 FROM announced WHERE topic = ? AND rid = ? AND mark = ?", topic, rid, mark) is not None


def announce(tx: Tx, topic: str, rid: int, mark: int) -> bool:
    """Whether this is the first time that the event is announced."""
    return (
        tx.run("INSERT INTO announced (topic, rid, mark) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", topic, rid, mark)
        == 1
    )


# What matching reads ---------------------------------------------------------------------------------------------


def version(tx: Tx, grant: Grant, rid: int, number: int | None) -> Stored | None:
    """One version of a resource, or its latest that is no deletion (`number` None), for a grant without bounds."""
    where = "NOT {0}.deleted" if number is None else f"{{0}}.version = {int(number)}"
    part = "SELECT {cols} FROM {table} {0} WHERE {0}.rid = ? AND {where}"
    parts = [
        part.replace("{cols}", COLUMNS).replace("{table}", table).replace("{where}", where).format(row)
        for table, row in (("resource", "r"), ("history", "h"))
    ]
    row = tx.one(" UNION ALL ".join(parts) + " ORDER BY 4 DESC LIMIT 1", rid, rid)
    found = stored(row) if row else None
    return (
        found
        if found is not None and any(isinstance(rule, Everything) for rule in grant.rows.get(found.type, ()))
        else None
    )


def group_of(tx: Tx, patient: int) -> list[int]:
    """The records of one person."""
    rows = tx.rows("SELECT b.patient FROM person a JOIN person b ON b.grp = a.grp WHERE a.patient = ?", patient)
    return [int(rid) for (rid,) in rows] or [patient]


def ids_of(tx: Tx, patients: Sequence[int]) -> list[str]:
    """The ids of patients."""
    text, param = tx.in_list("patient", patients)
    return [str(id) for (id,) in tx.rows(f"SELECT id FROM person WHERE {text}", param)] if patients else []


def patients_named(tx: Tx, ids: Iterable[str]) -> list[int]:
    """The patients of these ids, as far as they are in store."""
    text, param = tx.in_list("id", list(ids))
    return [int(rid) for (rid,) in tx.rows(f"SELECT patient FROM person WHERE {text}", param)]


def identifier_of(tx: Tx, grant: Grant, patient: int, system: str) -> str | None:
    """The value of the patient's identifier of a system, for one to whom the patient's record is open."""
    if not any(
        isinstance(rule, Everything) or patient in getattr(rule, "patients", ()) for rule in grant.rows["Patient"]
    ):
        return None
    row = tx.one(
        "SELECT value FROM identifier WHERE patient = ? AND rid = ? AND param = ? AND system = ? LIMIT 1",
        patient,
        patient,
        param_number("Patient.identifier"),
        code_hash(system),
    )
    return str(row[0]) if row else None


def involved(tx: Tx, patients: Sequence[int]) -> set[str]:
    """The organisations that any relationship of the person names, and those whose studies and reports there are."""
    if not patients:
        return set()
    text, param = tx.in_list("patient", patients)
    kinds, codes = tx.in_list("type", [TYPES[name].code for name in ("ImagingStudy", "DiagnosticReport")])
    rows = tx.rows(
        f"SELECT org FROM relationship WHERE {text} UNION SELECT owner FROM resource WHERE {text} AND {kinds}",
        param,
        param,
        codes,
    )
    return {str(org) for (org,) in rows if org}
