"""Studies that ingest could not attach to a patient: kept until a person at the desk decides, or until they can be; and
what was decided: whom a header of an archive means.

These rows say what an archive's header stated of a patient, so they are shown at the privacy desk alone and are gone
once settled. One row for each study and endpoint.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from hashlib import blake2b

from sqlalchemy import BigInteger, Column, Index, Table, Text

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

WAITING, SET_ASIDE = "waiting", "set-aside"

held_study = Table(
    "held_study",
    metadata,
    Column("study_uid", Key, primary_key=True),
    Column("endpoint", Key, primary_key=True),
    Column("id", Key, nullable=False),
    Column("org", Key, nullable=False),
    Column("code", Key, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Key, nullable=False),
    Column("person", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index("held_study_id", "id", unique=True),
    Index("held_study_org", "org", "first_at"),
)

identity_choice = Table(
    "identity_choice",
    metadata,
    Column("endpoint", Key, primary_key=True),
    Column("stated", Key, primary_key=True),
    Column("patient", Key, nullable=False),
    Column("chosen_by", Key, nullable=False),
    Column("at", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """`org` is the key of the archive's organisation; `person` and `resource` are JSON; instants in µs UTC. `state`:
    waiting, or set-aside by a person, until the archive says something else."""

    study_uid: str
    endpoint: str
    org: str
    code: str
    reason: str
    person: str
    resource: str
    state: str = WAITING
    first_at: int = 0
    last_at: int = 0

    @property
    def id(self) -> str:
        """The same for the same study and archive: of this row, and of its Task."""
        return "hold-" + blake2b(f"{self.study_uid}\x1f{self.endpoint}".encode(), digest_size=12).hexdigest()

    @property
    def stated(self) -> str:
        return stated(self.person)


_COLUMNS = ", ".join(field.name for field in fields(HeldStudy))


def stated(person: str) -> str:
    """What stands for all that a header says of its patient (as JSON): equal for equal words alone."""
    return blake2b(person.encode(), digest_size=16).hexdigest()


def keep(tx: Tx, held: HeldStudy) -> str:
    """Hold a study, or hold it still with what is known of it now; its state. What was set aside waits again only when
    the archive says something else."""
    before = find(tx, held.study_uid, held.endpoint)
    if before is None:
        marks = ", ".join("?" for _ in fields(HeldStudy))
        row = astuple(held)[:-2]
        tx.run(f"INSERT INTO held_study (id, {_COLUMNS}) VALUES (?, {marks})", held.id, *row, tx.at, tx.at)
        return held.state
    same = (before.person, before.code) == (held.person, held.code)
    state = before.state if same else WAITING
    tx.run(
        "UPDATE held_study SET org = ?, code = ?, reason = ?, state = ?, person = ?, resource = ?, last_at = ?"
        " WHERE study_uid = ? AND endpoint = ?",
        held.org,
        held.code,
        held.reason,
        state,
        held.person,
        held.resource,
        tx.at,
        held.study_uid,
        held.endpoint,
    )
    return state


def find(tx: Tx, study_uid: str, endpoint: str) -> HeldStudy | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM held_study WHERE study_uid = ? AND endpoint = ?", study_uid, endpoint)
    return HeldStudy(*row) if row else None


def by_id(tx: Tx, id: str, orgs: tuple[str, ...] | None = None) -> HeldStudy | None:
    """One that waits, if it is one of these organisations' (keys), or anyone's."""
    condition, bound = _of(tx, orgs)
    row = tx.one(f"SELECT {_COLUMNS} FROM held_study WHERE id = ? AND state = ? AND {condition}", id, WAITING, *bound)
    return HeldStudy(*row) if row else None


def waiting(tx: Tx, orgs: tuple[str, ...] | None = None, limit: int = 100) -> list[HeldStudy]:
    """What waits, the longest first; of these organisations (keys), or of all."""
    condition, bound = _of(tx, orgs)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM held_study WHERE state = ? AND {condition}"
        " ORDER BY first_at, study_uid, endpoint LIMIT ?",
        WAITING,
        *bound,
        limit,
    )
    return [HeldStudy(*row) for row in rows]


def _of(tx: Tx, orgs: tuple[str, ...] | None) -> tuple[str, tuple[object, ...]]:
    if orgs is None:
        return "1 = 1", ()
    condition, bound = tx.in_list("org", orgs)
    return condition, (bound,)


def alike(tx: Tx, held: HeldStudy) -> list[HeldStudy]:
    """All studies of the same archive that wait with the same words about their patient, this one too."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM held_study WHERE endpoint = ? AND person = ? AND state = ? ORDER BY study_uid",
        held.endpoint,
        held.person,
        WAITING,
    )
    return [HeldStudy(*row) for row in rows]


def untried(tx: Tx, endpoint: str, code: str, limit: int) -> list[HeldStudy]:
    """Those of one archive that wait for this reason and were not looked at for the longest."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM held_study WHERE endpoint = ? AND code = ? AND state = ?"
        " ORDER BY last_at, study_uid LIMIT ?",
        endpoint,
        code,
        WAITING,
        limit,
    )
    return [HeldStudy(*row) for row in rows]


def numbers(tx: Tx) -> dict[str, int]:
    """How many studies wait, by endpoint."""
    return dict(tx.rows("SELECT endpoint, count(*) FROM held_study WHERE state = ? GROUP BY endpoint", WAITING))


def of_endpoint(tx: Tx, endpoint: str) -> set[str]:
    """The UIDs of all studies of one archive that are held, set aside or not."""
    return {uid for (uid,) in tx.rows("SELECT study_uid FROM held_study WHERE endpoint = ?", endpoint)}


def set_aside(tx: Tx, held: HeldStudy) -> None:
    """A person has decided that the study is to be attached to nobody."""
    tx.run(
        "UPDATE held_study SET state = ?, last_at = ? WHERE study_uid = ? AND endpoint = ?",
        SET_ASIDE,
        tx.at,
        held.study_uid,
        held.endpoint,
    )


def settle(tx: Tx, study_uid: str, endpoint: str) -> bool:
    """Nothing of this study waits any more. Whether something did."""
    return tx.run("DELETE FROM held_study WHERE study_uid = ? AND endpoint = ?", study_uid, endpoint) > 0


def choose(tx: Tx, endpoint: str, stated: str, patient: str, by: str) -> None:
    """A person has decided that these words of this archive mean this patient (`Patient/x`)."""
    tx.run("DELETE FROM identity_choice WHERE endpoint = ? AND stated = ?", endpoint, stated)
    tx.run(
        "INSERT INTO identity_choice (endpoint, stated, patient, chosen_by, at) VALUES (?, ?, ?, ?, ?)",
        endpoint,
        stated,
        patient,
        by,
        tx.at,
    )


def chosen(tx: Tx, endpoint: str, stated: str) -> str | None:
    """The patient whom a person found these words of this archive to mean."""
    row = tx.one("SELECT patient FROM identity_choice WHERE endpoint = ? AND stated = ?", endpoint, stated)
    return str(row[0]) if row else None
