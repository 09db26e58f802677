"""The demo region's clients, registered as `client add` would."""

from __future__ import annotations

from app.demo.story import CLIENTS
from app.storage import oauth
from app.storage.engine import Tx
from app.storage.oauth import Client


def register(tx: Tx) -> None:
    """Register each client that is not there yet. They have no keys: `flask token` mints for them, in demo mode alone."""
    for one in CLIENTS:
        if oauth.find(tx, one.id) is None:
            oauth.add(
                tx,
                Client(
                    one.id, one.name, one.kind, f"ods:{one.ods}", one.scope, one.role, one.purpose, jwks='{"keys": []}'
                ),
            )
