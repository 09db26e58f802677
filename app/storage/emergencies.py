"""Emergency grants and the locks of the function: who broke the glass, for whom, until when. The decision reads the
grants with everything else that is on file for a patient (`access.information`)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Table

from app.storage import flushing
from app.storage.engine import Tx
from app.storage.tables import Key, metadata

emergency_lock = Table(
    "emergency_lock",
    metadata,
    Column("holder", Key, primary_key=True),  # Practitioner/id or ods:code
    Column("at", BigInteger, nullable=False),
)

COLUMNS = "e.id, p.id, e.practitioner, e.organisation, e.low, e.high, e.reason, e.note, e.revoked_at"


@dataclass(frozen=True, slots=True)
class Held:
    """`patient` is "Patient/id", `organisation` a key; instants in microseconds UTC, `revoked` None while it stands."""

    id: str
    patient: str
    practitioner: str
    organisation: str
    start: int
    end: int
    reason: str
    note: str
    revoked: int | None = None


def add(tx: Tx, one: Held, patient: int) -> None:
    """Give a grant. `patient` is the rid of the record that it is for."""
    tx.run(
        "INSERT INTO emergency_grant (patient, id, version, practitioner, organisation, low, high, reason, note, revoked)"
        " VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, FALSE)",
        patient,
        one.id,
        one.practitioner,
        one.organisation,
        one.start,
        one.end,
        one.reason,
        one.note,
    )


def of_patients(tx: Tx, patients: tuple[int, ...]) -> list[Held]:
    """The grants for these patients (rids), the newest first."""
    about, rids = tx.in_list("e.patient", patients)
    return _read(tx, about, rids)


def find(tx: Tx, id: str) -> Held | None:
    found = _read(tx, "e.id = ?", id)
    return found[0] if found else None


def revoke(tx: Tx, id: str) -> bool:
    """End a grant from now on. Whether it stood until now. What was decided before stays explained by its first version."""
    flushing.forget(tx)
    return (
        tx.run(
            "UPDATE emergency_grant SET revoked = TRUE, revoked_at = ?, version = version + 1"
            " WHERE id = ? AND NOT revoked AND high > ?",
            tx.at,
            id,
            tx.at,
        )
        > 0
    )


def _read(tx: Tx, condition: str, value: object) -> list[Held]:
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM emergency_grant e JOIN person p ON p.patient = e.patient WHERE {condition}"
        " ORDER BY e.low DESC, e.id",
        value,
    )
    return [Held(id, f"Patient/{patient}", *rest) for id, patient, *rest in rows]


def lock(tx: Tx, holder: str) -> bool:
    """Close the function for a person or an organisation. Whether it was open."""
    return (
        tx.run("INSERT INTO emergency_lock (holder, at) VALUES (?, ?) ON CONFLICT (holder) DO NOTHING", holder, tx.at)
        > 0
    )


def unlock(tx: Tx, holder: str) -> bool:
    return tx.run("DELETE FROM emergency_lock WHERE holder = ?", holder) > 0


def locked(tx: Tx, *holders: str) -> bool:
    text, named = tx.in_list("holder", list(holders))
    return tx.one(f"SELECT 1 FROM emergency_lock WHERE {text}", named) is not None
