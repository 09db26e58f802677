"""private_key_jwt: a client proves itself by a signed assertion (RFC 7523, SMART backend services).

RS384 and ES384 alone; at most five minutes ahead; each `jti` once; `aud` the token address; keys registered by value
or by URL, never taken from the assertion.
"""

from __future__ import annotations

import orjson

from app.smart import jose
from app.smart.jwks import Fetched
from app.storage.oauth import Client

ALGORITHMS = ("RS384", "ES384")
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_SECONDS = 300
SKEW_SECONDS = jose.SKEW_SECONDS

_fetched = Fetched()


class BadAssertion(Exception):
    """The assertion proves nothing; the text is for the client's developer."""


def claimed_client(assertion: str) -> str | None:
    """The client that an assertion says it is of, unproved."""
    said = jose.peek(assertion)
    issuer = said[1].get("iss") if said else None
    return issuer if isinstance(issuer, str) else None


def verify(assertion: str, client: Client, audience: str, now: int) -> tuple[str, int]:
    """(jti, exp in seconds) of a good assertion. Raises BadAssertion."""
    try:
        found = jose.read(assertion, _keys(client, assertion), ALGORITHMS)
        if found.header.get("jku", client.jwks_url) != client.jwks_url:
            raise jose.BadToken("jku is not where the client's keys are registered")
        claims = found.claims
        expires = jose.current(claims, now, MOST_SECONDS, skew=0)
    except jose.BadToken as error:
        raise BadAssertion(f"the assertion proves nothing: {error}") from error
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise BadAssertion("iss and sub are to be the id of the client")
    if not jose.of_audience(claims, audience):
        raise BadAssertion("aud is to be the address of the token endpoint")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise BadAssertion("jti is to be a name used once")
    return jti, expires


def _keys(client: Client, assertion: str) -> list[jose.Key]:
    if client.jwks:
        return jose.key_set(orjson.loads(client.jwks))
    said = jose.peek(assertion)
    return _fetched.keys(client.jwks_url, said[0].get("kid") if said else None) if client.jwks_url else []
