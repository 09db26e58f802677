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
from app.fhir.transaction import Entry, check_identities, parse, rewriter
from app.interactions import Answer, Asked, Services, create, delete, history, patch, read, search, update, vread
from app.interactions.carrying import carry, record_refusal
from app.interactions.writing import allowed, found_by, resolve_conditional
from app.storage.engine import Tx
from app.storage.keys import new_id


def process(services: Services, asked: Asked, resource: dict[str, Any]) -> Answer:
    """Carry out a batch or transaction Bundle and answer entry by entry, in the order given."""
    asked_for = parse(resource, base_url=services.settings.base_url, max_entries=services.settings.max_entries)
    if asked_for.kind == "transaction":
        answers = carry(
            services, asked, "transaction", "Bundle", lambda tx: _whole(services, tx, asked, asked_for.entries)
        )
    else:
        answers = {entry.index: _alone(services, asked, entry) for entry in asked_for.entries}
    shown = [_response(services, answers[index]) for index in sorted(answers)]
    return Answer(200, bundle.responses(asked_for.kind, shown))


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
    for entry in entries:
        with _at(entry):
            answers[entry.index] = _one(
                services, tx, asked, entry, here, ids.get(entry.index, "/").split("/")[1] or None
            )
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
        ids[entry.index] = found.ref if found else f"{entry.type}/{named or new_id()}"
    assigned = {entry.full_url: ids[entry.index] for entry in entries if entry.full_url and entry.index in ids}
    return ids, assigned


def _alone(services: Services, asked: Asked, entry: Entry) -> Answer:
    """One entry of a batch, in a transaction of its own."""
    try:
        if entry.fault is not None:
            raise entry.fault
        with _at(entry):
            return carry(
                services,
                asked,
                "batch",
                entry.type or "",
                lambda tx: _one(
                    services,
                    tx,
                    asked,
                    replace(entry, resource=deepcopy(entry.resource)),
                    frozenset(),
                    None,
                    batch=True,
                ),
            )
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
