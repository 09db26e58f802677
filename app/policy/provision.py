"""One provision of a Consent as rules: what was read when it was written, and what it says of a request and a study.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision. A match is the AND of the elements stated, each the
OR of its values, in three values: unknown matches a deny and never a permit (README.md, 4.7; P13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.policy.coding import BROADER_PURPOSE, broader
from app.policy.predicate import FALSE, TRUE, Const, Expr, conj, definitely, disj, from_json, negate, possibly, to_json

UNRESOLVED = "?"  # an actor that could not be told when the Consent was written


@dataclass(frozen=True, slots=True)
class Actor:
    """Whom a provision names: the key of an organisation, person, client or group, a role, or both."""

    key: str | None
    roles: frozenset[str] = frozenset()

    def matches(self, asker: Asker) -> bool | None:
        if self.roles and asker.role not in self.roles:
            return False
        if self.key == UNRESOLVED:
            return None
        return self.key is None or self.key in asker.keys


@dataclass(frozen=True, slots=True)
class Asker:
    """The request, as provisions see it."""

    keys: frozenset[str]
    role: str
    purposes: frozenset[str]  # the code asked for, what the region maps it to, and all that stand for these
    at: int

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
        """The instants at which this or a nested provision starts or ends."""
        yield from (moment for moment in (self.low, self.high) if moment is not None)
        for child in self.children:
            yield from child.moments()

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"permit": self.permit}
        if self.low is not None or self.high is not None:
            data["period"] = [self.low, self.high]
        if self.actors is not None:
            data["actors"] = [[actor.key, sorted(actor.roles)] for actor in self.actors]
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
            tuple(Actor(key, frozenset(roles)) for key, roles in data["actors"]) if "actors" in data else None,
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
