"""Every complex value of a resource with its place and type; parts in which nothing is looked for are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.fhir.elements import Type, lookup, resource_type

Step = tuple[str, dict[str, Any], Type]  # place, value, type


class Walk:
    """Finds values of the types named. Extensions are always looked into: any type may stand in one."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = frozenset(wanted)
        self._plans: dict[str, Mapping[str, Type | None]] = {}

    def over(self, resource: dict[str, Any]) -> Iterator[Step]:
        """The resource itself first, then what is in it, in its order."""
        kind = resource_type(str(resource.get("resourceType", "")))
        if kind is not None:
            yield from self._value(resource, kind, kind.name)

    def _value(self, value: dict[str, Any], kind: Type, place: str) -> Iterator[Step]:
        yield place, value, kind
        plan = self.plan(kind)
        for name, inner in value.items():
            if name.startswith("_"):
                yield from self._beside(inner, f"{place}.{name[1:]}")
            elif name in plan:
                below = plan[name]
                if isinstance(inner, list):
                    for number, one in enumerate(inner):
                        if isinstance(one, dict):
                            yield from self._one(one, below, f"{place}.{name}[{number}]")
                elif isinstance(inner, dict):
                    yield from self._one(inner, below, f"{place}.{name}")
            elif isinstance(inner, (dict, list)) and _extended(inner):
                yield from self._extensions(inner, f"{place}.{name}")

    def _extensions(self, value: Any, place: str) -> Iterator[Step]:
        """The extensions in a part in which nothing else is looked for."""
        if isinstance(value, list):
            for number, one in enumerate(value):
                if isinstance(one, (dict, list)):
                    yield from self._extensions(one, f"{place}[{number}]")
            return
        for name, inner in value.items():
            if name.startswith("_"):
                yield from self._beside(inner, f"{place}.{name[1:]}")
            elif name == "extension":
                yield from self._beside(value, place)
            elif isinstance(inner, (dict, list)) and _extended(inner):
                yield from self._extensions(inner, f"{place}.{name}")

    def _one(self, value: dict[str, Any], kind: Type | None, place: str) -> Iterator[Step]:
        kind = kind or resource_type(str(value.get("resourceType", "")))
        if kind is not None:
            yield from self._value(value, kind, place)

    def _beside(self, value: Any, place: str) -> Iterator[Step]:
        """The extensions of a primitive, or of each in a list."""
        extension = lookup("Extension")
        several = isinstance(value, list)
        for position, one in enumerate(value if several else [value]):
            where = f"{place}[{position}]" if several else place
            if isinstance(one, dict) and extension is not None:
                for number, inner in enumerate(one.get("extension") or ()):
                    if isinstance(inner, dict):
                        yield from self._value(inner, extension, f"{where}.extension[{number}]")

    def plan(self, kind: Type) -> Mapping[str, Type | None]:
        """The elements of a type to look into; None stands for a resource, whose own type says more."""
        return self._plans.get(kind.name) or self._made(kind)

    def _made(self, kind: Type) -> Mapping[str, Type | None]:
        plan: dict[str, Type | None] = {}
        for element in kind.elements.values():
            if element.kind == "resource":
                plan[element.name] = None
            elif element.kind == "complex":
                below = lookup(element.type)
                if below is not None and self._leads(below, frozenset()):
                    plan[element.name] = below
        self._plans[kind.name] = plan
        return plan

    def _leads(self, kind: Type, above: frozenset[str]) -> bool:
        if kind.name == "Extension" or kind.name in self.wanted:
            return True
        if kind.name in above:
            return False
        return any(
            element.name not in ("extension", "modifierExtension")
            and (
                element.kind == "resource"
                or (
                    element.kind == "complex"
                    and (below := lookup(element.type)) is not None
                    and self._leads(below, above | {kind.name})
                )
            )
            for element in kind.elements.values()
        )


def _extended(value: dict[str, Any] | list[Any]) -> bool:
    """Whether there is an extension anywhere in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "extension" or name.startswith("_"):
                return True
            if isinstance(inner, (dict, list)) and _extended(inner):
                return True
        return False
    return any(_extended(one) for one in value if isinstance(one, (dict, list)))
