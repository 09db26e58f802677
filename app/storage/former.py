"""Whom a resource was about before: its history stays with them, and is found by this directory."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from app.storage.engine import Tx
from app.storage.sql import Sql, sql
from app.storage.tables import metadata

former = Table(
    "former",
    metadata,
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("patient", BigInteger, primary_key=True, autoincrement=False),
)


def note(tx: Tx, rid: int, patient: int) -> None:
    """Queue that the resource was about this patient (a rid, 0 for none)."""
    tx.many("INSERT INTO former (rid, patient) VALUES (?, ?) ON CONFLICT DO NOTHING", [(rid, patient)])


def versions(tx: Tx, rid: int, patient: int) -> Sql:
    """FROM and WHERE of the earlier versions, as `h`, of a resource which is about `patient` now."""
    whom = "(SELECT CAST(? AS BIGINT) AS patient UNION SELECT p.patient FROM former p WHERE p.rid = ?) k"
    # One patient after the other, so that only their partitions are looked into: OFFSET keeps the planner from other ways.
    text = (
        f"{whom} CROSS JOIN LATERAL (SELECT * FROM history v WHERE v.patient = k.patient AND v.rid = ? OFFSET 0) h WHERE TRUE"
        if tx.postgresql
        else f"{whom} JOIN history h ON h.patient = k.patient WHERE h.rid = ?"
    )
    return sql(text, patient, rid, rid)
