"""The log of what record systems said happened to a visit. An event is kept once, by organisation, sender and control id; the
episodes are worked out from it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

epr_event = Table(
    "epr_event",
    metadata,
    Column("org", Key, primary_key=True),
    Column("sender", Key, primary_key=True),
    Column("control", Key, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("patient", Key, nullable=False),
    Column("pathway", Key, nullable=False),
    Column("effect", Key, nullable=False),
    Column("visit", Text, nullable=False),
    Column("low", BigInteger),
    Column("high", BigInteger),
    Column("received", BigInteger, nullable=False),
    Index("epr_event_episode", "org", "patient", "pathway"),
    Index("epr_event_patient", "patient"),
)

COLUMNS = "org, sender, control, hash, at, patient, pathway, effect, visit, low, high, received"


@dataclass(frozen=True, slots=True)
class Logged:
    """`patient` is "Patient/id", `visit` the visit's numbers one a line, or the other record of two; instants in µs UTC."""

    org: str
    sender: str
    control: str
    hash: bytes
    at: int
    patient: str
    pathway: str
    effect: str
    visit: str
    low: int | None
    high: int | None
    received: int = 0


def find(tx: Tx, org: str, sender: str, control: str) -> Logged | None:
    row = tx.one(f"SELECT {COLUMNS} FROM epr_event WHERE org = ? AND sender = ? AND control = ?", org, sender, control)
    return Logged(*row) if row else None


def keep(tx: Tx, one: Logged) -> None:
    tx.run(
        f"INSERT INTO epr_event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(one.org, one.sender, one.control, one.hash, one.at, one.patient, one.pathway, one.effect, one.visit),
        *(one.low, one.high, tx.at),
    )


def of_episode(tx: Tx, org: str, patient: str, pathway: str) -> list[Logged]:
    """All events of one pathway of a patient at an organisation."""
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM epr_event WHERE org = ? AND patient = ? AND pathway = ?", org, patient, pathway
    )
    return [Logged(*row) for row in rows]


def of_records(tx: Tx, one: str, other: str, effects: tuple[str, ...]) -> list[Logged]:
    """What any organisation said of the two records of a patient."""
    marks = ", ".join("?" * len(effects))
    rows = tx.rows(
        f"SELECT {COLUMNS} FROM epr_event WHERE effect IN ({marks})"
        " AND ((patient = ? AND visit = ?) OR (patient = ? AND visit = ?))",
        *(*effects, one, other, other, one),
    )
    return [Logged(*row) for row in rows]
