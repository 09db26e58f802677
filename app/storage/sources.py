"""How far each harvested archive has been read, and how well that goes: for the next run and for the health page.

Whoever reads an archive holds it by a lease, and keeps what was read only while it is still the holder: of two processes
one reads, and one that was taken for dead moves no position.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

source_state = Table(
    "source_state",
    metadata,
    Column("name", Key, primary_key=True),
    Column("kind", Key, nullable=False),
    Column("endpoint", Key, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("day", Key, nullable=False),
    Column("lag", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("attempted", BigInteger, nullable=False),
    Column("succeeded", BigInteger, nullable=False),
    Column("reconciled", BigInteger, nullable=False),
    Column("patience", BigInteger, nullable=False),
    Column("pending", Text, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("holder", Key, nullable=False),
)

source_day = Table(
    "source_day",
    metadata,
    Column("name", Key, primary_key=True),
    Column("day", Key, primary_key=True),
    Column("studies", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
)

PATIENCE = 15 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class State:
    """`position`: last change read (Orthanc). `day`: study dates before it were read (QIDO-RS). `lag`: changes not yet
    read. `failures` in a row, and the last `problem`. Instants in microseconds UTC, 0 for never. `patience`: so many
    microseconds after its last success it counts as silent. `pending`: the archive's names of studies that it would not
    give, by spaces: they are asked for again."""

    name: str
    kind: str
    endpoint: str
    position: int = 0
    day: str = ""
    lag: int = 0
    failures: int = 0
    problem: str = ""
    attempted: int = 0
    succeeded: int = 0
    reconciled: int = 0
    patience: int = PATIENCE
    pending: str = ""

    def silent(self, at: int) -> bool:
        """Whether it was ever read, and not for longer than is borne."""
        return self.succeeded > 0 and at - self.succeeded > self.patience


_COLUMNS = ", ".join(field.name for field in fields(State))
_INSERT = (
    f"INSERT INTO source_state ({_COLUMNS}, lease, holder) VALUES ({', '.join('?' for _ in fields(State))}, ?, ?)"
    " ON CONFLICT (name) DO"
)


def load(tx: Tx, name: str) -> State | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM source_state WHERE name = ?", name)
    return State(*row) if row else None


def states(tx: Tx) -> list[State]:
    """Every source that was ever harvested, by name."""
    return [State(*row) for row in tx.rows(f"SELECT {_COLUMNS} FROM source_state ORDER BY name")]


def claim(tx: Tx, began: State, holder: str, seconds: int) -> State | None:
    """Lease a source, which is as `began` where it was never read; None while another holds it."""
    until = tx.at + seconds * 1_000_000
    leased = tx.run(
        f"{_INSERT} UPDATE SET lease = excluded.lease, holder = excluded.holder WHERE source_state.lease < ?",
        *astuple(began),
        until,
        holder,
        tx.at,
    )
    return load(tx, began.name) if leased else None


def save(tx: Tx, state: State, holder: str = "") -> bool:
    """Keep what was read; False where the source is not `holder`'s any more, and nothing of this was kept."""
    set_ = ", ".join(f"{field.name} = excluded.{field.name}" for field in fields(State))
    return bool(
        tx.run(f"{_INSERT} UPDATE SET {set_} WHERE source_state.holder = ?", *astuple(state), 0, holder, holder)
    )


def renew(tx: Tx, name: str, holder: str, seconds: int) -> bool:
    """Hold a source for longer, or with 0 no more; False where it was lost meanwhile."""
    until, kept = (tx.at + seconds * 1_000_000, holder) if seconds else (0, "")
    return bool(
        tx.run("UPDATE source_state SET lease = ?, holder = ? WHERE name = ? AND holder = ?", until, kept, name, holder)
    )


@dataclass(frozen=True, slots=True)
class Day:
    """What one day (UTC, YYYY-MM-DD) brought: studies that were new or changed, and rounds that failed."""

    name: str
    day: str
    studies: int
    failures: int


def count(tx: Tx, name: str, day: str, studies: int, failures: int) -> None:
    """Add a round to its day."""
    changed = tx.run(
        "UPDATE source_day SET studies = studies + ?, failures = failures + ? WHERE name = ? AND day = ?",
        studies,
        failures,
        name,
        day,
    )
    if not changed:
        tx.run(
            "INSERT INTO source_day (name, day, studies, failures) VALUES (?, ?, ?, ?)", name, day, studies, failures
        )


def days(tx: Tx, since: str) -> list[Day]:
    """The days from `since` on, the oldest first."""
    rows = tx.rows("SELECT name, day, studies, failures FROM source_day WHERE day >= ? ORDER BY name, day", since)
    return [Day(*row) for row in rows]
