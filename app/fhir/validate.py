"""Nothing wrong is stored: structure, the standard's invariants and the registry's profiles, all issues at once.

https://hl7.org/fhir/R4/validation.html. A JSON Schema tells fast whether the shape is right; only where it is not are the
tables read that say what is wrong. Constraints and invariants, which compare values, are evaluated in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import jsonschema_rs

from app.fhir import conformance, constraints, contained, schemas, structure
from app.fhir.constraints import Options
from app.fhir.elements import Type, lookup, resource_type
from app.fhir.glance import Glance
from app.fhir.invariants import INVARIANTS
from app.fhir.lossless import Exponent
from app.fhir.outcome import Fault, Issue
from app.fhir.profiles import BASE, Profile, Profiles
from app.fhir.walk import Walk

LINEAR = jsonschema_rs.RegexOptions()  # no pattern takes longer than its text


class Validator:
    """Holds resources against base R4 and the registry's profiles. Compiled once, shared by all threads."""

    def __init__(self, profiles: Profiles, options: Options = Options()) -> None:
        """Raises NotEnforceable for a profile that cannot be enforced."""
        constraints.compile_all(profiles)
        self.profiles = profiles
        self.options = options
        self._walk = Walk([*INVARIANTS, *profiles.data_types])
        self._glance = Glance(self._walk, profiles, options)
        self._schemas: dict[str, Any] = {}
        self._base: dict[str, Any] = {}

    def validate(self, resource: dict[str, Any], profiles: Iterable[str] = ()) -> list[Issue]:
        """Every issue, errors and warnings, each with its FHIRPath expression.

        Against base R4, the registry's profile of the type, those that `meta.profile` claims as far as they are ours,
        and `profiles` (canonical URLs, which are known here). Naming the standard's own definition of the type alone
        leaves the registry's out.
        """
        kind = resource_type(str(resource.get("resourceType")))
        if kind is None:
            return structure.faults(resource)
        asked = set(profiles)
        base_only = asked == {BASE + kind.name}
        chosen = () if base_only else self._chosen(resource, kind, asked)
        usual = self.profiles.everywhere.get(kind.name, ())
        sound = self._sound(resource, kind, () if base_only else usual)
        if sound and self._glance.sees_nothing(resource, kind, chosen, usual):
            return []
        found = [] if sound else structure.faults(resource)
        if any(issue.code == "structure" for issue in found):
            return found  # what follows reads elements of the right shape
        places = {issue.expression for issue in found}
        for issue in self._beyond(resource, kind, chosen, sound, usual):
            if issue.expression not in places or issue.code not in ("required", "code-invalid", "value"):
                found.append(issue)
        if not sound and not any(issue.severity == "error" for issue in found):
            found += self._unexplained(resource, kind, () if base_only else usual)
        return list(dict.fromkeys(found))[: structure.MOST_ISSUES]

    def check(self, resource: dict[str, Any]) -> list[Issue]:
        """The warnings. Raises Fault "unprocessable" with every issue where any is an error."""
        found = self.validate(resource)
        errors = [issue for issue in found if issue.severity == "error"]
        if errors:
            raise Fault("unprocessable", errors[0].text, errors[0].expression, issues=tuple(found))
        return found

    def knows(self, url: str, type_name: str) -> bool:
        """Whether resources of the type can be held against a profile, the standard's own included."""
        url = url.partition("|")[0]
        known = self.profiles.by_url.get(url)
        return url == BASE + type_name or (known is not None and known.type == type_name)

    def _chosen(self, resource: dict[str, Any], kind: Type, asked: set[str]) -> tuple[Profile, ...]:
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        urls = [*asked, *(claimed if isinstance(claimed, list) else ())]
        named = [self.profiles.by_url.get(str(url).partition("|")[0]) for url in urls]
        chosen = dict.fromkeys(self.profiles.everywhere.get(kind.name, ()))
        for one in named:
            if one is not None and one.type == kind.name:
                chosen |= dict.fromkeys(one.whole)
        return tuple(chosen)

    def _beyond(
        self, resource: dict[str, Any], kind: Type, chosen: tuple[Profile, ...], sound: bool, usual: tuple[Profile, ...]
    ) -> Iterator[Issue]:
        yield from contained.faults(resource)
        for place, value, below in self._walk.over(resource):
            for invariant in INVARIANTS.get(below.name, ()):
                for inside in invariant.broken(value):
                    yield Issue("invariant", f"{invariant.text} ({invariant.key})", place + inside)
            yield from self._of_type(value, below, place, resource)
        for profile in chosen:
            settled = sound and profile in usual
            yield from conformance.own(resource, profile, kind, kind.name, self.options, settled=settled)

    def _of_type(self, value: dict[str, Any], kind: Type, place: str, resource: dict[str, Any]) -> Iterator[Issue]:
        for profile in self.profiles.data_types.get(kind.name, ()):
            yield from conformance.own(value, profile, kind, place, self.options, whole=resource)
        if kind.name == "Extension":
            known = self.profiles.extensions.get(str(value.get("url")))
            if known is not None:
                yield from conformance.extension(value, known, kind, place, self.options, resource)

    def _sound(self, resource: dict[str, Any], kind: Type, profiles: tuple[Profile, ...]) -> bool:
        checked = self.schema(kind.name) if profiles else self._base_schema(kind)
        if not _passes(checked, resource):
            return False
        if any(element.kind == "resource" and element.name != "contained" for element in kind.elements.values()):
            return False  # told by the tables alone: a Bundle's entries are not what schemas are made for here
        for one in resource.get("contained") or ():
            below = resource_type(str(one.get("resourceType")))
            if below is None or not _passes(self._base_schema(below), one):
                return False
        return True

    def schema(self, name: str) -> Any:
        """The compiled schema of a resource type, with the profile that all its resources meet. Made when one is first
        written: that takes 25 ms and 3 MB, and most processes never write most types."""
        if name not in self._schemas:
            kind = resource_type(name)
            assert kind is not None
            made = schemas.schema(kind, self.profiles.everywhere.get(name, ())[-1:])
            self._schemas[name] = jsonschema_rs.validator_for(made, pattern_options=LINEAR)
        return self._schemas[name]

    def _base_schema(self, kind: Type) -> Any:
        if not self.profiles.everywhere.get(kind.name):
            return self.schema(kind.name)
        if kind.name not in self._base:
            self._base[kind.name] = jsonschema_rs.validator_for(schemas.schema(kind), pattern_options=LINEAR)
        return self._base[kind.name]

    def _unexplained(self, resource: dict[str, Any], kind: Type, profiles: tuple[Profile, ...]) -> Iterator[Issue]:
        """The schema refuses what the tables do not: it is refused, though not as well explained."""
        plain = _plain(resource)
        checked = self.schema(kind.name) if profiles else self._base_schema(kind)
        for error in checked.iter_errors(plain):
            place = kind.name + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.instance_path)
            yield Issue("structure", "not as the schema of the type has it; expected another value", place)


def _plain(value: Any) -> Any:
    """A copy in which a number that keeps its exponent is one that any schema library reads."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return Decimal(value) if isinstance(value, Exponent) else value


__all__ = ["Options", "Validator", "lookup"]


def _passes(checked: Any, resource: object) -> bool:
    """Whether a schema has nothing against it. What the schema cannot read, such as a number with an exponent as it was
    written, is left to the tables, which tell of it."""
    try:
        return bool(checked.is_valid(resource))
    except ValueError:
        return False
