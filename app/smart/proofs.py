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
    _seen: OrderedDict[bytes, tuple[Subject, str]] = field(default_factory=OrderedDict)

    def claimed(self, header: str) -> tuple[Subject, tuple[str, str]] | None:
        """The client of a header that was right before, with its id and secret's hash: which are still to be asked after."""
        found = self._seen.get(_mark(header))
        return (found[0], (found[0].client_id, found[1])) if found else None

    def subject(self, header: str) -> Subject | None:
        """The client of a Basic header, in its own name; None where it is not right."""
        pair = _pair(header)
        if pair is None:
            return None
        with self.store.begin(reads=True) as tx:
            client = oauth.find(tx, pair[0])
        if client is None or client.disabled or not client.secret_hash or not self._right(header, client, pair[1]):
            return None
        subject = Subject(
            client_id=client.id,
            kind=client.kind,
            organisation=client.organisation,
            role=client.role,
            purpose=client.purpose,
            scopes=tuple(client.scope.split()),
            decision_point=client.kind == "gate",
        )
        self._seen[_mark(header)] = subject, client.secret_hash
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return subject

    def _right(self, header: str, client: Client, secret: str) -> bool:
        before = self._seen.get(_mark(header))
        if before is not None and before[1] == client.secret_hash:
            return True
        return check_password_hash(client.secret_hash or "", secret)


def _mark(header: str) -> bytes:
    return sha256(header.encode("latin-1", "replace")).digest()


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
