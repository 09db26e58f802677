"""One provision of a Consent as rules: what was read when it was written, and what it says of a request and a study.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision. A match is the AND of the elements stated, each the
OR of its values, in three values: unknown matches a deny and never a permit (README.md, 4.7; P13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.policy.coding import BROADER_PURPOSE, DUTIES, broader
from app.policy.model import ROLES
from app.policy.predicate import FALSE, TRUE, Const, Expr, conj, definitely, disj, from_json, negate, possibly, to_json

UNRESOLVED = "?"  # an actor that could not be told when the Consent was written


@dataclass(frozen=True, slots=True)
class Post:
    """A PractitionerRole: a person at one organisation (None: wherever they act), in [low, high), with the duties
    (`codes`, as `system|code`) of its code (none: in whatever role they ask).

    https://hl7.org/fhir/R4/practitionerrole.html. The same person elsewhere, or in another role, is not who it names.
    """

    organisation: str | None
    low: int | None = None
    high: int | None = None
    active: bool = True
    codes: frozenset[str] = frozenset()

    def held(self, asker: Asker) -> bool | None:
        """Whether the person asks in this post; unknown where they ask at another site of its trust, when the post
        is not theirs any more, or where nobody said which role its code is."""
        if self.organisation is not None and self.organisation not in asker.keys:
            return None if self.organisation in asker.tree else False
        role = self._role(asker)
        if role is False:
            return False
        now = (self.low is None or self.low <= asker.at) and (self.high is None or asker.at < self.high)
        return role if now and self.active else None

    @classmethod
    def from_json(cls, data: list[Any]) -> Post:
        organisation, low, high, active, codes = data
        return cls(organisation, low, high, active, frozenset(codes))

    def _role(self, asker: Asker) -> bool | None:
        """Whether one of the duties is the role in which the person asks."""
        found = {asker.role_of(code) for code in self.codes} or {asker.role}
        return True if asker.role in found else None if None in found else False


@dataclass(frozen=True, slots=True)
class Actor:
    """Whom a provision names: the key of an organisation, person, client or group, a role, or both. `post`: the person
    in that post alone."""

    key: str | None
    roles: frozenset[str] = frozenset()
    post: Post | None = None

    def matches(self, asker: Asker) -> bool | None:
        if self.roles and asker.role not in self.roles:
            return False
        if self.key == UNRESOLVED:
            return None
        if self.key is not None and self.key not in asker.keys:
            return False
        return self.post is None or self.post.held(asker)

    def moments(self) -> Iterator[int]:
        """The instants at which the post begins or ends."""
        if self.post is not None:
            yield from (moment for moment in (self.post.low, self.post.high) if moment is not None)

    def as_json(self) -> list[Any]:
        post = self.post
        said = [] if post is None else [[post.organisation, post.low, post.high, post.active, sorted(post.codes)]]
        return [self.key, sorted(self.roles), *said]

    @classmethod
    def from_json(cls, data: list[Any]) -> Actor:
        key, roles, *said = data
        return cls(key, frozenset(roles), Post.from_json(said[0]) if said else None)


@dataclass(frozen=True, slots=True)
class Asker:
    """The request, as provisions see it."""

    keys: frozenset[str]
    role: str
    purposes: frozenset[str]  # the code asked for, what the region maps it to, and all that stand for these
    at: int
    tree: frozenset[str] = frozenset()  # the organisations that count as the requester's (P7)
    duties: Mapping[str, str] = field(default_factory=dict)  # what the region says a duty's code is as a role

    def role_of(self, duty: str) -> str | None:
        """The role that the code of a duty stands for; None where nobody said."""
        code = duty.rpartition("|")[2]
        return code if code in ROLES else self.duties.get(duty, DUTIES.get(duty))

    @staticmethod
    def purposes_of(*codes: str) -> frozenset[str]:
        return frozenset(one for code in codes for one in broader(code, BROADER_PURPOSE))


@dataclass(frozen=True, slots=True)
class Provision:
    """`study`: the conditions on the study, with UNKNOWN for each element that could not be read."""

    permit: bool
    low: int | None = None
    high: int | None = None
    actors: tuple[Actor, ...] | None = None
    purposes: frozenset[str] | None = None
    study: Expr = TRUE
    children: tuple[Provision, ...] = ()

    def applies(self, asker: Asker) -> Expr:
        """The three-valued condition under which the provision matches."""
        if (self.low is not None and asker.at < self.low) or (self.high is not None and asker.at >= self.high):
            return FALSE
        if self.purposes is not None and self.purposes.isdisjoint(asker.purposes):
            return FALSE
        if self.actors is None:
            return self.study
        found = [actor.matches(asker) for actor in self.actors]
        return conj(Const(True if True in found else None if None in found else False), self.study)

    def moments(self) -> Iterator[int]:
        """The instants at which this, a nested provision, or the post of somebody it names starts or ends."""
        yield from (moment for moment in (self.low, self.high) if moment is not None)
        for actor in self.actors or ():
            yield from actor.moments()
        for child in self.children:
            yield from child.moments()

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"permit": self.permit}
        if self.low is not None or self.high is not None:
            data["period"] = [self.low, self.high]
        if self.actors is not None:
            data["actors"] = [actor.as_json() for actor in self.actors]
        if self.purposes is not None:
            data["purposes"] = sorted(self.purposes)
        if self.study != TRUE:
            data["study"] = to_json(self.study)
        if self.children:
            data["children"] = [child.as_json() for child in self.children]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Provision:
        low, high = data.get("period", (None, None))
        return cls(
            data["permit"],
            low,
            high,
            tuple(Actor.from_json(one) for one in data["actors"]) if "actors" in data else None,
            frozenset(data["purposes"]) if "purposes" in data else None,
            from_json(data["study"]) if "study" in data else TRUE,
            tuple(cls.from_json(child) for child in data.get("children", ())),
        )


@dataclass(frozen=True, slots=True)
class Says:
    """What the nested provisions of a node say, as two-valued conditions: each may refuse, permit, or say nothing."""

    denies: Expr
    permits: Expr
    overridden: Expr  # a nested provision of the other type matches, whatever it leads to


def nested(parent: Provision, asker: Asker) -> Says:
    """Siblings together: a refusal among them wins; one of the parent's own type says nothing new by itself, but its
    own exceptions count, and next to an exception it is a conflict."""
    denies, permits, overridden = [], [], []
    for child in parent.children:
        deny, permit = verdict(child, asker)
        denies.append(deny)
        permits.append(permit)
        if child.permit != parent.permit:
            overridden += [deny, permit]
    return Says(disj(*denies), disj(*permits), disj(*overridden))


def verdict(node: Provision, asker: Asker) -> tuple[Expr, Expr]:
    """(refuses, permits) of a nested provision with all that is nested in it. Never both, for any study."""
    match_ = node.applies(asker)
    if match_ == FALSE:
        return FALSE, FALSE
    inner = nested(node, asker)
    if node.permit:
        return conj(possibly(match_), inner.denies), conj(definitely(match_), negate(inner.denies))
    excepted = conj(inner.permits, negate(inner.denies))
    return conj(possibly(match_), negate(excepted)), conj(definitely(match_), excepted)
