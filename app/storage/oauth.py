"""Clients, used assertions and revoked tokens. Secrets and tokens are kept as hashes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Table, Text

from app.fhir.tolerance import EVERYONE
from app.storage import flushing
from app.storage.engine import Tx
from app.storage.tables import Key, metadata

oauth_client = Table(
    "oauth_client",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Key, nullable=False),
    Column("organisation", Key, nullable=False),
    Column("scope", Text, nullable=False),
    Column("role", Key, nullable=False),
    Column("purpose", Key),
    Column("jwks", Text),
    Column("jwks_url", Text),
    Column("secret_hash", Text),
    Column("redirect_uris", Text, nullable=False),
    Column("launch_url", Text),
    Column("disabled", Boolean, nullable=False),
    Column("tolerates", Text, nullable=False),
    Column("flush_url", Text),
    Column("created", BigInteger, nullable=False),
)

oauth_assertion = Table(
    "oauth_assertion",
    metadata,
    Column("client", Key, primary_key=True),
    Column("jti", Key, primary_key=True),
    Column("expires", BigInteger, nullable=False),
)

oauth_revoked = Table(
    "oauth_revoked",
    metadata,
    Column("token", Key, primary_key=True),
    Column("expires", BigInteger, nullable=False),
)

COLUMNS = (
    "id, name, kind, organisation, scope, role, purpose, jwks, jwks_url, secret_hash, redirect_uris, launch_url, disabled,"
    " tolerates, flush_url"
)


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client, bound to one organisation (a key such as `ods:RXB`). `tolerates`: the deviations that are
    put right for it (`app.fhir.tolerance`), by spaces; `flush_url`: where a gate is told that permissions have ended."""

    id: str
    name: str
    kind: str
    organisation: str
    scope: str
    role: str
    purpose: str | None = None
    jwks: str | None = None
    jwks_url: str | None = None
    secret_hash: str | None = None
    redirect_uris: str = ""
    launch_url: str | None = None
    disabled: bool = False
    tolerates: str = " ".join(EVERYONE)
    flush_url: str | None = None


def add(tx: Tx, client: Client) -> None:
    """Register, or replace the registration of the same id."""
    tx.run("DELETE FROM oauth_client WHERE id = ?", client.id)
    tx.run(
        f"INSERT INTO oauth_client ({COLUMNS}, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        client.id,
        client.name,
        client.kind,
        client.organisation,
        client.scope,
        client.role,
        client.purpose,
        client.jwks,
        client.jwks_url,
        client.secret_hash,
        client.redirect_uris,
        client.launch_url,
        client.disabled,
        client.tolerates,
        client.flush_url,
        tx.at,
    )


def find(tx: Tx, id: str) -> Client | None:
    row = tx.one(f"SELECT {COLUMNS} FROM oauth_client WHERE id = ?", id)
    return _client(row) if row else None


def every(tx: Tx) -> list[Client]:
    """All clients by name."""
    return [_client(row) for row in tx.rows(f"SELECT {COLUMNS} FROM oauth_client ORDER BY name, id")]


def _client(row: tuple[Any, ...]) -> Client:
    found = Client(*row)
    return replace(found, disabled=bool(found.disabled))


def disable(tx: Tx, id: str) -> bool:
    """Whether there was such a client."""
    flushing.forget(tx)
    return tx.run("UPDATE oauth_client SET disabled = TRUE WHERE id = ?", id) == 1


def use_assertion(tx: Tx, client: str, jti: str, expires: int) -> bool:
    """Mark a client assertion as used; False if it had been."""
    tx.run("DELETE FROM oauth_assertion WHERE expires < ?", tx.at)
    return (
        tx.run(
            "INSERT INTO oauth_assertion (client, jti, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            client,
            jti,
            expires,
        )
        == 1
    )


def revoke(tx: Tx, mark: str, expires: int) -> None:
    """Refuse, from the next request on, whatever carries the mark: a token's hash, a family, a person. It may be
    forgotten at `expires`."""
    flushing.forget(tx)
    tx.run("DELETE FROM oauth_revoked WHERE expires < ?", tx.at)
    tx.run("INSERT INTO oauth_revoked (token, expires) VALUES (?, ?) ON CONFLICT DO NOTHING", mark, expires)


def restore(tx: Tx, mark: str) -> None:
    """Refuse the mark no longer."""
    tx.run("DELETE FROM oauth_revoked WHERE token = ?", mark)


def unrevoked(tx: Tx, mark: str) -> bool:
    return tx.one("SELECT 1 FROM oauth_revoked WHERE token = ?", mark) is None


def standing(tx: Tx, client: str, marks: Sequence[str]) -> int | None:
    """None unless the client is registered and not disabled, and none of the marks revoked; else the number that the
    organisations have now (the epoch), which everyone who asks in the client's name needs next."""
    text, params = _standing(tx, client, marks)
    return _number(tx.rows(text, *params))


def ask_standing(tx: Tx, client: str, marks: Sequence[str], told: Callable[[int | None], None]) -> None:
    """The same, asked in the round trip of the next statement."""
    text, params = _standing(tx, client, marks)
    tx.ahead(text, params, lambda rows: told(_number(rows)))


def ask_secret(tx: Tx, client: str, told: Callable[[str | None], None]) -> None:
    """The hash of the secret that a client in use has now, asked in the round trip of the next statement."""
    tx.ahead(
        "SELECT secret_hash FROM oauth_client WHERE id = ? AND NOT disabled",
        (client,),
        lambda rows: told(rows[0][0] if rows else None),
    )


def _standing(tx: Tx, client: str, marks: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    text, param = tx.in_list("r.token", marks)
    return (
        f"SELECT c.disabled, EXISTS (SELECT 1 FROM oauth_revoked r WHERE {text}),"
        " (SELECT e.number FROM epoch e WHERE e.name = 'organisation') FROM oauth_client c WHERE c.id = ?",
        (param, client),
    )


def _number(rows: list[tuple[Any, ...]]) -> int | None:
    return None if not rows or rows[0][0] or rows[0][1] else int(rows[0][2] or 0)
