"""The subscriptions at work, read once and kept as long as their version is the one in store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.interactions import Services
from app.interactions.subscribing import Subscriber, load
from app.storage import oauth, subscriptions
from app.storage.engine import Tx


@dataclass
class Watches:
    """All subscriptions that events are matched with, found by organisation, topic or type, and patient."""

    epoch: int = -1
    every: dict[int, Subscriber] = field(default_factory=dict)
    by_organisation: dict[str, list[Subscriber]] = field(default_factory=lambda: defaultdict(list))
    by_client: dict[str, list[Subscriber]] = field(default_factory=lambda: defaultdict(list))
    by_patient: dict[tuple[str, str], list[Subscriber]] = field(default_factory=lambda: defaultdict(list))

    def current(self, services: Services, tx: Tx) -> Watches:
        """These, or those of now where they have changed."""
        epoch = subscriptions.epoch(tx)
        return self if epoch == self.epoch else Watches._loaded(services, tx, epoch)

    @classmethod
    def _loaded(cls, services: Services, tx: Tx, epoch: int) -> Watches:
        made = cls(epoch)
        clients = {client.id: client for client in oauth.every(tx) if not client.disabled}
        for standing in subscriptions.every(tx, "active"):
            found = load(services, tx, standing, clients.get(standing.client))
            if found is not None:
                made._take(found)
        return made

    def _take(self, one: Subscriber) -> None:
        self.every[one.standing.rid] = one
        organisation = one.subject.organisation or ""
        self.by_client[one.subject.client_id].append(one)
        if one.patients is None:
            self.by_organisation[organisation].append(one)
        else:
            for patient in one.patients:
                self.by_patient[organisation, patient].append(one)

    def of(self, organisations: Iterable[str], patients: Iterable[str]) -> Iterator[Subscriber]:
        """The subscriptions of these organisations that may be about one of these patients ("Patient/id" without the
        type), or about anyone."""
        named = list(patients)
        for organisation in organisations:
            yield from self.by_organisation.get(organisation, ())
            for patient in named:
                yield from self.by_patient.get((organisation, patient), ())

    @property
    def organisations(self) -> set[str]:
        return {one.subject.organisation or "" for one in self.every.values()}
