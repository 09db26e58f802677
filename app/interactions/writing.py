"""One way for every write: normalise, validate, resolve references, ask the enforcement point, store, record.

The forms of create, update, patch and delete (by id or by condition, alone or inside a Bundle) differ in how they find
what they act on, and meet here.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from app.access import audit
from app.fhir import negotiation
from app.fhir.outcome import Fault, Issue, operation_outcome
from app.fhir.query import Query
from app.fhir.registry import TYPES
from app.fhir.resource import conditional_reference, dump, mentioned, references, referring
from app.fhir.search import SHAPING, parse
from app.fhir.tolerance import amend
from app.interactions import Answer, Asked, Services, endpoint_hosts, subscribing
from app.interactions.presenting import address, versioned
from app.policy.grant import Grant
from app.storage import resources, search
from app.storage.engine import Tx
from app.storage.projection import RELATING, STUDIES
from app.storage.resources import Stored

NOTHING: frozenset[str] = frozenset()

# Types from which decisions are made.
DECIDING = frozenset({"Patient", "Organization", "PractitionerRole", *RELATING, *STUDIES, "Consent"})


def allowed(type_name: str, interaction: str) -> None:
    """Raises Fault not-supported for an interaction that the table does not have for the type."""
    if interaction not in TYPES[type_name].interactions:
        known = ", ".join(sorted(TYPES[type_name].interactions))
        raise Fault("not-supported", f"{interaction} is not supported for {type_name}; expected one of {known}")


def prepared(
    services: Services,
    tx: Tx,
    asked: Asked,
    interaction: str,
    resource: dict[str, Any],
    type_name: str,
    here: Container[str],
) -> list[Issue]:
    """Check everything that is to be right before the resource is stored; the warnings that remain.

    Whether the client writes the type at all comes first: nobody else is told what is wrong with a resource.

    `here` are the references that the Bundle itself provides. Raises Fault with every error found.
    """
    warnings = checked(services, asked, interaction, resource, type_name)
    endpoint_hosts.check(services, tx, resource)
    if type_name == "Subscription":
        subscribing.check(services, tx, asked, resource)
    if services.settings.references == "strict":
        check_references(services, tx, asked, resource, here)
    return warnings


def checked(
    services: Services, asked: Asked, interaction: str, resource: dict[str, Any], type_name: str
) -> list[Issue]:
    """As `prepared`, as far as no database is needed."""
    services.enforcement.check_writer(asked.subject, interaction, type_name)
    return sound(services, asked, resource, type_name)


def sound(services: Services, asked: Asked, resource: dict[str, Any], type_name: str) -> list[Issue]:
    """As `checked`, for a client that may write the type."""
    if resource.get("resourceType") != type_name:
        raise Fault("invalid", "the resource is of another type than the address; expected the same", "resourceType")
    base = services.settings.base_url + "/"
    if type_name in DECIDING and base.encode() in dump(resource):
        _localise(resource, base)
    try:
        return services.validator.check(resource)
    except Fault:
        mended = amend(resource, asked.subject.tolerates)
        if not mended:
            raise
        return mended + services.validator.check(resource)


def _may_name(services: Services, tx: Tx, asked: Asked, name: str) -> bool:
    """Whether the writer may know of what is there: a withheld study is named as little as one that never was."""
    type_name, _, id = name.partition("/")
    if TYPES[type_name].visibility != "study":
        return True
    return (
        resources.get(tx, services.enforcement.for_naming(tx, asked.subject, type_name, id), type_name, id) is not None
    )


def _localise(resource: dict[str, Any], base: str) -> None:
    """Write a reference to this server as one without its address: a choice must not miss its patient for that."""
    for reference in referring(resource):
        reference["reference"] = reference["reference"].removeprefix(base)


def names(resource: dict[str, Any]) -> frozenset[str]:
    """What of the types held here a resource refers to, each as "Type/id"."""
    return frozenset(name for text in mentioned(resource) if (name := _name(text)))


def _name(text: str) -> str | None:
    parts = text.split("/", 2)
    return f"{parts[0]}/{parts[1]}" if len(parts) >= 2 and parts[0] in TYPES else None


def check_references(
    services: Services,
    tx: Tx,
    asked: Asked,
    resource: dict[str, Any],
    here: Container[str],
    found: frozenset[str] | None = None,
) -> None:
    """Raises Fault unprocessable for references to what is neither in store nor `here`, or not the writer's to know.
    `found`: what `names` finds, where that is known."""
    named = {name for name in (names(resource) if found is None else found) if name not in here}
    held = {name for name in named if TYPES[name.split("/")[0]].visibility != "conformance"}
    missing = resources.unresolved(tx, held) if held else set()
    missing |= {name for name in held - missing if not _may_name(services, tx, asked, name)}
    if not missing:
        return
    places: dict[str, list[str]] = {}
    for place, reference in references(resource):
        places.setdefault(_name(reference["reference"]) or "", []).append(place)
    issues = tuple(
        Issue(
            "not-found",
            f"the reference names a {name.split('/')[0]} that is not in store; expected one that is, or one in the Bundle",
            place,
        )
        for name in sorted(missing)
        for place in places[name]
    )
    raise Fault("unprocessable", issues[0].text, issues[0].expression, issues=issues)


def found_by(
    services: Services, tx: Tx, asked: Asked, type_name: str, criteria: str, interaction: str
) -> Stored | None:
    """The one resource that the criteria of a conditional write match. Raises Fault multiple-matches for several."""
    query = criteria_of(services, tx, type_name, criteria)
    if interaction != "read":
        resources.lock_match_keys(tx, resources.match_keys(query))
    grant = services.enforcement.permit(tx, asked.subject, interaction, type_name, query=query)
    entries = search.run(tx, grant, query).entries
    if len(entries) > 1:
        raise Fault("multiple-matches", "the criteria match several resources; expected one at most")
    return entries[0] if entries else None


def criteria_of(services: Services, tx: Tx, type_name: str, criteria: str) -> Query:
    """The criteria of a conditional write as a search for two at most. Raises Fault "invalid".

    If-None-Exist holds a query; HAPI's client puts the type's address before it.
    """
    address, mark, after = criteria.partition("?")
    if mark and address in ("", type_name, f"{services.settings.base_url}/{type_name}"):
        criteria = after
    pairs = parse_qsl(criteria, keep_blank_values=True)
    if not pairs or any(name.partition(":")[0] in SHAPING for name, _ in pairs):
        raise Fault(
            "invalid", "the criteria of a conditional write are empty or shape the result; expected search parameters"
        )
    query = parse(
        type_name,
        [*pairs, ("_count", "2")],
        base_url=services.settings.base_url,
        zone=tx.zone,
        at=tx.at,
        valuesets=services.value_sets,
    )
    if not query.where:
        raise Fault("invalid", "the criteria of a conditional write are empty; expected search parameters")
    return query


def current(services: Services, tx: Tx, asked: Asked, type_name: str, id: str, interaction: str) -> Stored | None:
    """The version that a write by id acts on, deleted or not, as far as the writer may know of it."""
    grant = services.enforcement.permit(tx, asked.subject, interaction, type_name, id=id)
    return resources.get(tx, grant, type_name, id)


def resolve_conditional(services: Services, tx: Tx, asked: Asked, resource: dict[str, Any]) -> dict[str, str]:
    """What each reference of the form `Type?criteria` stands for. Raises Fault where one is not exactly one."""
    found: dict[str, str] = {}
    for place, reference in references(resource):
        text = reference["reference"]
        conditional = conditional_reference(text)
        if conditional is None or text in found:
            continue
        type_name, criteria = conditional
        if type_name not in TYPES:
            raise Fault("unprocessable", "the reference searches a type that is not held here", place)
        one = found_by(services, tx, asked, type_name, criteria, "read")
        if one is None:
            raise Fault("unprocessable", "the conditional reference matches nothing; expected exactly one", place)
        found[text] = one.ref
    return found


def written(
    services: Services,
    tx: Tx,
    asked: Asked,
    interaction: str,
    grant: Grant,
    stored: Stored,
    status: int,
    warnings: list[Issue],
) -> Answer:
    """Record a write and answer as `Prefer: return` asks."""
    audit.record(
        tx,
        asked.subject,
        grant,
        interaction,
        stored.type,
        status=status,
        disclosed=[stored],
        request_id=asked.request_id,
    )
    headers = {}
    if stored.type == "Subscription":
        subscribing.register(tx, asked, stored)
        headers["X-Registry-Signing-Key"] = subscribing.signing_key(services, stored.ref).hex()
    body: bytes | None = stored.content
    if asked.prefer.returns == "minimal":
        body = None
    elif asked.prefer.returns == "OperationOutcome":
        said = warnings or [Issue("informational", "the resource was stored", severity="information")]
        body = dump(operation_outcome(said))
    answer = versioned(services, status, body, stored, location=status == 201)
    if status == 200:  # clients learn the new version's address from it, as from Location
        headers = {"Content-Location": address(services, stored), **headers}
    return replace(answer, headers={**answer.headers, **headers})


def check_version(asked: Asked, stored: Stored | None) -> None:
    """If-Match against what is there. Raises Fault version-conflict."""
    there = stored.version if stored is not None and not stored.deleted else None
    negotiation.check_if_match(asked.if_match, there)
