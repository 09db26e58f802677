"""Is what was derived still what it is derived from? Schema, hashes, index and identity, resource by resource."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import inspect

from app.fhir.registry import TYPES
from app.fhir.resource import load
from app.storage import indexing, partitions, schema
from app.storage.engine import Store, Tx
from app.storage.resources import COLUMNS, Stored, digest, stored
from app.storage.restoring import behindhand
from app.storage.tables import metadata

BATCH = 500


@dataclass
class Report:
    resources: int = 0
    faults: list[str] = field(default_factory=list)


def run(store: Store) -> Report:
    """Read everything once. Faults name the resource by type and id."""
    report = Report()
    if schema.current(store) != schema.newest():
        report.faults.append("the schema is not that of this release; run db upgrade")
    missing = set(metadata.tables) - set(inspect(store.engine).get_table_names())
    report.faults += [f"table {name} is missing" for name in sorted(missing)]
    if missing:
        return report
    with store.engine.connect() as connection:
        report.faults += partitions.faults(connection)
    last = -1
    with store.begin(reads=True) as tx:
        if behindhand(tx):
            report.faults.append("the feed was restored from a dump and does not go on yet; run db upgrade")
        while rows := tx.rows(
            f"SELECT {COLUMNS.format('r')}, TRUE, r.hash FROM resource r WHERE r.rid > ? ORDER BY r.rid LIMIT {BATCH}",
            last,
        ):
            for row in rows:
                report.resources += 1
                report.faults += _faults(tx, stored(row[:10]), bytes(row[10]))
            last = rows[-1][0]
    return report


def _faults(tx: Tx, one: Stored, kept: bytes) -> list[str]:
    found = []
    place = tx.one("SELECT rid, patient FROM identity WHERE type = ? AND id = ?", _code(one), one.id)
    if place != (one.rid, one.patient):
        found.append(f"{one.ref}: the identity row does not lead to it")
    if one.deleted:
        return found
    try:
        right = digest(one.content) == kept
    except ValueError:
        right = False
    if not right:
        found.append(f"{one.ref}: the content is not what was written")
        return found
    resource = load(one.content, len(one.content))
    _, extracted = indexing.read(tx, resource, one.content)
    count = tx.rows("SELECT count(*) FROM identifier WHERE patient = ? AND rid = ?", one.patient, one.rid)[0][0]
    logical = any(reference[5] for reference in extracted.references)
    if bool(extracted.identifiers or logical) != bool(count):
        found.append(f"{one.ref}: the identifier rows are not those of its content")
    if one.type == "Consent" and one.patient:
        compiled = tx.one("SELECT version FROM directive WHERE patient = ? AND rid = ?", one.patient, one.rid)
        if compiled != (one.version,):
            found.append(f"{one.ref}: its rules are not those of its current version")
    return found


def _code(one: Stored) -> int:
    return TYPES[one.type].code
