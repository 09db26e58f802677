"""Access tokens: signed JWTs (RFC 9068), verified once and remembered by hash; asked after at every request.

A token lives at most an hour, a backend's five minutes. A revoked token or a disabled client is refused at the very
next request, on every process.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from app.access.standing import Standing
from app.access.subject import Subject
from app.config import Settings
from app.smart import jose
from app.smart.keys import KeyStore
from app.smart.person import Person
from app.storage import authorizations, oauth, people
from app.storage.engine import Store, Tx
from app.storage.oauth import Client

SECOND = 1_000_000
BACKEND_SECONDS = 300
MOST_SECONDS = 3600
LONGEST = 8192
REMEMBERED = 10_000
TYP = "at+jwt"


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


@dataclass
class Tokens:
    """Makes and reads access tokens."""

    store: Store
    keys: KeyStore
    settings: Settings
    seen: OrderedDict[str, Subject] = field(default_factory=OrderedDict)

    def mint(
        self,
        client: Client,
        scope: str,
        seconds: int,
        *,
        practitioner: str | None = None,
        patient: str | None = None,
        purpose: str | None = None,
        person: Person | None = None,
        family: str | None = None,
    ) -> str:
        """A token for the client's own organisation, or for a person who uses the client, in theirs and their role.

        `family` is what the person approved: revoking it ends the token."""
        now = self.store.clock() // SECOND
        claims: dict[str, Any] = {
            "iss": self.settings.origin,
            "aud": self.settings.base_url,
            "sub": client.id,
            "client_id": client.id,
            "iat": now,
            "exp": now + min(seconds, MOST_SECONDS),
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            "kind": client.kind,
            "org": client.organisation,
            "role": _role(client, practitioner),
        }
        named = {"practitioner": practitioner, "patient": patient, "purpose": purpose or client.purpose}
        named["tolerates"] = client.tolerates
        claims |= {name: value for name, value in named.items() if value}
        if practitioner:
            claims["auth_time"] = now
        if person is not None:
            claims |= person.claims(client) | ({"patient": patient} if patient else {})
        return self.keys.sign(claims | ({"fam": family} if family else {}), TYP)

    def subject(self, token: str) -> Subject | None:
        """Who a token speaks for; None if it is not good (any more)."""
        found = self.claimed(token)
        if found is None or found.standing is None:
            return None
        standing = found.standing
        with self.store.begin(reads=True) as tx:
            epoch = oauth.standing(tx, standing.client, standing.marks)
        return None if epoch is None else replace(found, epoch=epoch, standing=None)

    def claimed(self, token: str) -> Subject | None:
        """Who a token says that it speaks for, as far as it tells itself; its standing is still to be asked."""
        if len(token) > LONGEST or not token.isascii():
            return None
        mark = hashed(token)
        subject = self.seen.get(mark) or self._verified(token, mark)
        if subject is None or (subject.expires or 0) <= self.store.clock():
            return None
        return replace(subject, standing=Standing(subject.client_id, (mark, *marks(subject))))

    def known(self, token: str) -> Subject | None:
        """Who a token spoke for when it was verified last, if that was here and it has not expired; nothing is asked."""
        subject = self.seen.get(hashed(token)) if token.isascii() else None
        return subject if subject is not None and (subject.expires or 0) > self.store.clock() else None

    def _verified(self, token: str, mark: str) -> Subject | None:
        claims = self.keys.verify(token, TYP)
        if claims is None or not self._good(claims):
            return None
        subject = Subject(
            client_id=claims["client_id"],
            kind=claims["kind"],
            organisation=claims["org"],
            role=claims["role"],
            purpose=claims.get("purpose"),
            scopes=tuple(claims["scope"].split()),
            practitioner=claims.get("practitioner"),
            patient=claims.get("patient"),
            auth_time=claims["auth_time"] * SECOND if "auth_time" in claims else None,
            expires=claims["exp"] * SECOND,
            decision_point=claims.get("kind") == "gate",
            token=claims.get("jti"),
            user=claims.get("usr"),
            family=claims.get("fam"),
            tolerates=tuple(claims.get("tolerates", "").split()),
        )
        self.seen[mark] = subject
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return subject

    def _good(self, claims: dict[str, Any]) -> bool:
        now, issued = self.store.clock() // SECOND, claims.get("iat")
        try:
            expires = jose.current(claims, now, MOST_SECONDS, skew=0)
        except jose.BadToken:
            return False
        if not isinstance(claims["exp"], int) or not isinstance(issued, int) or expires - issued > MOST_SECONDS:
            return False
        return claims.get("iss") == self.settings.origin and claims.get("aud") == self.settings.base_url

    def revoke(self, tx: Tx, token: str) -> None:
        """Make a token worthless from now on; one that was none of ours is passed over (RFC 7009, section 2.2)."""
        claims = self.keys.verify(token, TYP) if len(token) <= LONGEST and token.isascii() else None
        if claims is not None and isinstance(claims.get("exp"), int):
            oauth.revoke(tx, hashed(token), claims["exp"] * SECOND)


def marks(subject: Subject) -> tuple[str, ...]:
    """What, when revoked, ends the token beside itself: the person's approval, the person."""
    found = (authorizations.mark(subject.family) if subject.family else "", people.mark(subject.user or ""))
    return tuple(mark for mark in found if mark and mark != people.mark(""))


def _role(client: Client, practitioner: str | None) -> str:
    """A person who acts through a client that has no role of its own acts as a clinician."""
    return "clinician" if practitioner and client.role == "system" else client.role
