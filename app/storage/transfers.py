"""What an export reads, page by page, and how far an import has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from app.fhir.registry import TYPES
from app.policy.grant import Grant
from app.storage.engine import Tx
from app.storage.predicate import visible
from app.storage.resources import COLUMNS, Stored, stored
from app.storage.tables import Key, metadata

# A row for each file that is being imported, removed when it is done. `place` is JSON, made and read by `app.transfer`.
import_mark = Table(
    "import_mark",
    metadata,
    Column("file", Key, primary_key=True),
    Column("place", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

Place = tuple[int, int]  # (updated, rid) of the last resource that was read
BEGINNING: Place = (0, 0)


def after(tx: Tx, grant: Grant, type_name: str, place: Place, count: int) -> list[Stored]:
    """The next resources of a type, the longest unchanged first: what changes meanwhile comes again at the end."""
    shown = visible(tx, grant, type_name, "r")
    rows = tx.rows(
        f"SELECT {COLUMNS.format('r')} FROM resource r WHERE r.type = ? AND (r.updated, r.rid) > (?, ?)"
        f" AND NOT r.deleted AND {shown.text} ORDER BY r.updated, r.rid LIMIT ?",
        TYPES[type_name].code,
        *place,
        *shown.params,
        count,
    )
    return [stored(row) for row in rows]


def mark(tx: Tx, file: str) -> str | None:
    """How far the import of a file has come; None where it has not begun, or is done."""
    row = tx.one("SELECT place FROM import_mark WHERE file = ?", file)
    return row[0] if row else None


def set_mark(tx: Tx, file: str, place: str) -> None:
    tx.run(
        "INSERT INTO import_mark (file, place, at) VALUES (?, ?, ?)"
        " ON CONFLICT (file) DO UPDATE SET place = excluded.place, at = excluded.at",
        file,
        place,
        tx.at,
    )


def clear_mark(tx: Tx, file: str) -> None:
    tx.run("DELETE FROM import_mark WHERE file = ?", file)
