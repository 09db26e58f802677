"""The organisations of the region as every decision begins with them: held in memory, under the number of their epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.access.subject import Subject
from app.policy import organisation
from app.policy.model import Requester
from app.storage.engine import Tx
from app.storage.projection import ORGANISATIONS_WRITTEN

MOST_REQUESTERS = 4096


@dataclass(frozen=True)
class Organisations:
    """The organisations as they stood at one number of their epoch. Never changed, only replaced: see `current`."""

    number: int = -1
    entries: tuple[organisation.Entry, ...] = ()
    trees: dict[str, frozenset[str]] = field(default_factory=dict)
    requesters: dict[tuple[Any, ...], Requester] = field(default_factory=dict)

    def current(self, tx: Tx, number: int | None = None) -> Organisations:
        """These, if nothing has been written since, else the organisations read anew. `number` is their epoch where this
        request has read it; it counts no more once this transaction has written an organisation."""
        if number is None or tx.memory.get(ORGANISATIONS_WRITTEN):
            row = tx.one("SELECT number FROM epoch WHERE name = 'organisation'")
            number = int(row[0]) if row else 0
        if number == self.number:
            return self
        rows = tx.rows("SELECT key, parent, kinds, successor FROM organisation")
        entries = (
            organisation.Entry(key, parent, frozenset(kinds.split()), successor)
            for key, parent, kinds, successor in rows
        )
        return Organisations(number, tuple(entries))

    @cached_property
    def parents(self) -> dict[str, str | None]:
        """The organisation of which each is a part, by key."""
        return {one.key: one.parent for one in reversed(self.entries)}

    def tree(self, key: str) -> frozenset[str]:
        """The keys that count as `key` (P7)."""
        if key not in self.trees:
            self.trees[key] = organisation.tree(self.entries, key)
        return self.trees[key]

    def ancestors(self, key: str) -> frozenset[str]:
        return organisation.ancestors(self.entries, key)

    def requester(self, subject: Subject) -> Requester:
        """The subject as policy knows it, in no group."""
        key = (
            *(subject.organisation, subject.practitioner, subject.role, subject.client_id),
            *(subject.auth_time, subject.patient, subject.expires),
        )
        found = self.requesters.get(key)
        if found is None:
            if len(self.requesters) >= MOST_REQUESTERS:
                self.requesters.clear()
            own = subject.organisation
            found = self.requesters[key] = Requester(
                organisation=own,
                tree=self.tree(own) if own else frozenset(),
                practitioner=subject.practitioner,
                role=subject.role,
                client=subject.client_id,
                ancestors=self.ancestors(own) if own else frozenset(),
                auth_time=subject.auth_time,
                patient=subject.patient,
                credential_until=subject.expires,
            )
        return found
