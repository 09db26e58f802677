"""A policy information point over a list of resources: what the database does in SQL, done in a few lines of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.policy.care import post_of
from app.policy.decide import Person
from app.policy.directive import Directive, compile_consent
from app.policy.model import EmergencyGrant, Relationship, Request, Requester, Study
from app.policy.organisation import Entry, ancestors, components, entry_of, has_cycle, key_from, key_of, tree
from app.policy.relationship import compile_relationships
from app.policy.study import compile_study
from app.policy.switches import Switches, load
from tests.cases.world import World

ZONE = "Europe/London"
RELATING = ("EpisodeOfCare", "Appointment", "CareTeam", "ServiceRequest")
Resource = dict[str, Any]


class Register:
    """Resources by reference, resolved as the server resolves them."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.held = {f"{one['resourceType']}/{one['id']}": one for one in resources}

    def of(self, *types: str) -> list[Resource]:
        return [one for one in self.held.values() if one["resourceType"] in types]

    def resolve(self, asked: str) -> str | None:
        if asked.startswith("identifier:"):
            return self._identified(asked.removeprefix("identifier:"))
        if asked.startswith("owner:"):
            one = self.held.get(asked.removeprefix("owner:"), {})
            owner = one.get("managingOrganization") or one.get("organization") or {}
            return self.resolve(owner["reference"]) if "reference" in owner else None
        if asked.startswith("post:"):
            role = self.held.get(asked.removeprefix("post:"))
            return post_of(role, self.resolve, ZONE) if role else None
        if asked.startswith("parent:"):
            return next((one.parent for one in self.entries() if one.key == asked.removeprefix("parent:")), None)
        one = self.held.get(asked)
        if one is None:
            return None
        match one["resourceType"]:
            case "Organization":
                return key_of(one)
            case "Endpoint":
                return self.resolve(one["managingOrganization"]["reference"])
            case "PractitionerRole":
                return str(one["practitioner"]["reference"])
            case _:
                return asked

    def _identified(self, text: str) -> str | None:
        system, _, value = text.partition("|")
        if key := key_from(system, value):
            return key
        for ref, one in self.held.items():
            if any((i.get("system"), i.get("value")) == (system, value) for i in one.get("identifier", ())):
                return self.resolve(ref)
        return None

    def entries(self) -> list[Entry]:
        return [entry_of(one, self.resolve) for one in self.of("Organization")]

    # Facts ------------------------------------------------------------------------------------------------------------

    def directives(self) -> tuple[Directive, ...]:
        return tuple(compile_consent(one, self.resolve, ZONE) for one in self.of("Consent"))

    def relationships(self) -> tuple[Relationship, ...]:
        return tuple(row for one in self.of(*RELATING) for row in compile_relationships(one, self.resolve, ZONE))

    def study(self, ref: str) -> Study:
        return compile_study(self.held[ref], self.resolve, None, ZONE)

    def group(self, patient: str) -> tuple[frozenset[str], bool]:
        """The merge group of a patient, and whether its links cannot be trusted."""
        number = {f"Patient/{one['id']}": place for place, one in enumerate(self.of("Patient"))}
        edges: dict[int, set[int]] = {place: set() for place in number.values()}
        broken: set[int] = set()
        for ref, place in number.items():
            for link in self.held[ref].get("link", ()):
                other = number.get(link["other"]["reference"])
                if link["type"] not in ("replaced-by", "replaces"):
                    continue
                if other is None:
                    broken.add(place)
                elif link["type"] == "replaced-by":
                    edges[place].add(other)
                else:
                    edges[other].add(place)
        group = next((found for found in components(edges) if number.get(patient) in found), set())
        refs = frozenset(ref for ref, place in number.items() if place in group)
        return refs, bool(group & broken) or has_cycle({place: edges[place] for place in group})

    def person(self, patient: str, grants: Iterable[EmergencyGrant] = ()) -> Person:
        refs, link_error = self.group(patient)
        return Person(
            refs,
            any("deceasedDateTime" in self.held[ref] for ref in refs),
            link_error,
            tuple(one for one in self.directives() if one.patient in refs),
            tuple(one for one in self.relationships() if one.patient in refs),
            tuple(grants),
        )


def requester(register: Register, said: dict[str, Any]) -> Requester:
    entries = register.entries()
    return Requester(
        organisation=said["organisation"],
        tree=tree(entries, said["organisation"]),
        ancestors=ancestors(entries, said["organisation"]),
        practitioner=said["practitioner"],
        role=said["role"],
        client=said["client"],
        patient=said["patient"],
    )


Asked = tuple[Request, Person, Study, Switches, int]


def asked(world: World, via: Callable[[Directive], Directive] = lambda one: one) -> Asked:
    """The arguments of `decide` for a world. `via` passes each compiled consent through, to test how it is kept."""
    register = Register(world.resources)
    person = register.person(world.patient, [EmergencyGrant(**one) for one in world.grants])
    person = Person(
        person.patients,
        person.deceased,
        person.link_error,
        tuple(via(one) for one in person.directives),
        person.relationships,
        person.grants,
    )
    request = Request(requester(register, world.requester), world.purpose, world.action, world.patient)
    return request, person, register.study(world.study), switches_of(world.switches), world.at


def switches_of(lines: dict[str, Any]) -> Switches:
    return load("\n".join(f"{key} = {_toml(value)}" for key, value in lines.items()))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'
