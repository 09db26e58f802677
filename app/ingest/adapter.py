"""The registry behind the port: each write is an ordinary interaction of the archive's client, decided and recorded.

Looking for patients and studies is done with a writer's view, which finds by exact identifier and shows nothing to
anyone. A study that another organisation registered is changed on behalf of the region, whose operator runs ingest: it
gets one more endpoint and stays the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from app.access.subject import Subject
from app.fhir import merging
from app.fhir.identifier import DICOM_UID
from app.fhir.outcome import Fault
from app.fhir.search import parse
from app.fhir.search_values import escaped
from app.ingest import identity
from app.ingest.identity import Identifier, Known, Person
from app.ingest.registry import Conflict, Held, Rejected
from app.interactions import Asked, Services, create, update
from app.interactions.carrying import carry
from app.interactions.writing import found_by
from app.pathways import identity_review
from app.storage import reviews, search, uids
from app.storage.engine import Tx
from app.storage.resources import Stored

PAGE = 500


@dataclass
class InteractionsRegistry:
    """`archive` is the client of the organisation of `endpoint` (`Endpoint/x`), `region` the steward."""

    services: Services
    endpoint: str
    archive: Subject
    region: Subject
    _found: dict[str, Stored] = field(default_factory=dict)

    def find_patients(self, identifiers: Sequence[Identifier]) -> list[Known]:
        if not identifiers:
            return []
        wanted = ",".join(f"{escaped(one.system)}|{escaped(one.value)}" for one in identifiers)
        return [identity.known(orjson.loads(one.content)) for one in self._all("Patient", [("identifier", wanted)])]

    def find_study(self, uid: str) -> tuple[dict[str, Any], int] | None:
        found = self._all("ImagingStudy", [("identifier", f"{DICOM_UID}|urn:oid:{uid}")])
        if not found:
            return None
        if len(found) > 1:
            raise Rejected("the study uid is registered more than once; one study was expected")
        (one,) = found
        self._found[uid] = one
        resource = orjson.loads(one.content)
        return resource, one.version

    def studies_of(self, endpoint: str) -> Iterable[str]:
        available = [("endpoint", endpoint), ("status", "available,registered")]
        for one in self._all("ImagingStudy", available):
            yield study_uid(orjson.loads(one.content))

    def foreign(self, study_uid: str, sop_uids: Sequence[str]) -> bool:
        if not sop_uids:
            return False
        own = self.find_study(study_uid)
        with self.services.store.begin() as tx:
            holding = uids.studies_holding(tx, sop_uids)
        return bool(holding - ({own[0]["id"]} if own else set()))

    def put_study(self, resource: dict[str, Any], version: int | None) -> None:
        if version is None:
            criteria = f"identifier={DICOM_UID}|{resource['identifier'][0]['value']}"
            self._write(self.archive, "create", lambda tx, asked: self._create(tx, asked, criteria, resource))
            return
        current = self._found[study_uid(resource)]
        # What several archives hold is put together here, so it is the region that writes it.
        shared = merging.held_by(resource) | merging.held_by(orjson.loads(current.content))
        writer = self.archive if self._is_own(current) and len(shared) < 2 else self.region
        tag = f'W/"{version}"'
        self._write(
            writer,
            "update",
            lambda tx, asked: update.apply(
                self.services, tx, replace(asked, if_match=tag), "ImagingStudy", current.id, resource
            ),
        )

    def chosen(self, person: Person) -> str | None:
        with self.services.store.begin(reads=True) as tx:
            return reviews.chosen(tx, self.endpoint, reviews.stated(_words(person)))

    def hold(self, held: Held) -> None:
        row = reviews.HeldStudy(
            held.study_uid,
            held.endpoint,
            self.archive.organisation or "",
            held.code,
            held.reason,
            _words(held.person),
            orjson.dumps(held.resource).decode(),
        )
        self.services.store.retry(lambda tx: identity_review.keep(self.services, tx, row))
        self._waiting.add(held.study_uid)

    def unknown(self, most: int) -> list[Held]:
        with self.services.store.begin(reads=True) as tx:
            rows = reviews.untried(tx, self.endpoint, identity.UNKNOWN, most)
        return [
            Held(row.study_uid, row.endpoint, row.code, row.reason, _person(row.person), orjson.loads(row.resource))
            for row in rows
        ]

    def settle(self, study_uid: str, endpoint: str) -> None:
        if study_uid in self._waiting:
            self.services.store.retry(lambda tx: identity_review.settle(self.services, tx, study_uid, endpoint))
            self._waiting.discard(study_uid)

    @cached_property
    def _waiting(self) -> set[str]:
        """The studies of this archive that are held, asked once: nobody else holds any."""
        with self.services.store.begin(reads=True) as tx:
            return reviews.of_endpoint(tx, self.endpoint)

    def _create(self, tx: Tx, asked: Asked, criteria: str, resource: dict[str, Any]) -> None:
        # The region's view, so that two archives with one study never make it twice.
        region = Asked(self.region)
        if found_by(self.services, tx, region, "ImagingStudy", criteria, "create") is not None:
            raise Conflict
        try:
            create.apply(self.services, tx, asked, "ImagingStudy", resource)
        except Fault as fault:
            # The region has configured that this archive's accession numbers may be another organisation's.
            if fault.kind != "forbidden":
                raise
            create.apply(self.services, tx, region, "ImagingStudy", resource)

    def _write(self, subject: Subject, interaction: str, work: Callable[[Tx, Asked], Any]) -> None:
        asked = Asked(subject)
        try:
            carry(self.services, asked, interaction, "ImagingStudy", lambda tx: work(tx, asked))
        except Fault as fault:
            if fault.kind in ("version-conflict", "transient"):
                raise Conflict from None
            said = "; ".join(
                f"{issue.expression}: {issue.text}" if issue.expression else issue.text for issue in fault.issues
            )
            raise Rejected(said) from None

    def _is_own(self, current: Stored) -> bool:
        with self.services.store.begin() as tx:
            return current.owner in self.services.enforcement.requester(tx, self.archive).tree

    def _all(self, type_name: str, pairs: list[tuple[str, str]]) -> list[Stored]:
        """Everything that matches, in the view of a writer for the region."""
        found: list[Stored] = []
        with self.services.store.begin() as tx:
            query = parse(type_name, [*pairs, ("_count", str(PAGE))], zone=tx.zone, at=tx.at)
            while True:
                grant = self.services.enforcement.permit(tx, self.region, "update", type_name, query=query)
                page = search.run(tx, grant, query)
                found += page.entries
                if page.next is None:
                    return found
                query = replace(query, cursor=page.next)


def study_uid(resource: dict[str, Any]) -> str:
    """The UID of an ImagingStudy."""
    named = (str(one["value"]) for one in resource["identifier"] if one.get("system") == DICOM_UID)
    return next(named).removeprefix("urn:oid:")


def _words(person: Person) -> str:
    return orjson.dumps(asdict(person)).decode()


def _person(words: str) -> Person:
    said = orjson.loads(words)
    identifiers = tuple(Identifier(**one) for one in said["identifiers"])
    key = (said["key"][0], said["key"][1])
    return Person(key, identifiers, said["born"], said["sex"], tuple(said["name"]), said["disputed"])
