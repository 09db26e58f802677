"""One request and what is on file, with everything that several rules ask for worked out once, and only when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from app.policy import consents, emergency, relationship
from app.policy.consents import Choices
from app.policy.model import EmergencyGrant, Relationship, Request, Study
from app.policy.person import Person
from app.policy.predicate import TRUE, Expr, Not, Origin
from app.policy.provision import Asker
from app.policy.relationship import Standing
from app.policy.switches import DIRECT_CARE, Switches

T = TypeVar("T")


class once(Generic[T]):
    """A property worked out at first use and kept. The standard library's takes a lock, at a third of a decision's time."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work = work
        self.name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, of: None, kind: type) -> once[T]: ...
    @overload
    def __get__(self, of: object, kind: type) -> T: ...
    def __get__(self, of: object, kind: type) -> Any:
        if of is None:
            return self
        value = of.__dict__[self.name] = self.work(of)
        return value


class Facts:
    """`study` is None where the answer is wanted for all the person's studies."""

    def __init__(
        self, request: Request, person: Person, switches: Switches, at: int, study: Study | None = None
    ) -> None:
        self.request = request
        self.person = person
        self.switches = switches
        self.at = at
        self.study = study
        asker = request.requester
        self.orgs = (
            asker.tree
            if asker.organisation is None or asker.organisation in asker.tree
            else asker.tree | {asker.organisation}
        )
        purpose = request.purpose or ""
        self.care_purpose = purpose if purpose in DIRECT_CARE else switches.care_purposes.get(purpose)
        self.breaks_glass = self.care_purpose == "BTG"

    @once
    def choices(self) -> Choices:
        """What the consents on file say."""
        if not self.person.directives:
            return consents.NONE
        one = self.request.requester
        named = (one.organisation, one.practitioner, one.client, one.client and f"Device/{one.client}", one.patient)
        keys = frozenset(key for key in named if key) | one.ancestors | one.groups
        purposes = Asker.purposes_of(self.request.purpose or "", self.care_purpose or "")
        asker = Asker(keys, one.role, purposes, self.at, self.orgs, self.switches.duties)
        return consents.choices(self.person.directives, self.person.patients, asker, self.switches)

    @once
    def conflict(self) -> tuple[str, ...]:
        """S5: more than one consent in force is a task for somebody, however clear the answer is."""
        return ("CONFLICT_TASK",) if self.choices.conflict else ()

    @once
    def grant(self) -> EmergencyGrant | None:
        """The emergency grant relied on: one is used only to break the glass."""
        if not self.breaks_glass:
            return None
        return emergency.best(self.request, self.person, self.switches, self.at)

    @once
    def _ours(self) -> tuple[Relationship, ...]:
        patients = self.person.patients
        return tuple(one for one in self.person.relationships if one.patient in patients)

    @once
    def names(self) -> dict[str, int | None]:
        """The practitioner, and the patient's current teams that name the practitioner, each until when."""
        person = self.request.requester.practitioner
        if person is None:
            return {}
        return relationship.current_teams(self._ours, self.orgs, person, self.switches, self.at) | {person: None}

    @once
    def standing(self) -> Standing | None:
        """The best relationship that holds now."""
        return relationship.standing(self._ours, self.orgs, self.names, self.switches, self.at) if self._ours else None

    @property
    def misses(self) -> tuple[str, ...]:
        return relationship.misses(self._ours, self.orgs, self.names, self.switches, self.at)

    @property
    def not_origin(self) -> Expr:
        """Where a study's own trust is bound like any other, it still needs no relationship (P1)."""
        return Not(Origin(self.orgs)) if self.switches.opt_out_binds_origin else TRUE

    @property
    def because(self) -> tuple[str, ...]:
        """Why the requester is let in at all, the deciding one first."""
        glass = ("BTG_SELF_CLAIMED",) if self.grant else ()
        return (*glass, self.standing.reason) if self.standing else glass

    @property
    def duties(self) -> tuple[str, ...]:
        return emergency.OBLIGATIONS if self.grant else ()

    @property
    def basis(self) -> tuple[str, ...]:
        """The relationship and the grant relied on, with version."""
        relied = [f"{self.grant.ref}/_history/{self.grant.version}"] if self.grant else []
        if self.standing:
            relied.append(f"{self.standing.relationship.source}/_history/{self.standing.relationship.version}")
        return tuple(relied)

    @once
    def until(self) -> int | None:
        """When what a permit rests on next changes."""
        ends = [self.choices.until]
        if self.grant:
            ends.append(emergency.until(self.grant, self.switches))
        elif self.standing:
            ends.append(self.standing.until)
        return min((end for end in ends if end is not None), default=None)
