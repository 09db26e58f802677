"""Tokens and log-ins of trusted issuers: proved, then read by the issuer's claim map into a person and a client here.

The client is one that is registered here, for one organisation: a token that asserts another opens nothing. Of several
roles only the selected one counts; somebody without a role that is known here is nobody here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.access import scopes
from app.access.subject import Subject
from app.fhir.identifier import ODS_ORGANISATION
from app.policy.organisation import key_from
from app.smart import jose
from app.smart.jose import BadToken
from app.smart.jwks import Fetched, fetch, post
from app.smart.person import Person, may_use
from app.smart.tokens import LONGEST, MOST_SECONDS, REMEMBERED, SECOND, hashed
from app.smart.trust import Issuer
from app.storage import oauth, people
from app.storage.engine import Store, Tx
from app.storage.oauth import Client

MOST_AHEAD = 86_400  # seconds for which an issuer's token may be good
ASKED_SECONDS = 60  # for which what an issuer was asked about a token is believed


@dataclass
class Issuers:
    """The issuers that are trusted here."""

    trusted: tuple[Issuer, ...]
    store: Store
    fetched: Fetched = field(default_factory=Fetched)
    seen: OrderedDict[str, tuple[Subject, int]] = field(default_factory=OrderedDict)

    # Access tokens -----------------------------------------------------------------------------------------------

    def subject(self, token: str) -> Subject | None:
        """Who an issuer's access token speaks for; None if it is not good (any more)."""
        if not self.trusted or len(token) > LONGEST or not token.isascii():
            return None
        mark, now = hashed(token), self.store.clock()
        subject, until = self.seen.get(mark, (None, 0))
        if subject is None or until <= now:
            try:
                subject = self._verified(token, mark, now)
            except BadToken:
                return None
        with self.store.begin(reads=True) as tx:
            known = (subject.expires or 0) > now and oauth.standing(tx, subject.client_id, (mark,))
        return subject if known else None

    def _verified(self, token: str, mark: str, now: int) -> Subject:
        issuer, claims, lasting = self._claims(token, now // SECOND)
        with self.store.begin(reads=True) as tx:
            subject = self._read(tx, issuer, claims, now)
        until = min(subject.expires or 0, now + MOST_SECONDS * SECOND if lasting else now + ASKED_SECONDS * SECOND)
        self.seen[mark] = (subject, until)
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return subject

    def _claims(self, token: str, now: int) -> tuple[Issuer, Mapping[str, Any], bool]:
        """(issuer, claims, whether they hold as long as the token does). Raises BadToken."""
        said = jose.peek(token)
        named = said[1].get("iss") if said else None
        for issuer in self.trusted:
            if issuer.introspection is not None and (said is None or named == issuer.issuer):
                return issuer, self._introspected(issuer, token, now), False
            if said is not None and named == issuer.issuer:
                claims = self._signed(issuer, token, now)
                if issuer.userinfo:
                    return issuer, self.with_userinfo(issuer, claims, token), False
                return issuer, claims, True
        raise BadToken("the token is of no issuer that is trusted here")

    def _signed(self, issuer: Issuer, token: str, now: int) -> Mapping[str, Any]:
        claims = self.proved(issuer, token, now)
        if "nonce" in claims or "at_hash" in claims or str(claims.get("typ", "Bearer")).lower() != "bearer":
            raise BadToken("this is an id token; expected an access token")
        if not jose.of_audience(claims, issuer.audience):
            raise BadToken("the token is for somebody else")
        return claims

    def proved(self, issuer: Issuer, token: str, now: int) -> Mapping[str, Any]:
        """The claims of what the issuer has signed and is good now. Raises BadToken."""
        said = jose.peek(token)
        keys = self.fetched.keys(issuer.jwks_uri, said[0].get("kid") if said else None)
        claims = jose.read(token, keys, issuer.algorithms).claims
        jose.current(claims, now, MOST_AHEAD)
        if claims.get("iss") != issuer.issuer:
            raise BadToken("the token is of another issuer")
        return claims

    def _introspected(self, issuer: Issuer, token: str, now: int) -> Mapping[str, Any]:
        how = issuer.introspection
        assert how is not None
        claims = post(how.url, {"token": token}, (how.client_id, how.secret))
        if not isinstance(claims, dict) or claims.get("active") is not True:
            raise BadToken("the issuer says that the token is not good")
        jose.current(claims, now, MOST_AHEAD)
        if claims.get("iss", issuer.issuer) != issuer.issuer or not jose.of_audience(claims, issuer.audience):
            raise BadToken("the token is for somebody else")
        return claims

    def with_userinfo(self, issuer: Issuer, claims: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        """The claims with what the issuer's userinfo adds. Raises BadToken where it is about somebody else."""
        said = fetch(issuer.userinfo, headers={"Authorization": f"Bearer {token}"})
        if not isinstance(said, dict) or said.get("sub") != claims.get("sub"):
            raise BadToken("userinfo is about somebody else")
        return {**said, **claims}

    # What claims mean ----------------------------------------------------------------------------------------------

    def _read(self, tx: Tx, issuer: Issuer, claims: Mapping[str, Any], now: int) -> Subject:
        client = self._client(tx, issuer, claims)
        expires = min(int(claims["exp"]) * SECOND, now + MOST_SECONDS * SECOND)
        given = issuer.claims["scope"].values(claims) if "scope" in issuer.claims else [client.scope]
        allowed = scopes.within(" ".join(given), client.scope).split()
        if issuer.fixed.get("role") == "system":
            return self._system(issuer, claims, client, tuple(allowed), expires)
        person = self.person(tx, issuer, claims)
        if not may_use(tx, person, client):
            raise BadToken("the client is not registered for the organisation that is asserted")
        allowed = [one for one in allowed if not scopes.of_context(one, "system")]
        return person.subject(client, *allowed, expires=expires)

    def _client(self, tx: Tx, issuer: Issuer, claims: Mapping[str, Any]) -> Client:
        named = issuer.fixed.get("client") or issuer.claims["client"].value(claims)
        found = oauth.find(tx, named) if named else None
        if found is None or found.disabled:
            raise BadToken("the token names no client that is registered here")
        return found

    def _system(
        self, issuer: Issuer, claims: Mapping[str, Any], client: Client, allowed: tuple[str, ...], expires: int
    ) -> Subject:
        organisation = self._organisation(issuer, claims)
        if client.kind in ("app", "steward") or organisation != client.organisation:
            raise BadToken("the client is not registered for the organisation that is asserted")
        purpose = self._purpose(issuer, claims) or client.purpose
        return Subject(client.id, client.kind, organisation, "system", purpose, allowed, expires=expires)

    def person(self, tx: Tx, issuer: Issuer, claims: Mapping[str, Any]) -> Person:
        """Who the claims are about, in the one role that they select. Raises BadToken."""
        for path, values in issuer.require:
            found = path.values(claims)
            if not found or not values.issuperset(found):
                raise BadToken("the log-in is not of a kind that is accepted here")
        user = issuer.claims["user"].value(claims)
        role = self._role(issuer, claims)
        if user is None or role is None or role == "system":
            raise BadToken("the person has no one role that is known here")
        patient = self._resource(tx, issuer, claims, "patient", "Patient") if role == "patient" else None
        practitioner = None if role == "patient" else self._resource(tx, issuer, claims, "practitioner", "Practitioner")
        name = issuer.claims["name"].value(claims) if "name" in issuer.claims else None
        begun = claims.get("auth_time", claims.get("iat"))
        if "auth_time" in issuer.claims:
            stated = issuer.claims["auth_time"].value(claims)
            begun = int(stated) if stated and stated.isdecimal() else None
        if not isinstance(begun, int) or isinstance(begun, bool):
            raise BadToken("nothing says when the person logged in")
        return Person(
            id=f"{issuer.name}:{user}",
            name=name or f"{issuer.title}, {user}",
            role=role,
            organisation=None if role == "patient" else self._organisation(issuer, claims, tx),
            practitioner=practitioner,
            patient=patient,
            auth_time=begun,
            purpose=self._purpose(issuer, claims),
            acr=issuer.claims["acr"].value(claims) if "acr" in issuer.claims else None,
            issuer=issuer.issuer,
        )

    def _role(self, issuer: Issuer, claims: Mapping[str, Any]) -> str | None:
        if "role" in issuer.fixed:
            return issuer.fixed["role"]
        known = {issuer.roles[one] for one in issuer.claims["role"].values(claims) if one in issuer.roles}
        return known.pop() if len(known) == 1 else None

    def _purpose(self, issuer: Issuer, claims: Mapping[str, Any]) -> str | None:
        stated = issuer.claims["purpose"].value(claims) if "purpose" in issuer.claims else None
        return stated or issuer.fixed.get("purpose")

    def _organisation(self, issuer: Issuer, claims: Mapping[str, Any], tx: Tx | None = None) -> str:
        stated = issuer.claims["organisation"].value(claims) if "organisation" in issuer.claims else None
        code = issuer.fixed.get("organisation") or stated
        key = key_from(ODS_ORGANISATION, code) if code else None
        if key is None or not key.removeprefix("ods:").isalnum():
            raise BadToken("nothing says for which organisation the person acts")
        if issuer.organisations and key not in issuer.organisations:
            raise BadToken("the issuer does not speak for that organisation")
        if tx is not None and not people.organisation_known(tx, key):
            raise BadToken("the organisation is not known here")
        return key

    def _resource(self, tx: Tx, issuer: Issuer, claims: Mapping[str, Any], name: str, type_name: str) -> str:
        stated = issuer.claims[name].value(claims) if name in issuer.claims else None
        found = people.by_identifier(tx, type_name, issuer.systems[name], stated) if stated else None
        if found is None:
            raise BadToken(f"the {name} is not known here")
        return found
