"""Many resources at once, as an import or a region's first load needs it: each is checked, permitted, stored, indexed,
told of and recorded as if it had come alone, a thousand in one transaction.

A resource that has an id keeps it, as an update by id does; one that is there already gets a new version if it differs.
Strict references are to be in store or in the same batch, in any order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from app.access import audit
from app.fhir.negotiation import etag
from app.fhir.outcome import Fault, Issue
from app.fhir.registry import TYPES
from app.fhir.resource import parse
from app.interactions import Asked, Services, create, endpoint_hosts, update
from app.interactions.writing import allowed, check_references, names, sound
from app.policy.grant import Grant
from app.storage import bulk, resources
from app.storage.engine import Tx
from app.storage.resources import Stored

BATCH = 1000

# Within a batch, what others refer to goes first.
ORDER = (
    "Organization",
    "Location",
    "Practitioner",
    "PractitionerRole",
    "Endpoint",
    "Patient",
    "CareTeam",
    "EpisodeOfCare",
)
RANK = {name: rank for rank, name in enumerate(ORDER)}


@dataclass
class Report:
    """How far it has come. `refused`: the number of the resource, from 0 as they were given, and all that was wrong."""

    done: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[tuple[int, tuple[Issue, ...]]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class _One:
    number: int
    type: str
    id: str | None
    resource: dict[str, Any]
    named: frozenset[str]

    @property
    def ref(self) -> str:
        return f"{self.type}/{self.id}"


def load(
    services: Services,
    asked: Asked,
    given: Iterable[dict[str, Any] | bytes],
    *,
    batch: int = BATCH,
    told: Callable[[Report], None] = lambda _report: None,
) -> Report:
    """Store everything that can be stored; `told` hears after each commit. What is wrong with one stops no other."""
    report, began = Report(), time.monotonic()
    numbered = enumerate(given)
    while some := list(islice(numbered, batch)):
        refused: list[tuple[int, tuple[Issue, ...]]] = []
        ready = list(_ready(services, asked, some, refused))

        def work(tx: Tx, ready: list[_One] = ready) -> _Batch:
            return _Batch(services, tx, asked, ready).run()

        done = services.store.retry(work)
        report.created += done.created
        report.updated += done.updated
        report.unchanged += done.unchanged
        report.refused += sorted([*refused, *done.refused], key=lambda one: one[0])
        report.done += len(some)
        report.seconds = time.monotonic() - began
        told(report)
    return report


def _ready(
    services: Services,
    asked: Asked,
    given: Iterable[tuple[int, dict[str, Any] | bytes]],
    refused: list[tuple[int, tuple[Issue, ...]]],
) -> Iterator[_One]:
    writes: set[tuple[str, str]] = set()
    for number, one in given:
        try:
            resource = parse(one) if isinstance(one, bytes) else one
            type_name = str(resource.get("resourceType"))
            if type_name not in TYPES:
                raise Fault(
                    "invalid", "a type that is not held here; see /fhir/metadata for those that are", "resourceType"
                )
            interaction = "update" if "id" in resource else "create"
            if (interaction, type_name) not in writes:
                allowed(type_name, "create")
                services.enforcement.check_writer(asked.subject, interaction, type_name)
                writes.add((interaction, type_name))
            sound(services, asked, resource, type_name)
            yield _One(number, type_name, resource.get("id"), resource, names(resource))
        except Fault as fault:
            refused.append((number, fault.issues))


class _Batch:
    """One transaction."""

    def __init__(self, services: Services, tx: Tx, asked: Asked, given: list[_One]) -> None:
        self.services, self.tx, self.asked = services, tx, asked
        self.given = sorted(given, key=lambda one: RANK.get(one.type, len(RANK)))
        self.created = self.updated = self.unchanged = 0
        self.refused: list[tuple[int, tuple[Issue, ...]]] = []

    def run(self) -> _Batch:
        """Store what is new and stands alone in bulk, anything else one by one: what others rest on before it, the
        rest after it."""
        here = {one.ref for one in self.given if one.id is not None}
        first = [one for one in self.given if one.type in bulk.LOOKED_AFTER]
        rest = [one for one in self.given if one.type not in bulk.LOOKED_AFTER]
        self._all_singly(first, here, bulk.begin(self.tx, {one.ref for one in first}))
        versions = bulk.begin(self.tx, here.union(*(one.named for one in rest)))
        awaited = bulk.awaited(self.tx, [one.id for one in rest if one.type == "Patient" and one.id])
        later: list[_One] = []
        made: dict[str, list[Stored]] = {}
        grants: dict[str, Grant] = {}
        for one in rest:
            if one.ref in versions or not bulk.alone(one.resource, awaited):
                later.append(one)
                continue
            try:
                grants[one.type], stored = self._stored(one, here)
            except Fault as fault:
                self._refuse(one, fault, here)
                continue
            made.setdefault(one.type, []).append(stored)
            if one.id is not None:
                versions[one.ref] = 1  # a second of the same id is its next version
        self._record(made, grants)
        self._all_singly(later, here, versions)
        return self

    def _record(self, made: dict[str, list[Stored]], grants: dict[str, Grant]) -> None:
        subject, request_id = self.asked.subject, self.asked.request_id
        for name, stored in made.items():
            self.created += len(stored)
            grant = grants[name]
            audit.record(self.tx, subject, grant, "create", name, status=201, disclosed=stored, request_id=request_id)

    def _stored(self, one: _One, here: set[str]) -> tuple[Grant, Stored]:
        services, tx, subject = self.services, self.tx, self.asked.subject
        if services.settings.references == "strict" and not one.named <= here:
            check_references(services, tx, self.asked, one.resource, here, one.named)
        endpoint_hosts.check(services, tx, one.resource)
        if one.id is not None and not services.enforcement.may_choose_ids(subject, one.type):
            raise Fault("forbidden", f"this client may not choose the id of {one.type}; expected one without an id")
        interaction, method = ("create", "POST") if one.id is None else ("update", "PUT")
        grant = services.enforcement.permit_write(tx, subject, interaction, one.resource)
        return grant, resources.create(tx, grant, one.resource, one.id, method, alone=True)

    def _all_singly(self, given: list[_One], here: set[str], versions: dict[str, int]) -> None:
        services, tx, asked = self.services, self.tx, self.asked
        for one in given:
            try:
                if one.id is None:
                    answer = create.apply(services, tx, asked, one.type, one.resource, here)
                else:
                    answer = update.apply(services, tx, asked, one.type, one.id, one.resource, here)
            except Fault as fault:
                self._refuse(one, fault, here)
                continue
            same = answer.headers["ETag"] == etag(versions.get(one.ref, 0))
            self.created += answer.status == 201
            self.unchanged += answer.status == 200 and same
            self.updated += answer.status == 200 and not same

    def _refuse(self, one: _One, fault: Fault, here: set[str]) -> None:
        self.refused.append((one.number, fault.issues))
        here.discard(one.ref)
