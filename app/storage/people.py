"""People who log in here, and their sessions. Passwords and session tokens are kept as hashes only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text

from app.storage import oauth
from app.storage.engine import Tx
from app.storage.keys import code_hash, param_number
from app.storage.tables import Key, metadata

oauth_user = Table(
    "oauth_user",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Key, nullable=False),
    Column("organisation", Key),
    Column("practitioner", Key),
    Column("patient", Key),
    Column("password", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)

oauth_session = Table(
    "oauth_session",
    metadata,
    Column("id", Key, primary_key=True),
    Column("usr", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

COLUMNS = "id, name, role, organisation, practitioner, patient, password, disabled, failures, locked"
FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class User:
    """Someone with a password here. `organisation` is a key (`ods:RXB`); `practitioner` and `patient` are references;
    `locked` is the instant (microseconds UTC) until which no password is looked at."""

    id: str
    name: str
    role: str
    organisation: str | None
    practitioner: str | None
    patient: str | None
    password: str
    disabled: bool = False
    failures: int = 0
    locked: int = 0


def mark(user: str) -> str:
    """What stands in the list of what was revoked when a person is."""
    return f"user:{user}"


def add(tx: Tx, user: User) -> None:
    """Register, or replace the person of the same id."""
    tx.run("DELETE FROM oauth_user WHERE id = ?", user.id)
    oauth.restore(tx, mark(user.id))
    tx.run(
        f"INSERT INTO oauth_user ({COLUMNS}, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        user.id,
        user.name,
        user.role,
        user.organisation,
        user.practitioner,
        user.patient,
        user.password,
        user.disabled,
        user.failures,
        user.locked,
        tx.at,
    )


def find(tx: Tx, id: str) -> User | None:
    row = tx.one(f"SELECT {COLUMNS} FROM oauth_user WHERE id = ?", id)
    return _user(row) if row else None


def every(tx: Tx) -> list[User]:
    """All people by id."""
    return [_user(row) for row in tx.rows(f"SELECT {COLUMNS} FROM oauth_user ORDER BY id")]


def _user(row: tuple[Any, ...]) -> User:
    found = User(*row)
    return replace(found, disabled=bool(found.disabled))


def disable(tx: Tx, id: str) -> bool:
    """Whether there was such a person. Sessions and tokens end with it."""
    known = tx.run("UPDATE oauth_user SET disabled = TRUE WHERE id = ?", id) == 1
    if known:
        tx.run("DELETE FROM oauth_session WHERE usr = ?", id)
        oauth.revoke(tx, mark(id), FOREVER)
    return known


def failed(tx: Tx, id: str, most: int, wait: int) -> None:
    """Count a wrong password; at the `most`th look at none for `wait` microseconds."""
    tx.run(
        "UPDATE oauth_user SET failures = failures + 1, locked = CASE WHEN failures + 1 >= ? THEN ? ELSE locked END"
        " WHERE id = ?",
        most,
        tx.at + wait,
        id,
    )


def succeeded(tx: Tx, id: str) -> None:
    tx.run("UPDATE oauth_user SET failures = 0, locked = 0 WHERE id = ?", id)


# Sessions --------------------------------------------------------------------------------------------------------


def begin_session(tx: Tx, id: str, user: str, body: str, expires: int) -> None:
    """`id` is the hash of what the browser holds."""
    tx.run("DELETE FROM oauth_session WHERE expires < ?", tx.at)
    tx.run("INSERT INTO oauth_session (id, usr, body, expires) VALUES (?, ?, ?, ?)", id, user, body, expires)


def session(tx: Tx, id: str) -> str | None:
    """The body of a session that lasts."""
    row = tx.one("SELECT body FROM oauth_session WHERE id = ? AND expires > ?", id, tx.at)
    return str(row[0]) if row else None


def end_session(tx: Tx, id: str) -> None:
    tx.run("DELETE FROM oauth_session WHERE id = ?", id)


# Who they are as resources ---------------------------------------------------------------------------------------


def by_identifier(tx: Tx, type_name: str, system: str, value: str) -> str | None:
    """The one resource of the type with that identifier, as a reference; None for none or several."""
    rows = tx.rows(
        "SELECT r.id FROM identifier x JOIN resource r ON r.patient = x.patient AND r.rid = x.rid"
        " WHERE x.param = ? AND x.value = ? AND x.system = ? AND NOT r.deleted LIMIT 2",
        param_number(f"{type_name}.identifier"),
        value,
        code_hash(system),
    )
    return f"{type_name}/{rows[0][0]}" if len(rows) == 1 else None


def organisation_known(tx: Tx, key: str) -> bool:
    return tx.one("SELECT 1 FROM organisation WHERE key = ?", key) is not None


def above(tx: Tx, key: str) -> frozenset[str]:
    """The organisations that it is a part of, up to the region. Unlike the policy's, these count a commissioning body:
    nothing is opened by it."""
    rows = tx.rows(
        "WITH RECURSIVE up(key, depth) AS (SELECT parent, 1 FROM organisation WHERE key = ?"
        " UNION SELECT o.parent, up.depth + 1 FROM organisation o JOIN up ON o.key = up.key WHERE up.depth < 16)"
        " SELECT DISTINCT key FROM up WHERE key IS NOT NULL",
        key,
    )
    return frozenset(found for (found,) in rows)
