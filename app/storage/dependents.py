"""What else must be derived again when a resource is written: whatever rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.fhir.registry import TYPES
from app.storage import former
from app.storage.engine import Tx
from app.storage.sql import sql

if TYPE_CHECKING:
    from app.storage.resources import Stored


def dependents(tx: Tx, now: Stored, *, existing: bool) -> list[tuple[int, int]]:
    """(patient, rid) of resources whose derived rows rest on this one: waiting for a patient, or naming an organisation or role."""
    if now.type == "Patient" and not existing:
        return [
            (patient, rid)
            for patient, rid in tx.rows(
                "SELECT DISTINCT patient, rid FROM reference WHERE patient = 0 AND target = ? AND target_type = ?",
                now.id,
                TYPES["Patient"].code,
            )
        ]
    arrived = now.type in ("Practitioner", "Group", "CareTeam") and (not existing or now.deleted)
    if arrived or now.type in ("Organization", "PractitionerRole", "Endpoint"):
        if now.type == "Endpoint" and not (existing and _owner_changed(tx, now)):
            return []
        return [
            (patient, rid)
            for patient, rid in tx.rows(
                "SELECT DISTINCT patient, rid FROM reference WHERE target = ? AND target_type = ? AND rid <> ?",
                now.id,
                TYPES[now.type].code,
                now.rid,
            )
        ]
    return []


def _owner_changed(tx: Tx, now: Stored) -> bool:
    before = (
        "SELECT h.owner FROM " + former.versions(tx, now.rid, now.patient) + sql(" AND h.version = ?", now.version - 1)
    )
    row = tx.one(before.text, *before.params)
    return row is None or row[0] != now.owner
