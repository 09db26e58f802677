"""private_key_jwt: a client proves itself by a signed assertion (RFC 7523, SMART backend services).

RS384 and ES384 alone; at most five minutes ahead; each `jti` once; `aud` the token address; keys registered by value
or by URL, never taken from the assertion.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson
import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.storage.oauth import Client

ALGORITHMS = ["RS384", "ES384"]
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_SECONDS = 300
SKEW_SECONDS = 60
LONGEST = 16384
CACHE_SECONDS = 300
TIMEOUT_SECONDS = 3

_fetched: dict[str, tuple[float, dict[str, Any]]] = {}


class BadAssertion(Exception):
    """The assertion proves nothing; the text is for the client's developer."""


def claimed_client(assertion: str) -> str | None:
    """The client that an assertion says it is of, unproved."""
    parts = assertion.split(".")
    if len(parts) != 3 or len(assertion) > LONGEST:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None


def verify(assertion: str, client: Client, audience: str, now: int) -> tuple[str, int]:
    """(jti, exp in seconds) of a good assertion. Raises BadAssertion."""
    try:
        found = jwt.decode(assertion, KeySet.import_key_set(_keys(client)), algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise BadAssertion("the assertion's signature or key is not one that was registered") from error
    if "crit" in found.header:
        raise BadAssertion("the assertion names extensions that are not known")
    claims = found.claims
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise BadAssertion("iss and sub are to be the client's id")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise BadAssertion("aud is to be the address of the token endpoint")
    expires, jti = claims.get("exp"), claims.get("jti")
    if not isinstance(expires, int) or not now < expires <= now + MOST_SECONDS + SKEW_SECONDS:
        raise BadAssertion("exp is to be at most five minutes ahead")
    not_before = claims.get("nbf", now)
    if not isinstance(not_before, int) or not_before > now + SKEW_SECONDS:
        raise BadAssertion("the assertion is not valid yet")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise BadAssertion("jti is to be a name used once")
    return jti, expires


def _keys(client: Client) -> Any:
    if client.jwks:
        return orjson.loads(client.jwks)
    if not client.jwks_url:
        return {"keys": []}
    known = _fetched.get(client.jwks_url)
    if known is None or known[0] < time.monotonic():
        try:
            answer = requests.get(client.jwks_url, timeout=TIMEOUT_SECONDS, allow_redirects=False)
            answer.raise_for_status()
            keys = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise BadAssertion("the client's keys cannot be fetched from where they are registered") from error
        known = (time.monotonic() + CACHE_SECONDS, keys)
        _fetched[client.jwks_url] = known
    return known[1]
