"""read and search-type of DocumentReference: each study as a record locator points to it (app.fhir.pointer).

The study is permitted, found, counted and recorded as a search for studies would; only what is shown of it differs. A
token that reaches ImagingStudy reaches them.
"""

from __future__ import annotations

from app.access import audit
from app.fhir import bundle
from app.fhir.outcome import Issue, operation_outcome
from app.fhir.pointer import Pairs, as_study_search, pointer
from app.fhir.query import Query
from app.fhir.resource import dump, load
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.paging import CURSOR, seal, url
from app.interactions.presenting import content, versioned
from app.interactions.read import gone, unknown
from app.interactions.search import read_query, scope
from app.policy.grant import Grant
from app.storage import resources
from app.storage import search as store_search
from app.storage.engine import Tx
from app.storage.resources import Stored

KIND = "DocumentReference"
STUDY = "ImagingStudy"


def read(services: Services, asked: Asked, id: str) -> Answer:
    """The pointer to a study. Raises Fault not-found, or deleted, as the study would."""
    return carry(services, asked, "read", KIND, lambda tx: _read(services, tx, asked, id))


def search(services: Services, asked: Asked, pairs: Pairs) -> Answer:
    """A page of pointers. Raises Fault invalid, or forbidden where policy says so openly."""
    wanted, ignored = as_study_search(pairs, lenient=asked.prefer.lenient)
    query = read_query(services, asked, STUDY, wanted)
    return carry(
        services,
        asked,
        "search-type",
        KIND,
        lambda tx: _search(services, tx, asked, query, pairs, ignored),
        query=url(f"{services.settings.base_url}/{KIND}", pairs),
    )


def _read(services: Services, tx: Tx, asked: Asked, id: str) -> Answer:
    grant = services.enforcement.permit(tx, asked.subject, "read", STUDY, id=id)
    found = resources.get(tx, grant, STUDY, id)
    if found is None:
        raise unknown(KIND)
    if found.deleted:
        raise gone(found)
    audit.record(tx, asked.subject, grant, "read", KIND, status=200, disclosed=[found], request_id=asked.request_id)
    return versioned(services, 200, _shown(services, grant, found), found)


def _search(services: Services, tx: Tx, asked: Asked, query: Query, pairs: Pairs, ignored: list[str]) -> Answer:
    grant = services.enforcement.permit(tx, asked.subject, "search-type", STUDY, query=query)
    page = store_search.run(tx, grant, query)
    base = f"{services.settings.base_url}/{KIND}"
    counts = {"matches": len(page.entries)} | ({"total": page.total} if page.total is not None else {})
    audit.record(
        tx,
        asked.subject,
        grant,
        "search-type",
        KIND,
        status=200,
        disclosed=page.entries,
        query=url(base, pairs),
        request_id=asked.request_id,
        named=tuple(grant.patients.values()) if grant.reason is None else (),
        counts=counts,
    )
    applied = [(name, value) for name, value in pairs if name != CURSOR]
    links = [("self", url(base, applied))]
    if page.next is not None:
        sealed = seal(services, asked, scope(query, None), page.next, expires=grant.until)
        links.append(("next", url(base, [*applied, (CURSOR, sealed)])))
    hits = [(f"{base}/{one.id}", _shown(services, grant, one), "match") for one in page.entries]
    issues = [Issue("not-supported", text, severity="warning") for text in (*ignored, *query.ignored)]
    outcome = dump(operation_outcome(issues)) if issues else None
    return Answer(200, bundle.searchset(hits, links=links, total=page.total, outcome=outcome, at=grant.at))


def _shown(services: Services, grant: Grant, found: Stored) -> bytes:
    return dump(pointer(load(content(grant, found)), found.owner, services.settings.base_url))
