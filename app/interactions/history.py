"""history of an instance, a type or the whole: https://hl7.org/fhir/R4/http.html#history.

Newest first. With `_since` it is a feed: oldest first, in the order of commits, and always with a next link, so that a
reader who follows it sees each version exactly once though transactions overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.access import audit
from app.fhir import bundle
from app.fhir.outcome import Fault
from app.fhir.temporal import interval
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.options import counted, once_each
from app.interactions.paging import CURSOR, seal, unseal, url
from app.interactions.presenting import content
from app.interactions.read import unknown
from app.interactions.writing import allowed
from app.storage import history as store_history
from app.storage.engine import Tx

Pairs = Sequence[tuple[str, str]]
MOST = 500


def history(
    services: Services, asked: Asked, pairs: Pairs, type_name: str | None = None, id: str | None = None
) -> Answer:
    """A page of versions. Raises Fault invalid for parameters it does not know, not-found as a read would."""
    return carry(
        services,
        asked,
        _level(type_name, id),
        type_name or "",
        lambda tx: apply(services, tx, asked, pairs, type_name, id),
        query=url(_address(services, type_name, id), pairs),
    )


def apply(
    services: Services, tx: Tx, asked: Asked, pairs: Pairs, type_name: str | None = None, id: str | None = None
) -> Answer:
    """history inside a transaction that is open already."""
    level = _level(type_name, id)
    if type_name is not None:
        allowed(type_name, level)
    options = _options(services, pairs)
    return _page(services, tx, asked, level, type_name, id, options, _address(services, type_name, id))


def _level(type_name: str | None, id: str | None) -> str:
    return "history-instance" if id else ("history-type" if type_name else "history-system")


def _address(services: Services, type_name: str | None, id: str | None) -> str:
    return "/".join(part for part in (services.settings.base_url, type_name, id, "_history") if part)


def _options(services: Services, pairs: Pairs) -> dict[str, str]:
    options = once_each(pairs, ("_since", "_count"), apart=CURSOR)
    if "_since" in options:
        try:
            interval(options["_since"], services.store.zone)
        except ValueError:
            raise Fault("invalid", "not a date or time; expected one like 2026-03-10T10:00:00Z", "_since") from None
    counted(options, 20, MOST)
    return options


def _page(
    services: Services,
    tx: Tx,
    asked: Asked,
    level: str,
    type_name: str | None,
    id: str | None,
    options: dict[str, str],
    address: str,
) -> Answer:
    enforcement = services.enforcement
    grant = enforcement.permit(tx, asked.subject, level, type_name or "Patient", id=id)
    applied = [(name, options[name]) for name in ("_since", "_count") if name in options]
    scope = repr((address, applied))
    cursor = unseal(services, asked, scope, options[CURSOR]) if CURSOR in options else None
    page = store_history.history(
        tx,
        grant,
        type=type_name,
        id=id,
        since=interval(options["_since"], tx.zone)[0] if "_since" in options else None,
        cursor=cursor,
        count=counted(options, 20, MOST),
    )
    if page is None:
        raise unknown(type_name or "resource")
    base = services.settings.base_url
    versions = [
        bundle.Version(
            f"{base}/{one.ref}",
            None if one.deleted else content(grant, one),
            method,
            one.type if method == "POST" else one.ref,
            one.version,
            one.updated,
        )
        for one, method in page.entries
    ]
    links = [("self", url(address, applied))]
    if page.next is not None:
        sealed = seal(services, asked, scope, page.next, lasting="_since" in options, expires=grant.until)
        links.append(("next", url(address, [*applied, (CURSOR, sealed)])))
    audit.record(
        tx,
        asked.subject,
        grant,
        level,
        type_name or "",
        status=200,
        disclosed=[one for one, _ in page.entries],
        request_id=asked.request_id,
    )
    return Answer(200, bundle.history(versions, links=links))
