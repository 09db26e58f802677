"""One strict way to read a signed token, whoever signed it (RFC 7515, 7519, 8725).

The algorithm is one of those that are expected here, the key one of those that are given here: `jwk`, `jku`, `x5u` and
`x5c` in a header are ignored, and nothing is fetched for them. What names extensions (`crit`) or gives a member twice
is not read further.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

LONGEST = 16_384
SKEW_SECONDS = 60

Key = ECKey | RSAKey


class BadToken(Exception):
    """The token proves nothing; the text is for a developer and repeats nothing of the token."""


@dataclass(frozen=True, slots=True)
class Read:
    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def key_set(document: object) -> list[Key]:
    """The signing keys of a JWK set; those of a kind that is not known here are passed over. Raises BadToken."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise BadToken("the key set cannot be read")
    keys: list[Key] = []
    for one in document["keys"]:
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC") or one.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in one.items() if name not in ("x5u", "x5c", "x5t", "x5t#S256", "d")}
        try:
            keys += KeySet.import_key_set({"keys": [public]}).keys  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return keys


def peek(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(header, claims) as the token itself says, proved by nothing; None where they cannot be read."""
    parts = token.split(".") if token.isascii() and len(token) <= LONGEST else []
    if len(parts) != 3:
        return None
    try:
        return _strict(parts[0]), _strict(parts[1])
    except BadToken:
        return None


def read(token: str, keys: Sequence[Key], algorithms: Sequence[str]) -> Read:
    """Header and claims, proved by one of the keys. Raises BadToken."""
    if (said := peek(token)) is None:
        raise BadToken("this is not a signed token")
    header, claims = said
    if header.get("alg") not in algorithms:
        raise BadToken(f"the algorithm is not accepted; expected one of {', '.join(algorithms)}")
    if "crit" in header:
        raise BadToken("the token names extensions that are not known")
    key = _chosen(keys, header.get("kid"))
    try:
        registry = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
        jwt.decode(token, key, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadToken("the signature is not of a key that is known here") from error
    return Read(header, claims)


def _chosen(keys: Sequence[Key], kid: object) -> Key:
    """The key of that name; without a name the only one there is."""
    if kid is None and len(keys) == 1:
        return keys[0]
    if not isinstance(kid, str) or not 0 < len(kid) <= 255:
        raise BadToken("the token names no key; expected kid, at most 255 characters")
    found = [key for key in keys if key.kid == kid]
    if len(found) != 1:
        raise BadToken("the token's key is not known here")
    return found[0]


def current(claims: Mapping[str, Any], now: int, most: int, *, skew: int = SKEW_SECONDS) -> int:
    """`exp` in seconds of a token that is valid now, for at most `most` seconds from now. Raises BadToken."""
    expires, begins, issued = claims.get("exp"), claims.get("nbf", now), claims.get("iat", now)
    if not _instant(expires) or not now - skew < expires:
        raise BadToken("the token has expired, or says not when it will")
    if expires > now + most + SKEW_SECONDS:
        raise BadToken(f"the token is valid for too long; expected at most {most} seconds")
    if not _instant(begins) or not _instant(issued) or max(begins, issued) > now + SKEW_SECONDS:
        raise BadToken("the token is not valid yet")
    return int(expires)


def _instant(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def of_audience(claims: Mapping[str, Any], audience: str) -> bool:
    """Whether `aud` names the audience, alone or among others."""
    said = claims.get("aud")
    return audience in said if isinstance(said, list) else said == audience


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken("this is not a signed token") from error


def _strict(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decoded(part), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadToken("this is not a signed token") from error
    if not isinstance(value, dict):
        raise BadToken("this is not a signed token")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found
