"""Patient/[id]/$everything: https://hl7.org/fhir/R4/patient-operation-everything.html

The patient, what is in the patient's compartment, and who and where it names: type by type, each through the same
search as any other, so that nothing is here that a search would not find. Types that the token's scopes or the role do
not reach are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson

from app.access import audit, permissions
from app.access.scopes import allows
from app.fhir import bundle
from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.fhir.registry import TYPES, followed
from app.fhir.search import parse
from app.interactions import Answer, Asked, Services
from app.interactions.carrying import carry
from app.interactions.options import counted, once_each
from app.interactions.paging import CURSOR, seal, unseal, url
from app.interactions.presenting import content
from app.interactions.read import unknown
from app.policy.grant import Grant
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.indexing import WHEN
from app.storage.resources import Stored

Pairs = Sequence[tuple[str, str]]
MOST = 200
OPTIONS = ("start", "end", "_since", "_type", "_count")
NAMED = frozenset({"Endpoint", "Organization", "Practitioner", "PractitionerRole", "Location"})
COMPARTMENT = tuple(name for name, one in TYPES.items() if one.compartment and name not in ("Patient", "AuditEvent"))


def everything(services: Services, asked: Asked, id: str, pairs: Pairs) -> Answer:
    """A page. Raises Fault not-found as a read of the patient would, invalid for options that it does not know."""
    options = _options(pairs)
    return carry(services, asked, "operation", "Patient", lambda tx: _page(services, tx, asked, id, options))


def _options(pairs: Pairs) -> dict[str, str]:
    options = once_each(pairs, OPTIONS, apart=CURSOR)
    counted(options, MOST, MOST)
    if wrong := set(filter(None, options.get("_type", "").split(","))) - {"Patient", *COMPARTMENT}:
        raise Fault("invalid", f"{min(wrong)} is not of a patient's record here; expected types that are", "_type")
    return options


def _page(services: Services, tx: Tx, asked: Asked, id: str, options: dict[str, str]) -> Answer:
    grant = services.enforcement.permit(tx, asked.subject, "read", "Patient", id=id)
    patient = resources.get(tx, grant, "Patient", id)
    if patient is None or patient.deleted:
        raise unknown("Patient")
    types = _types(asked, options)
    count = counted(options, MOST, MOST)
    address = f"{services.settings.base_url}/Patient/{id}/$everything"
    applied = [(name, value) for name, value in options.items() if name != CURSOR]
    scope = repr((address, applied))
    place, key = 0, None
    shown: list[tuple[Grant, Stored]] = []
    if CURSOR in options:
        place, key = orjson.loads(unseal(services, asked, scope, options[CURSOR]))
    elif "Patient" in (options.get("_type") or "Patient").split(","):
        shown.append((grant, patient))
    following: str | None = None
    while place < len(types) and following is None:
        if len(shown) >= count:
            following = orjson.dumps([place, key]).decode()
            break
        query = _query(services, types[place], id, options, count - len(shown), key)
        granted = services.enforcement.permit(tx, asked.subject, "search-type", types[place], query=query)
        page = search.run(tx, granted, query)
        there = {one.rid for _, one in shown}
        shown += [(granted, one) for one in (*page.entries, *page.included) if one.rid not in there]
        place, key = (place, page.next) if page.next is not None else (place + 1, None)
        if page.next is not None:
            following = orjson.dumps([place, key]).decode()
    links = [("self", url(address, applied))]
    if following is not None:
        sealed = seal(services, asked, scope, following, expires=grant.until)
        links.append(("next", url(address, [*applied, (CURSOR, sealed)])))
    disclosed = [one for _, one in shown]
    audit.record(
        tx, asked.subject, grant, "operation", "Patient", status=200, disclosed=disclosed, detail="$everything",
        request_id=asked.request_id, named=(f"Patient/{id}",),
    )  # fmt: skip
    base = services.settings.base_url
    hits = [(f"{base}/{one.ref}", content(granted, one), "match") for granted, one in shown]
    return Answer(200, bundle.searchset(hits, links=links, at=tx.at))


def _types(asked: Asked, options: dict[str, str]) -> list[str]:
    subject = asked.subject
    wanted = set(filter(None, options.get("_type", "").split(","))) or set(COMPARTMENT)
    return [
        name
        for name in COMPARTMENT
        if name in wanted
        and allows(subject, name, "search-type")
        and (name not in permissions.PRIVACY_TYPES or permissions.reads_privacy(subject))
    ]


def _query(services: Services, name: str, id: str, options: dict[str, str], count: int, key: str | None) -> Query:
    definition = TYPES[name]
    pairs = [("_count", str(count))]
    pairs += [
        ("_include", f"{name}:{param.name}")
        for param in definition.params.values()
        if NAMED.intersection(followed(param)) and not param.name.startswith("_")
    ]
    if "_since" in options:
        pairs.append(("_lastUpdated", f"ge{options['_since']}"))
    if name in WHEN:
        pairs += [(WHEN[name], mark + options[one]) for one, mark in (("start", "ge"), ("end", "le")) if one in options]
    store = services.store
    query = parse(
        name, pairs, base_url=services.settings.base_url, zone=store.zone, compartment=("Patient", id), at=store.clock()
    )
    return replace(query, cursor=key) if key is not None else query
