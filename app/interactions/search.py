"""search-type: https://hl7.org/fhir/R4/http.html#search. GET and POST _search, on a type or in a compartment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.access import audit, information
from app.access.information import foreseeable
from app.fhir import bundle
from app.fhir.outcome import Fault, Issue, operation_outcome
from app.fhir.query import Query
from app.fhir.registry import TYPES
from app.fhir.resource import dump, pick, summarise
from app.fhir.search import parse
from app.interactions import Answer, Asked, Services, capability_address, published
from app.interactions.carrying import carry
from app.interactions.paging import CURSOR, seal, unseal, url
from app.interactions.presenting import content
from app.policy.grant import Grant
from app.storage import search as store_search
from app.storage.engine import Tx
from app.storage.replica import DIRECTORY
from app.storage.search import Page

Pairs = Sequence[tuple[str, str]]


def search(
    services: Services, asked: Asked, type_name: str, pairs: Pairs, compartment: tuple[str, str] | None = None
) -> Answer:
    """A page of what matches and may be seen. Raises Fault invalid, or forbidden where policy says so openly."""
    query = read_query(services, asked, type_name, pairs, compartment)
    if type_name in services.published:
        return _of_published(services, asked, query)
    raw = url(_address(services, type_name, compartment), pairs)
    return carry(
        services,
        asked,
        "search-type",
        type_name,
        lambda tx: apply(services, tx, asked, query, compartment, raw),
        query=raw,
    )


def read_query(
    services: Services, asked: Asked, type_name: str, pairs: Pairs, compartment: tuple[str, str] | None = None
) -> Query:
    """The query as understood, with its page key unsealed."""
    if "search-type" not in TYPES[type_name].interactions:
        raise Fault("not-supported", f"{type_name} cannot be searched")
    query = parse(
        type_name,
        pairs,
        lenient=asked.prefer.lenient,
        base_url=services.settings.base_url,
        zone=services.store.zone,
        compartment=compartment,
        at=services.store.clock(),
        valuesets=services.value_sets,
    )
    if query.cursor is not None:
        query = replace(query, cursor=unseal(services, asked, scope(query, compartment), query.cursor))
    return query


def apply(
    services: Services,
    tx: Tx,
    asked: Asked,
    query: Query,
    compartment: tuple[str, str] | None = None,
    raw: str = "",
) -> Answer:
    """search inside a transaction that is open already."""
    foreseen = services.enforcement.foreseen(tx, asked.subject, "search-type", query.type)
    if foreseen is not None and foreseeable(query):
        store_search.foresee(tx, foreseen, query)
    grant = services.enforcement.permit(tx, asked.subject, "search-type", query.type, query=query)
    if query.type == "AuditEvent":
        page = audit.search(tx, grant, query)
    elif information.touched(query) <= DIRECTORY and query.type not in grant.within:
        page = services.store.tolerant(tx, lambda there: store_search.run(there, grant, query))
    else:
        page = store_search.run(tx, grant, query)
    audit.record(
        tx,
        asked.subject,
        grant,
        "search-type",
        query.type,
        status=200,
        disclosed=[*page.entries, *page.included],
        query=raw,
        request_id=asked.request_id,
        named=tuple(grant.patients.values()) if grant.reason is None else (),
        counts={"matches": len(page.entries), "included": len(page.included)}
        | ({"total": page.total} if page.total is not None else {}),
    )
    return Answer(200, _bundle(services, asked, grant, query, page, compartment))


def _bundle(
    services: Services, asked: Asked, grant: Grant, query: Query, page: Page, compartment: tuple[str, str] | None
) -> bytes:
    base = services.settings.base_url
    links = _links(services, asked, query, compartment, page.next, grant.until)
    included = [(f"{base}/{one.ref}", content(grant, one), "include") for one in page.included]
    if asked.prefer.addresses and query.type == "ImagingStudy":
        return _addressed(services, asked, grant, query, page, links, included)
    hits = [(f"{base}/{one.ref}", _shown(query, content(grant, one)), "match") for one in page.entries] + included
    return bundle.searchset(
        hits, links=links, total=page.total, outcome=_outcome(query, page, grant), id=None, at=grant.at
    )


def _addressed(
    services: Services,
    asked: Asked,
    grant: Grant,
    query: Query,
    page: Page,
    links: list[tuple[str, str]],
    included: list[tuple[str, bytes, str]],
) -> bytes:
    """The same page with addresses of the requester's own in place of archives'."""
    studies = [(one, content(grant, one)) for one in page.entries]
    endpoints = [one for one in page.included if one.type == "Endpoint"]
    changed, made, replaced = capability_address.addressed(services, asked.subject, studies, endpoints, grant.at)
    base = services.settings.base_url
    hits = [(f"{base}/{one.ref}", _shown(query, changed.get(one.rid, body)), "match") for one, body in studies]
    hits += [one for one in included if one[0].removeprefix(f"{base}/") not in replaced]
    hits += [(name, body, "include") for name, body in made]
    return bundle.searchset(hits, links=links, total=page.total, outcome=_outcome(query, page, grant), at=grant.at)


def _links(
    services: Services,
    asked: Asked,
    query: Query,
    compartment: tuple[str, str] | None,
    next: str | None,
    expires: int | None = None,
) -> list[tuple[str, str]]:
    address = _address(services, query.type, compartment)
    links = [("self", url(address, query.applied))]
    if next is not None:
        sealed = seal(services, asked, scope(query, compartment), next, expires=expires)
        links.append(("next", url(address, [*query.applied, (CURSOR, sealed)])))
    return links


def _of_published(services: Services, asked: Asked, query: Query) -> Answer:
    base = services.settings.base_url
    found = published.search(services.published[query.type], query, base_url=base, zone=services.store.zone)
    hits = [(f"{base}/{query.type}/{one['id']}", _shown(query, dump(one)), "match") for one in found.page]
    links = _links(services, asked, query, None, found.next)
    issues = [Issue("not-supported", text, severity="warning") for text in query.ignored]
    outcome = dump(operation_outcome(issues)) if issues else None
    return Answer(200, bundle.searchset(hits, links=links, total=found.total, outcome=outcome))


def _shown(query: Query, body: bytes) -> bytes:
    if query.elements:
        return pick(body, query.elements)
    return summarise(body, query.summary) if query.summary not in (None, "false", "count") else body


def _outcome(query: Query, page: Page, grant: Grant) -> bytes | None:
    issues = [Issue("not-supported", text, severity="warning") for text in query.ignored]
    issues += [Issue("informational", text, severity="warning") for text in grant.warnings]
    if page.truncated:
        text = f"more was to be included than is taken; {len(page.included)} resources are here"
        issues.append(Issue("too-costly", text, severity="warning"))
    return dump(operation_outcome(issues)) if issues else None


def scope(query: Query, compartment: tuple[str, str] | None) -> str:
    """What a page key is bound to beside the requester."""
    return repr((query.type, compartment, query.applied))


def _address(services: Services, type_name: str, compartment: tuple[str, str] | None) -> str:
    middle = f"{compartment[0]}/{compartment[1]}/" if compartment else ""
    return f"{services.settings.base_url}/{middle}{type_name}"
