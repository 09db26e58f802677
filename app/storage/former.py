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


def of(tx: Tx, row: str, rid: int, patient: int) -> Sql:
    """Rows of `history` (by the alias `row`) that are earlier versions of a resource which is about `patient` now."""
    known = "SELECT CAST(? AS BIGINT) UNION ALL SELECT p.patient FROM former p WHERE p.rid = ?"
    # As an array it is known before the rows are looked for, so that only the patients' partitions are.
    among = f"= ANY(ARRAY({known}))" if tx.postgresql else f"IN ({known})"
    return sql(f"{row}.patient {among} AND {row}.rid = ?", patient, rid, rid)
