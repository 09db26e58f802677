"""From what has changed to who is to be told: outbox rows become notifications, in one transaction.

Of studies and reports a client is told by difference: what it can see of a patient now, by the enforcement point, against
what it could see when that was last looked at. So a new study, a cancelled or deleted one, an opt-out, an end of care and
a merge are all the same to this, and repeating it says nothing twice. Of other types an event is a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.fhir.topics import BY_NAME
from app.interactions import Services
from app.interactions.presenting import content
from app.interactions.subscribing import Subscriber
from app.notifications.watches import Watches
from app.policy.grant import Grant
from app.storage import search, subscriptions, telling
from app.storage.engine import Tx
from app.storage.resources import OP_CODES, Stored
from app.storage.telling import Change, Known

AVAILABLE, WITHDRAWN = BY_NAME["imaging-study-available"].url, BY_NAME["imaging-study-withdrawn"].url
REPORT = BY_NAME["report-available"].url
BY_VERSION = {BY_NAME[name].resource: BY_NAME[name].url for name in ("consent-changed", "episode-changed")}
REFERRAL = BY_NAME["emergency-referral"].url
URGENT = ("urgent", "asap", "stat")
SEEN = {"ImagingStudy": (AVAILABLE, WITHDRAWN), "DiagnosticReport": (REPORT,)}
# A study in any other state is not there to be fetched.
THERE = frozenset(
    ["registered", "available", "unknown", "partial", "preliminary", "final", "amended", "corrected", "appended"]
)
DELETE, PUT = OP_CODES["DELETE"], OP_CODES["PUT"]
BATCH = 200
PAGE = "500"

Notice = tuple[int, str, int, str, int, int, int, int]


@dataclass(frozen=True)
class Happened:
    """One version: what it is now, or what was deleted."""

    change: Change
    type: str
    id: str
    op: int
    resource: dict[str, Any]
    before: dict[str, Any]
    owner: str | None


@dataclass
class Matcher:
    """Turns the outbox into notifications; keeps the subscriptions in mind between its turns."""

    services: Services
    watches: Watches = field(default_factory=Watches)
    trees: dict[str, frozenset[str]] = field(default_factory=dict)

    def turn(self) -> int:
        """Match what has committed; how many changes that were. 0 when there is nothing, or another is at it."""
        return self.services.store.retry(self._turn)

    def _turn(self, tx: Tx) -> int:
        changes = telling.take_changes(tx, BATCH)
        if changes:
            self.match(tx, changes)
        return len(changes)

    def recheck(self) -> int:
        """Look again at what clients can see where time alone may have changed it; how many patients that were."""
        return self.services.store.retry(self._recheck)

    def _recheck(self, tx: Tx) -> int:
        tx.begin()
        patients = telling.to_recheck(tx, BATCH)
        if patients:
            self._prepare(tx)
            notices: list[Notice] = []
            for patient in patients:
                notices += self._by_difference(tx, {patient}, set())
            subscriptions.add(tx, notices, tx.at)
        return len(patients)

    def match(self, tx: Tx, changes: list[Change]) -> None:
        """Queue the notifications of `changes`, in their order; those by difference come after, once a patient."""
        self._prepare(tx)
        if not self.watches.every:
            return
        notices: list[Notice] = []
        again: dict[int, set[int]] = {}  # patient → studies and reports that changed
        for change in changes:
            happened = self._happened(tx, change)
            if happened is None:
                continue
            notices += self._by_version(tx, happened)
            for patient in self._patients(tx, happened):
                rids = again.setdefault(patient, set())
                if happened.type in SEEN:
                    rids.add(change.rid)
        done: set[int] = set()
        for patient, rids in again.items():
            group = set(telling.group_of(tx, patient))
            if not (group <= done and not rids):
                notices += self._by_difference(tx, group, rids)
                done |= group
        subscriptions.add(tx, notices, tx.at)

    def _prepare(self, tx: Tx) -> None:
        self.watches = self.watches.current(self.services, tx)
        known = self.services.enforcement.organisations.current(tx)
        self.trees = {key: known.tree(key) | {key} for key in self.watches.organisations}

    # Versions ----------------------------------------------------------------------------------------------------

    def _happened(self, tx: Tx, change: Change) -> Happened | None:
        now = telling.version(tx, self._grant(tx), change.rid, change.version)
        if now is None:
            return None
        former = telling.version(tx, self._grant(tx), change.rid, change.version - 1) if change.version > 1 else None
        before = orjson.loads(former.content) if former is not None and former.content else {}
        resource = before if now.deleted else orjson.loads(now.content)
        op = DELETE if now.deleted else (OP_CODES["POST"] if change.version == 1 else PUT)
        return Happened(change, now.type, now.id, op, resource, before, now.owner)

    def _grant(self, tx: Tx) -> Grant:
        return self.services.enforcement.for_matching(tx)

    def _by_version(self, tx: Tx, one: Happened) -> Iterator[Notice]:
        topics = set(self._topics(one))
        for subscriber in self._concerned(tx, one):
            watch = subscriber.watch
            if watch.topic is not None:
                wanted = watch.topic.url in topics
            else:  # criteria know of no deletions, and of nothing that time brings
                wanted = watch.type == one.type and one.op != DELETE and one.change.topic not in BY_NAME
            if wanted and watch.covers(one.resource, self.services.settings.base_url, tx.zone):
                topic = watch.topic.url if watch.topic else ""
                yield self._notice(subscriber, topic, one.type, one.id, one.change, one.op)

    @staticmethod
    def _topics(one: Happened) -> Iterator[str]:
        if one.change.topic in BY_NAME:
            yield BY_NAME[one.change.topic].url
        elif one.type in BY_VERSION:
            yield BY_VERSION[one.type]
        elif one.type == "ServiceRequest" and one.resource.get("priority") in URGENT:
            yield REFERRAL

    def _concerned(self, tx: Tx, one: Happened) -> Iterable[Subscriber]:
        """Whom the event can concern at all; what each may know is decided when it is sent."""
        if TYPES[one.type].visibility in ("directory", "endpoint"):
            return self.watches.every.values()
        patients = telling.group_of(tx, one.change.patient) if one.change.patient else []
        involved = telling.involved(tx, patients) | ({one.owner} if one.owner else set())
        return self.watches.of(self._acting_for(involved), telling.ids_of(tx, patients))

    def _acting_for(self, involved: set[str]) -> list[str]:
        """The subscribers' organisations that count as one of `involved`."""
        return [key for key, tree in self.trees.items() if not involved.isdisjoint(tree)]

    @staticmethod
    def _notice(subscriber: Subscriber, topic: str, type_name: str, id: str, change: Change, op: int) -> Notice:
        code = TYPES[type_name].code
        return (subscriber.standing.rid, topic, code, id, change.rid, change.patient, change.version, op)

    # Beginning ---------------------------------------------------------------------------------------------------

    def begin(self, tx: Tx, subscriber: Subscriber) -> None:
        """A subscription begins: what has committed is no news to it, and neither is what its client can see of studies
        and reports; but it is to learn when that is withdrawn. No change is matched meanwhile, so that each is either a
        part of this or told."""
        telling.hold(tx, wait=True)
        while changes := telling.take_changes(tx, BATCH):
            self.match(tx, changes)
        types = {kind for kind, urls in SEEN.items() if _topic(subscriber) in urls}
        if not types:
            return
        client = subscriber.subject.client_id
        visible, until = self._visible(tx, subscriber.subject, types, None)
        rows = [Known(one.patient, one.rid, client, one.version, True) for one in visible.values()]
        telling.learn(tx, rows, until)

    # Differences -------------------------------------------------------------------------------------------------

    def _patients(self, tx: Tx, one: Happened) -> Iterator[int]:
        """Those of whom somebody may see something else now: of a moved or merged record also the former."""
        if one.type not in DECIDING:
            return
        if one.change.patient:
            yield one.change.patient
        if one.type in SEEN:
            yield from {known.patient for known in telling.known(tx, [], [one.change.rid])}
        if named := set(_references(one.type, one.before)):
            yield from telling.patients_named(tx, named)

    def _by_difference(self, tx: Tx, patients: set[int], changed: set[int]) -> list[Notice]:
        group = sorted(patients)
        before: dict[str, dict[int, Known]] = {}
        for known in telling.known(tx, group, sorted(changed)):
            before.setdefault(known.client, {})[known.rid] = known
        ids = telling.ids_of(tx, group)
        concerned: dict[str, list[Subscriber]] = {}
        for subscriber in self.watches.of(self._acting_for(telling.involved(tx, group)), ids):
            concerned.setdefault(subscriber.subject.client_id, []).append(subscriber)
        for client in before.keys() - concerned.keys():  # who has nothing to do with the patient any more
            if of_client := self.watches.by_client.get(client):
                concerned[client] = of_client
        notices: list[Notice] = []
        for client, subscribers in concerned.items():
            types = {kind for kind, urls in SEEN.items() if any(_topic(one) in urls for one in subscribers)}
            if types:
                notices += self._told(tx, client, subscribers, types, ids, before.get(client, {}), group)
        return notices

    def _told(
        self,
        tx: Tx,
        client: str,
        subscribers: list[Subscriber],
        types: set[str],
        ids: list[str],
        before: dict[int, Known],
        group: list[int],
    ) -> Iterator[Notice]:
        """What one client learns: of what it can see and could not, or not in this version; of what it no longer can."""
        visible, until = self._visible(tx, subscribers[0].subject, types, ids)
        appeared = [one for one in visible.values() if before.get(one.rid, NEVER).version != one.version]
        appeared.sort(key=lambda one: (one.updated, one.rid))  # in the order in which they came to be as they are
        for stored in appeared:
            resource = orjson.loads(stored.content)
            topic = AVAILABLE if stored.type == "ImagingStudy" else REPORT
            change = Change(0, 0, tx.at, topic, stored.patient, stored.rid, stored.version)
            op = OP_CODES["POST"] if stored.version == 1 else PUT
            yield from self._of_topic(tx, subscribers, topic, stored.type, stored.id, resource, change, op)
        vanished = [one for rid, one in before.items() if rid not in visible and one.version]
        for known in vanished:
            last = telling.version(tx, self._grant(tx), known.rid, None)
            if last is None or last.type != "ImagingStudy":
                continue
            change = Change(0, 0, tx.at, WITHDRAWN, known.patient, known.rid, known.version)
            resource = orjson.loads(last.content)
            yield from self._of_topic(tx, subscribers, WITHDRAWN, last.type, last.id, resource, change, DELETE)
        telling.learn(tx, [Known(one.patient, one.rid, client, one.version, False) for one in visible.values()], until)
        telling.lose(tx, vanished)

    def _of_topic(
        self,
        tx: Tx,
        subscribers: list[Subscriber],
        topic: str,
        type_name: str,
        id: str,
        resource: dict[str, Any],
        change: Change,
        op: int,
    ) -> Iterator[Notice]:
        base = self.services.settings.base_url
        for one in subscribers:
            if _topic(one) == topic and one.watch.covers(resource, base, tx.zone):
                yield self._notice(one, topic, type_name, id, change, op)

    def _visible(
        self, tx: Tx, subject: Subject, types: set[str], ids: list[str] | None
    ) -> tuple[dict[int, Stored], int | None]:
        """What the client can see now, of the person of `ids` or of everyone, that is there to be used; and how long that
        is sure."""
        found: dict[int, Stored] = {}
        until: int | None = None
        for type_name in sorted(types):
            pairs = [("_count", PAGE), *([("patient", ",".join(ids))] if ids is not None else [])]
            query = parse(type_name, pairs, base_url=self.services.settings.base_url, zone=tx.zone, at=tx.at)
            try:
                grant = self.services.enforcement.permit(tx, subject, "search-type", type_name, query=query)
            except Fault:
                continue
            until = min((moment for moment in (until, grant.until) if moment is not None), default=None)
            for one in search.every(tx, grant, query).entries:
                shown = orjson.loads(content(grant, one))
                if shown.get("status") in THERE:
                    found[one.rid] = one
        return found, until


DECIDING = frozenset(
    [
        "ImagingStudy",
        "DiagnosticReport",
        "Consent",
        "EpisodeOfCare",
        "ServiceRequest",
        "CareTeam",
        "Appointment",
        "Patient",
    ]
)
NEVER = Known(0, 0, "", -1, False)


def _topic(one: Subscriber) -> str:
    return one.watch.topic.url if one.watch.topic else ""


def _references(type_name: str, resource: dict[str, Any]) -> Iterator[str]:
    """The ids of patients whom a former version named: by its subject, or by the links of a merge."""
    named: list[Any] = [resource.get("subject"), resource.get("patient")]
    if type_name == "Patient":
        named = [link.get("other") for link in resource.get("link") or () if isinstance(link, dict)]
    elif type_name == "Appointment":
        named = [one.get("actor") for one in resource.get("participant") or () if isinstance(one, dict)]
    for one in named:
        text = one.get("reference") if isinstance(one, dict) else None
        if isinstance(text, str) and text.startswith("Patient/"):
            yield text.split("/")[1]
