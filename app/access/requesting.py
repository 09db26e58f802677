"""Who is asking, as policy knows it: the subject with the organisations and groups that it stands for now."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.access import information
from app.access.organisations import Organisations
from app.access.subject import Subject
from app.policy.model import Requester
from app.policy.switches import Switches
from app.storage.engine import Tx
from app.storage.projection import ORGANISATIONS_WRITTEN, PARENTS


@dataclass
class Requesting:
    """What every decision begins with. `organisations` are those last read, right while their number is the epoch's."""

    switches: Switches
    reads_all: bool = False
    organisations: Organisations = field(default_factory=Organisations)

    def requester(self, tx: Tx, subject: Subject) -> Requester:
        """The subject as policy knows it, with the organisations and groups it stands for now."""
        asked, found = tx.memory.get("requester", (None, None))
        if asked is subject or asked == subject:
            return found  # type: ignore[no-any-return]
        known = self._current(tx, subject)
        tx.memory[PARENTS] = known.parents
        found = known.requester(subject)
        if subject.practitioner:
            found = found.among(*information.groups_of(tx, subject.practitioner, found.tree, tx.at))
        tx.memory["requester"] = subject, found
        return found

    def _current(self, tx: Tx, subject: Subject) -> Organisations:
        """The organisations now. Where their number comes with the next round trip, they are taken to be those that were
        read last; if they are not, the work is done again."""
        standing = subject.standing
        if standing is None:
            return self.organisations_of(tx, subject.epoch)
        known = self.organisations
        if standing.number is None:
            if known.number >= 0 and not tx.memory.get(ORGANISATIONS_WRITTEN):
                standing.assumed = known.number
                return known
            tx.settle()
        return self.organisations_of(tx, standing.number)

    def organisations_of(self, tx: Tx, number: int | None = None) -> Organisations:
        """The organisations as they stand in this transaction; `number` is their epoch where it has been read."""
        known = self.organisations.current(tx, number)
        if not tx.memory.get(ORGANISATIONS_WRITTEN):  # nobody else may see what has not been committed
            self.organisations = known
        return known
