"""Launches by a record system: what is handed to the app as `launch`, and what it turns out to stand for.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch. A launch serves once, for the app and the
person that it was made for.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

import orjson

from app.smart.authorize import Problem, Request
from app.smart.person import Person
from app.smart.tokens import SECOND, hashed
from app.storage import authorizations
from app.storage.authorizations import Launch
from app.storage.engine import Tx
from app.storage.oauth import Client

LIFE_SECONDS = 300


def make(tx: Tx, client: Client, person: Person, context: dict[str, str]) -> str:
    """A launch of the app by this person. `context`: patient, encounter, imagingstudy, each an id."""
    handle = secrets.token_urlsafe(24)
    body = orjson.dumps({name: value for name, value in context.items() if value}).decode()
    launch = Launch(client.id, person.id, body, tx.at + LIFE_SECONDS * SECOND, False)
    authorizations.put_launch(tx, hashed(handle), launch)
    return handle


def opened(tx: Tx, asked: Request, person: Person) -> Request:
    """The request with the context of its launch, which is used by it. Raises Problem."""
    name = hashed(asked.launch or "")
    found = authorizations.launch(tx, name)
    if found is None or found.client != asked.client or found.expires <= tx.at:
        raise Problem("invalid_request", "launch is not known here, is another app's, or has expired")
    if found.user != person.id:
        raise Problem("access_denied", "launch was made in the session of somebody else")
    if not authorizations.use_launch(tx, name):
        raise Problem("invalid_request", "launch was used before")
    return replace(asked.with_context(**orjson.loads(found.body)), launched=True)
