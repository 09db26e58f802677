"""Page links: storage's key, sealed for one principal and one query, so that it serves nobody else and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from urllib.parse import urlencode

import orjson

from app.fhir.outcome import Fault
from app.interactions import Asked, Services

LIFE_SECONDS = 3600
CURSOR = "_cursor"


def seal(
    services: Services, asked: Asked, scope: str, key: str, *, lasting: bool = False, expires: int | None = None
) -> str:
    """The opaque form of a page key. `scope` is what was asked, whatever the page. A link is good no longer than the
    decision it rests on (`expires`, in microseconds UTC). A `lasting` one may be kept: a feed is read on where it was
    left, be it weeks ago."""
    until = 0 if lasting else services.store.clock() // 1_000_000 + LIFE_SECONDS
    if until and expires is not None:
        until = min(until, expires // 1_000_000)
    return services.seal(orjson.dumps([_bound(asked, scope), until, key]))


def unseal(services: Services, asked: Asked, scope: str, cursor: str) -> str:
    """The page key. Raises Fault "invalid" where the link is damaged, stale, or was given to somebody else."""
    try:
        bound, until, key = orjson.loads(services.open_seal(cursor))
    except ValueError as error:
        raise Fault("invalid", "the page link is damaged; expected a link as the server gave it", CURSOR) from error
    if bound != _bound(asked, scope):
        raise Fault("invalid", "the page link belongs to another search or requester; expected one's own", CURSOR)
    if until and until < services.store.clock() // 1_000_000:
        raise Fault("invalid", "the page link has expired; expected the search to be made again", CURSOR)
    return str(key)


def _bound(asked: Asked, scope: str) -> str:
    subject = asked.subject
    parts = (subject.client_id, subject.practitioner or "", subject.organisation or "", subject.patient or "", scope)
    return blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()


def url(address: str, pairs: Sequence[tuple[str, str]]) -> str:
    """An address with its query."""
    return f"{address}?{urlencode(pairs)}" if pairs else address
