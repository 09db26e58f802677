"""batch and transaction: https://hl7.org/fhir/R4/http.html#transaction.

A transaction is one database transaction: all of it or nothing. A batch is one for each entry.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import orjson

from app.fhir import bundle, negotiation
from app.fhir.outcome import Fault
from app.fhir.resource import dump, rewrite
from app.fhir.transaction import Entry, check_identities, invalid, parse, rewriter
from app.interactions import (
    Answer,
    Asked,
    Services,
    create,
    delete,
    history,
    idempotency,
    joining,
    patch,
    read,
    search,
    update,
    vread,
)
from app.interactions.carrying import carry, record_refusal, refused
from app.interactions.writing import allowed, criteria_of, found_by, resolve_conditional
from app.storage import resources
from app.storage.engine import Tx
from app.storage.keys import new_id

INTERACTIONS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def process(services: Services, asked: Asked, resource: dict[str, Any]) -> Answer:
    """Carry out a batch or transaction Bundle and answer entry by entry, in the order given."""
    settings = services.settings
    asked_for = parse(
        resource,
        base_url=settings.base_url,
        max_entries=settings.max_entries,
        validate=services.validator.validate,
    )
    request = idempotency.fingerprint(asked, asked_for.kind, resource) if asked.idempotency_key is not None else b""
    carried = _transaction if asked_for.kind == "transaction" else _batch
    answers = carried(services, asked, asked_for.entries, request)
    shown = [_response(services, answers[index]) for index in sorted(answers)]
    return Answer(200, bundle.responses(asked_for.kind, shown))


def _transaction(services: Services, asked: Asked, entries: tuple[Entry, ...], request: bytes) -> dict[int, Answer]:
    def work(tx: Tx) -> dict[int, Answer]:
        before = idempotency.first(tx, asked, request)
        if before is not None:
            return _again(services, tx, asked, entries, before)
        answers = _whole(services, tx, asked, entries)
        if asked.idempotency_key is not None:
            idempotency.keep(tx, asked, _writes(entries, answers))
        return answers

    return carry(services, asked, "transaction", "Bundle", work)


def _batch(services: Services, asked: Asked, entries: tuple[Entry, ...], request: bytes) -> dict[int, Answer]:
    """Each entry on its own. With a key each change keeps its own answer, and the whole is kept at the end: so neither
    a batch that broke off nor one that is sent twice at once makes a change again."""
    if asked.idempotency_key is None:
        return {entry.index: _alone(services, asked, entry, request) for entry in entries}

    def before(tx: Tx) -> dict[int, Answer] | None:
        kept = idempotency.first(tx, asked, request)
        if kept is None:
            return None
        return {entry.index: _kept(services, tx, asked, entry, kept) for entry in entries if entry.index in kept}

    answers = carry(services, asked, "batch", "Bundle", before) or {}
    kept_before = bool(answers)
    for entry in entries:
        if entry.index not in answers:
            answers[entry.index] = _alone(services, asked, entry, request)
    if not kept_before:
        mine = _writes(entries, answers)
        kept = services.store.retry(lambda tx: idempotency.keep(tx, asked, mine))
        answers |= {index: one.answer for index, one in kept.items()}
    return answers


def _writes(entries: tuple[Entry, ...], answers: Mapping[int, Answer]) -> dict[int, Answer]:
    return {entry.index: answers[entry.index] for entry in entries if entry.method != "GET"}


def _kept(
    services: Services,
    tx: Tx,
    asked: Asked,
    entry: Entry,
    kept: Mapping[int, idempotency.Kept],
    place: int | None = None,
) -> Answer:
    interaction = INTERACTIONS.get(entry.method, "create")
    one = kept[entry.index if place is None else place]
    return idempotency.again(services, tx, asked, interaction, entry.type or "", one)


def _again(
    services: Services, tx: Tx, asked: Asked, entries: tuple[Entry, ...], kept: Mapping[int, idempotency.Kept]
) -> dict[int, Answer]:
    """The first answers to what changed something; what only reads is asked again, and may now be refused."""
    answers: dict[int, Answer] = {}
    for entry in entries:
        if entry.index in kept:
            answers[entry.index] = _kept(services, tx, asked, entry, kept)
            continue
        try:
            with _at(entry):
                answers[entry.index] = _one(services, tx, asked, entry, frozenset(), None)
        except Fault as fault:
            answers[entry.index] = Answer(fault.status, dump(fault.outcome))
            refused(tx, asked, "read", entry.type or "", fault)
    return answers


def _whole(services: Services, tx: Tx, asked: Asked, entries: tuple[Entry, ...]) -> dict[int, Answer]:
    entries = tuple(replace(entry, resource=deepcopy(entry.resource)) for entry in entries)
    ids, assigned = _assign(services, tx, asked, entries)
    check_identities([(entry, ids[entry.index]) for entry in entries if entry.index in ids])
    for entry in entries:
        if entry.resource is not None:
            with _at(entry):
                conditional = resolve_conditional(services, tx, asked, entry.resource)
            rewrite(entry.resource, rewriter(entry, {**assigned, **conditional}))
    here = frozenset(ids.values())
    answers: dict[int, Answer] = {}
    for done, entry in enumerate(entries):
        new = ids.get(entry.index, "/").split("/")[1] or None
        try:
            with _at(entry):
                answers[entry.index] = _one(services, tx, asked, entry, here, new)
        except Fault as fault:
            if fault.status != 422:  # whoever may not write is told nothing of what is wrong
                raise
            more = (*fault.issues, *invalid(entries[done + 1 :], services.validator.validate))
            raise replace(fault, issues=more) from fault
    return answers


class _at:
    """A fault inside an entry says which."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Fault):
            raise error.at(self.entry.expression) from error


def _assign(
    services: Services, tx: Tx, asked: Asked, entries: tuple[Entry, ...]
) -> tuple[dict[int, str], Mapping[str, str]]:
    """The identity ("Type/id") that each written entry has or will have, and what each fullUrl stands for."""
    ids: dict[int, str] = {}
    wanted: dict[str, str] = {}  # what the criteria of an earlier entry lead to
    _hold(services, tx, entries)
    for entry in entries:
        if entry.method not in ("POST", "PUT") or entry.type is None or entry.operation is not None:
            continue
        if entry.method == "PUT" and entry.id is not None:
            ids[entry.index] = f"{entry.type}/{entry.id}"
            continue
        found = None
        if entry.criteria is not None:
            with _at(entry):
                interaction = "create" if entry.method == "POST" else "update"
                found = found_by(services, tx, asked, entry.type, entry.criteria, interaction)
        named = (entry.resource or {}).get("id") if entry.method == "PUT" else None
        if found is None and named is None and entry.type == "ImagingStudy":
            with _at(entry):
                found = joining.known(services, tx, asked, entry.resource or {})
        fresh = f"{entry.type}/{named or new_id()}"
        if entry.criteria is not None and entry.method == "POST":
            fresh = wanted.setdefault(f"{entry.type}?{entry.criteria}", fresh)
        ids[entry.index] = found.ref if found else fresh
    assigned = {entry.full_url: ids[entry.index] for entry in entries if entry.full_url and entry.index in ids}
    return ids, assigned


def _hold(services: Services, tx: Tx, entries: tuple[Entry, ...]) -> None:
    """Hold at once all that the entries' conditions are exact by: one after the other, two transactions with the same
    entries in another order would wait for each other."""
    keys: set[bytes] = set()
    for entry in entries:
        if entry.type is None or entry.method == "GET" or entry.operation is not None:
            continue
        if entry.criteria is not None:
            with _at(entry):
                keys |= resources.match_keys(criteria_of(services, tx, entry.type, entry.criteria))
        if entry.type == "ImagingStudy" and entry.method in ("POST", "PUT"):
            keys |= joining.keys(tx, entry.resource or {})
    resources.lock_match_keys(tx, keys)


def _alone(services: Services, asked: Asked, entry: Entry, request: bytes) -> Answer:
    """One entry of a batch, in a transaction of its own."""
    part = entry.index + 1

    def work(tx: Tx) -> Answer:
        keeps = asked.idempotency_key is not None and entry.method != "GET"
        before = idempotency.first(tx, asked, request, part) if keeps else None
        if before is not None:
            return _kept(services, tx, asked, entry, before, part)
        own = replace(entry, resource=deepcopy(entry.resource))
        answer = _one(services, tx, asked, own, frozenset(), None, batch=True)
        if keeps:
            idempotency.keep(tx, asked, {part: answer}, part)
        return answer

    try:
        if entry.fault is not None:
            raise entry.fault
        with _at(entry):
            return carry(services, asked, "batch", entry.type or "", work)
    except Fault as fault:
        if entry.fault is not None:
            record_refusal(services, asked, "batch", entry.type or "", fault)
        return Answer(fault.status, dump(fault.outcome))


def _one(
    services: Services,
    tx: Tx,
    asked: Asked,
    entry: Entry,
    here: Container[str],
    new: str | None,
    *,
    batch: bool = False,
) -> Answer:
    asked = replace(
        asked,
        if_match=entry.if_match,
        if_none_match=entry.if_none_match,
        if_modified_since=entry.if_modified_since,
        if_none_exist=entry.criteria if entry.method == "POST" else None,
        idempotency_key=None,
    )
    type_name, resource = entry.type, entry.resource
    if type_name is None or entry.operation is not None:
        raise Fault("not-supported", "this request is not supported inside a Bundle; expected one on a resource type")
    if batch and resource is not None and entry.method in ("POST", "PUT"):
        conditional = resolve_conditional(services, tx, asked, resource)
        rewrite(resource, conditional.get)
    match entry.method:
        case "GET":
            return _get(services, tx, asked, entry)
        case "DELETE":
            allowed(type_name, "delete")
            if entry.id is not None:
                return delete.apply(services, tx, asked, type_name, entry.id)
            return delete.apply_conditional(services, tx, asked, type_name, entry.criteria or "")
        case "POST":
            allowed(type_name, "create")
            return create.apply(services, tx, asked, type_name, resource or {}, here, new)
        case "PUT":
            allowed(type_name, "update")
            if entry.id is not None:
                return update.apply(services, tx, asked, type_name, entry.id, resource or {}, here)
            return update.apply_conditional(
                services, tx, asked, type_name, entry.criteria or "", resource or {}, here, new
            )
        case _:
            allowed(type_name, "patch")
            if entry.patch is None:
                raise Fault("invalid", "no patch in the entry; expected a Binary or Parameters")
            if entry.id is not None:
                return patch.apply(services, tx, asked, type_name, entry.id, entry.patch, here)
            return patch.apply_conditional(services, tx, asked, type_name, entry.criteria or "", entry.patch, here)


def _get(services: Services, tx: Tx, asked: Asked, entry: Entry) -> Answer:
    type_name = entry.type or ""
    pairs = parse_qsl(entry.query, keep_blank_values=True)
    match entry.path:
        case (_, id):
            return read.apply(services, tx, asked, type_name, id)
        case (_, id, "_history", version):
            return vread.apply(services, tx, asked, type_name, id, version)
        case (_, id, "_history"):
            return history.apply(services, tx, asked, pairs, type_name, id)
        case (_,):
            query = search.read_query(services, asked, type_name, pairs)
            return search.apply(services, tx, asked, query, raw=f"{type_name}?{entry.query}")
        case _:
            raise Fault("not-supported", "this address is not supported inside a Bundle; expected a read or a search")


def _response(services: Services, answer: Answer) -> bundle.Response:
    headers = answer.headers
    location = headers.get("Location")
    modified = negotiation.http_date(headers.get("Last-Modified"))
    failed = answer.status >= 400
    full_url = None
    if answer.body is not None and not failed:
        said = orjson.loads(answer.body)
        if "id" in said:
            full_url = f"{services.settings.base_url}/{said['resourceType']}/{said['id']}"
    return bundle.Response(
        status=answer.status,
        content=None if failed else answer.body,
        full_url=full_url,
        location=location,
        etag=headers.get("ETag"),
        last_modified=modified,
        outcome=answer.body if failed else None,
    )
