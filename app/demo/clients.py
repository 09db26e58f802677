"""The demo region's clients and people, registered as `client add` and `user add` would."""

from __future__ import annotations

from werkzeug.security import generate_password_hash

from app.demo.story import CLIENTS, LOGINS, DemoClient
from app.storage import oauth, people
from app.storage.engine import Tx
from app.storage.oauth import Client
from app.storage.people import User


def register(tx: Tx, origin: str) -> None:
    """Register each client and person not there yet. Systems have no keys: `flask token` mints for them, in demo mode
    alone. An app is sent back to where this server is, which may have changed."""
    for one in CLIENTS:
        found, wanted = oauth.find(tx, one.id), _client(one, origin)
        if found is None or found.redirect_uris != wanted.redirect_uris:
            oauth.add(tx, wanted)
    for login in LOGINS:
        if people.find(tx, login.username) is None:
            people.add(
                tx,
                User(
                    login.username,
                    login.shown.split(",")[0],
                    login.role,
                    f"ods:{login.organisation}" if login.organisation else None,
                    login.practitioner,
                    login.patient,
                    generate_password_hash(login.password),
                ),
            )


def _client(one: DemoClient, origin: str) -> Client:
    return Client(
        one.id,
        one.name,
        one.kind,
        f"ods:{one.ods}",
        one.scope,
        one.role,
        one.purpose,
        jwks=None if one.kind == "app" else '{"keys": []}',
        redirect_uris=" ".join(origin + path for path in one.redirects),
        launch_url=origin + one.launch if one.launch else None,
    )
