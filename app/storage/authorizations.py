"""What an app was allowed by a person: requests under way, launches, codes, and families of refresh tokens.

Codes, handles and refresh tokens are kept as hashes only. A family is everything that came of one approval; revoking it
ends them all, at the next request.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text

from app.storage import oauth
from app.storage.engine import Tx
from app.storage.tables import Key, metadata

oauth_pending = Table(
    "oauth_pending",
    metadata,
    Column("id", Key, primary_key=True),
    Column("browser", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

oauth_launch = Table(
    "oauth_launch",
    metadata,
    Column("id", Key, primary_key=True),
    Column("client", Key, nullable=False),
    Column("usr", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", Boolean, nullable=False),
)

oauth_family = Table(
    "oauth_family",
    metadata,
    Column("id", Key, primary_key=True),
    Column("client", Key, nullable=False),
    Column("session", Key),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

oauth_code = Table(
    "oauth_code",
    metadata,
    Column("id", Key, primary_key=True),
    Column("family", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", Boolean, nullable=False),
)

oauth_refresh = Table(
    "oauth_refresh",
    metadata,
    Column("id", Key, primary_key=True),
    Column("family", Key, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", Boolean, nullable=False),
    Index("oauth_refresh_family", "family"),
)

KEPT = 86_400_000_000  # microseconds for which what has expired is kept, so that its replay is still known as one


@dataclass(frozen=True, slots=True)
class Family:
    """`session`: the log-in session that it ends with, if it does. `body` is the authorization as JSON."""

    id: str
    client: str
    session: str | None
    body: str
    expires: int


@dataclass(frozen=True, slots=True)
class Code:
    family: str
    body: str
    expires: int
    used: bool


@dataclass(frozen=True, slots=True)
class Refresh:
    family: str
    expires: int
    used: bool


@dataclass(frozen=True, slots=True)
class Launch:
    client: str
    user: str
    body: str
    expires: int
    used: bool


def mark(family: str) -> str:
    """What stands in the list of what was revoked when a family is."""
    return f"family:{family}"


# Requests under way ------------------------------------------------------------------------------------------------


def put_pending(tx: Tx, id: str, browser: str, body: str, expires: int) -> None:
    """Keep, or keep anew, an authorization request that a person still has to answer."""
    tx.run("DELETE FROM oauth_pending WHERE expires < ? OR id = ?", tx.at, id)
    tx.run("INSERT INTO oauth_pending (id, browser, body, expires) VALUES (?, ?, ?, ?)", id, browser, body, expires)


def pending(tx: Tx, id: str, browser: str) -> tuple[str, int] | None:
    """(body, expires) of a request that this browser made."""
    row = tx.one(
        "SELECT body, expires FROM oauth_pending WHERE id = ? AND browser = ? AND expires > ?", id, browser, tx.at
    )
    return (row[0], row[1]) if row else None


def settle_pending(tx: Tx, id: str) -> bool:
    """Whether it was still there: it is answered once."""
    return tx.run("DELETE FROM oauth_pending WHERE id = ?", id) == 1


# Launches ----------------------------------------------------------------------------------------------------------


def put_launch(tx: Tx, id: str, launch: Launch) -> None:
    tx.run("DELETE FROM oauth_launch WHERE expires < ?", tx.at)
    tx.run(
        "INSERT INTO oauth_launch (id, client, usr, body, expires, used) VALUES (?, ?, ?, ?, ?, ?)",
        id,
        launch.client,
        launch.user,
        launch.body,
        launch.expires,
        launch.used,
    )


def launch(tx: Tx, id: str) -> Launch | None:
    row = tx.one("SELECT client, usr, body, expires, used FROM oauth_launch WHERE id = ?", id)
    return Launch(row[0], row[1], row[2], row[3], bool(row[4])) if row else None


def use_launch(tx: Tx, id: str) -> bool:
    """Whether this was the first use."""
    return tx.run("UPDATE oauth_launch SET used = TRUE WHERE id = ? AND NOT used", id) == 1


# Codes and families --------------------------------------------------------------------------------------------------


def begin_family(tx: Tx, family: Family, code: str, body: str, code_expires: int) -> None:
    """What a person has approved, and the code by which the app collects it."""
    for table in ("oauth_code", "oauth_refresh", "oauth_family"):
        tx.run(f"DELETE FROM {table} WHERE expires < ?", tx.at - KEPT)
    tx.run(
        "INSERT INTO oauth_family (id, client, session, body, expires) VALUES (?, ?, ?, ?, ?)",
        family.id,
        family.client,
        family.session,
        family.body,
        family.expires,
    )
    tx.run(
        "INSERT INTO oauth_code (id, family, body, expires, used) VALUES (?, ?, ?, ?, FALSE)",
        code,
        family.id,
        body,
        code_expires,
    )


def code(tx: Tx, id: str) -> Code | None:
    row = tx.one("SELECT family, body, expires, used FROM oauth_code WHERE id = ?", id)
    return Code(row[0], row[1], row[2], bool(row[3])) if row else None


def use_code(tx: Tx, id: str) -> bool:
    """Whether this was the first use."""
    return tx.run("UPDATE oauth_code SET used = TRUE WHERE id = ? AND NOT used", id) == 1


def family(tx: Tx, id: str) -> Family | None:
    """A family that has neither ended nor been revoked, whose session, if it hangs on one, still lasts."""
    row = tx.one("SELECT id, client, session, body, expires FROM oauth_family WHERE id = ? AND expires > ?", id, tx.at)
    if row is None or not oauth.unrevoked(tx, mark(id)):
        return None
    found = Family(*row)
    if found.session is not None and tx.one(
        "SELECT 1 FROM oauth_session WHERE id = ? AND expires > ?", found.session, tx.at
    ) is None:  # fmt: skip
        return None
    return found


def revoke_family(tx: Tx, id: str) -> None:
    """End everything that came of one approval."""
    row = tx.one("SELECT expires FROM oauth_family WHERE id = ?", id)
    if row is not None:
        oauth.revoke(tx, mark(id), int(row[0]) + KEPT)


# Refresh tokens ------------------------------------------------------------------------------------------------------


def put_refresh(tx: Tx, id: str, family: str, expires: int) -> None:
    tx.run("INSERT INTO oauth_refresh (id, family, expires, used) VALUES (?, ?, ?, FALSE)", id, family, expires)


def refresh(tx: Tx, id: str) -> Refresh | None:
    row = tx.one("SELECT family, expires, used FROM oauth_refresh WHERE id = ?", id)
    return Refresh(row[0], row[1], bool(row[2])) if row else None


def use_refresh(tx: Tx, id: str) -> bool:
    """Whether this was the first use."""
    return tx.run("UPDATE oauth_refresh SET used = TRUE WHERE id = ? AND NOT used", id) == 1
