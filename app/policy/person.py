"""What is on file for one person: the records joined by replaced-by, and everything recorded on any of them (P18)."""

from __future__ import annotations

from dataclasses import dataclass

from app.policy.directive import Directive
from app.policy.model import EmergencyGrant, Relationship


@dataclass(frozen=True, slots=True)
class Person:
    """`link_error`: the links between the records run in a circle or to a record that is missing."""

    patients: frozenset[str]
    deceased: bool = False
    link_error: bool = False
    directives: tuple[Directive, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    grants: tuple[EmergencyGrant, ...] = ()
    restricted: bool = False  # the places that hold images are not told to anyone but themselves
