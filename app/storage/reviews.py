"""Studies that ingest could not attach to a patient: kept until a person at the desk decides, or until they can be.

These rows say what an archive's header stated of a patient, so they are shown at the privacy desk alone and are gone
once settled. One row for each study and endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Table, Text

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

held_study = Table(
    "held_study",
    metadata,
    Column("study_uid", Key, primary_key=True),
    Column("endpoint", Key, primary_key=True),
    Column("org", Key, nullable=False),
    Column("code", Key, nullable=False),
    Column("reason", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index("held_study_org", "org", "first_at"),
)

COLUMNS = "study_uid, endpoint, org, code, reason, person, resource, first_at, last_at"


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """`org` is the key of the archive's organisation; `person` and `resource` are JSON; instants in µs UTC."""

    study_uid: str
    endpoint: str
    org: str
    code: str
    reason: str
    person: str
    resource: str
    first_at: int = 0
    last_at: int = 0


def keep(tx: Tx, held: HeldStudy) -> None:
    """Hold a study, or hold it still with what is known of it now."""
    changed = tx.run(
        "UPDATE held_study SET org = ?, code = ?, reason = ?, person = ?, resource = ?, last_at = ?"
        " WHERE study_uid = ? AND endpoint = ?",
        held.org,
        held.code,
        held.reason,
        held.person,
        held.resource,
        tx.at,
        held.study_uid,
        held.endpoint,
    )
    if not changed:
        tx.run(
            f"INSERT INTO held_study ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            held.study_uid,
            held.endpoint,
            held.org,
            held.code,
            held.reason,
            held.person,
            held.resource,
            tx.at,
            tx.at,
        )


def find(tx: Tx, study_uid: str, endpoint: str) -> HeldStudy | None:
    row = tx.one(f"SELECT {COLUMNS} FROM held_study WHERE study_uid = ? AND endpoint = ?", study_uid, endpoint)
    return HeldStudy(*row) if row else None


def waiting(tx: Tx, orgs: tuple[str, ...] | None = None, limit: int = 100) -> list[HeldStudy]:
    """What is held, the longest first; of these organisations (keys), or of all."""
    if orgs is None:
        rows = tx.rows(f"SELECT {COLUMNS} FROM held_study ORDER BY first_at, study_uid, endpoint LIMIT ?", limit)
    else:
        condition, bound = tx.in_list("org", orgs)
        rows = tx.rows(
            f"SELECT {COLUMNS} FROM held_study WHERE {condition} ORDER BY first_at, study_uid, endpoint LIMIT ?",
            bound,
            limit,
        )
    return [HeldStudy(*row) for row in rows]


def settle(tx: Tx, study_uid: str, endpoint: str) -> bool:
    """Nothing of this study waits any more. Whether something did."""
    return tx.run("DELETE FROM held_study WHERE study_uid = ? AND endpoint = ?", study_uid, endpoint) > 0
