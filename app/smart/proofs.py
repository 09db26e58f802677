"""Clients that prove themselves by HTTP Basic at every request, as gates of archives do, many times a second.

The hash of a secret is made to be slow, so it is checked once, and a pair that was right is then known by its SHA-256.
Whether the client is registered, in use and still has that secret is asked every time. RFC 6749, section 2.3.1
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import unquote_plus

from werkzeug.security import check_password_hash

from app.access.subject import Subject
from app.storage import oauth
from app.storage.engine import Store
from app.storage.oauth import Client

REMEMBERED = 1000
LONGEST = 1024


@dataclass
class Proofs:
    """What has been proved. For any number of threads."""

    store: Store
    _seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def subject(self, header: str) -> Subject | None:
        """The client of a Basic header, in its own name; None where it is not right."""
        pair = _pair(header)
        if pair is None:
            return None
        with self.store.begin(reads=True) as tx:
            client = oauth.find(tx, pair[0])
        if client is None or client.disabled or not client.secret_hash or not self._right(client, pair[1]):
            return None
        return Subject(
            client_id=client.id,
            kind=client.kind,
            organisation=client.organisation,
            role=client.role,
            purpose=client.purpose,
            scopes=tuple(client.scope.split()),
            decision_point=client.kind == "gate",
        )

    def _right(self, client: Client, secret: str) -> bool:
        mark = sha256(f"{client.secret_hash}\n{secret}".encode()).digest()
        if mark in self._seen:
            return True
        if not check_password_hash(client.secret_hash or "", secret):
            return False
        self._seen[mark] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _pair(header: str) -> tuple[str, str] | None:
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic" or len(given) > LONGEST:
        return None
    try:
        name, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    name, secret = unquote_plus(name), unquote_plus(secret)
    return (name, secret) if colon and name and "\0" not in name and len(name) <= 255 else None
