"""What a profile finds wrong with a value, and where: https://hl7.org/fhir/R4/profiling.html.

The structure is sound already when this is asked (`app.fhir.structure`). Every issue has the FHIRPath expression of its
place and says what was wrong, then what was expected; no value is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from app.fhir.constraints import Options, check
from app.fhir.elements import Element, Type, lookup
from app.fhir.outcome import Issue
from app.fhir.profiles import Binding, Node, Profile
from app.fhir.structure import ABSENT, target

_INDEX = re.compile(r"\[\d+\]")


def own(
    value: dict[str, Any],
    profile: Profile,
    kind: Type,
    place: str,
    options: Options,
    *,
    settled: bool = False,
    whole: dict[str, Any] | None = None,
) -> Iterator[Issue]:
    """What one profile finds, without those it builds on. `value` is a resource, or a data type's value inside `whole`.

    `settled`: the schema has told that the shape is right, so that constraints and warnings alone are looked at.
    """
    yield from _node(value, profile.light if settled else profile.root, kind, place, whole or value, options)


def extension(
    value: dict[str, Any], profile: Profile, kind: Type, place: str, options: Options, whole: dict[str, Any]
) -> Iterator[Issue]:
    """What the definition of an extension finds, and whether it may stand where it does."""
    holder = _INDEX.sub("", place).rpartition(".")[0]
    if profile.contexts and holder not in profile.contexts and ".extension" not in holder:
        yield Issue(
            "structure", f"an extension that may not stand here; expected it on {_or(list(profile.contexts))}", place
        )
    yield from own(value, profile, kind, place, options, whole=whole)


def at_node(value: dict[str, Any], node: Node, kind: Type, whole: dict[str, Any], options: Options) -> Iterator[Issue]:
    """What one node of a profile's tree finds, wherever the value stands."""
    return _node(value, node, kind, "", whole, options)


def at_child(
    value: dict[str, Any], name: str, node: Node, kind: Type, whole: dict[str, Any], options: Options
) -> Iterator[Issue]:
    """What the node of one of its elements finds."""
    return _child(value, name, node, kind, "", whole, options)


def _node(
    value: dict[str, Any], node: Node, kind: Type, place: str, whole: dict[str, Any], options: Options
) -> Iterator[Issue]:
    for constraint in node.constraints:
        yield from check(constraint, value, place, whole, options)
    for name, child in node.children.items():
        yield from _child(value, name, child, kind, place, whole, options)
    for name in node.again:
        for number, one in enumerate(_several(value.get(name))):
            yield from _node(one, node, kind, f"{place}.{name}[{number}]", whole, options)


def _child(
    value: dict[str, Any], name: str, node: Node, kind: Type, place: str, whole: dict[str, Any], options: Options
) -> Iterator[Issue]:
    if name.endswith("[x]"):
        yield from _choice(value, name.removesuffix("[x]"), node, kind, place)
        return
    if name not in value and not node.least and not node.slices:
        return
    element, found = kind.elements[name], value.get(name)
    items = _several(found)
    there = len(items) if name in value else (1 if f"_{name}" in value else 0)
    where = f"{place}.{name}"
    yield from _count(there, node.least, node.most, node.short or name, where, name if element.many else "")
    for number, one in enumerate(items):
        at = f"{where}[{number}]" if element.many else where
        yield from _item(one, node, element, at, whole, options)
    for slice_ in node.slices.values():
        if name in value or slice_.least:
            yield from _slice(items, slice_, element, where, whole, options)


def _item(
    one: Any, node: Node, element: Element, place: str, whole: dict[str, Any], options: Options
) -> Iterator[Issue]:
    if node.fixed is not None and one != node.fixed:
        yield Issue("value", f"another value than is fixed here; expected {_told(node.fixed)}", place)
    if node.pattern is not None and not matches(one, node.pattern):
        yield Issue("value", f"not as this profile has it; expected {_told(node.pattern)}", place)
    if node.binding is not None:
        yield from _bound(one, node.binding, element, place)
    if node.targets and isinstance(one, dict):
        yield from target(one, node.targets, place)
    if isinstance(one, dict):
        below = lookup(element.type)
        if below is not None:
            yield from _node(one, node, below, place, whole, options)
    else:
        for constraint in node.constraints:
            yield from check(constraint, one, place, whole, options)


def _slice(
    items: list[Any], slice_: Node, element: Element, place: str, whole: dict[str, Any], options: Options
) -> Iterator[Issue]:
    matched = [(number, one) for number, one in enumerate(items) if of_slice(one, slice_)]
    yield from _count(len(matched), slice_.least, slice_.most, slice_.short, place, "")
    for number, one in matched:
        yield from _item(one, slice_, element, f"{place}[{number}]", whole, options)


def of_slice(one: Any, slice_: Node) -> bool:
    """Whether an item is known by its discriminators as one of the slice."""
    for steps, pattern in slice_.match():
        value = one
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None or not matches(value, pattern):
            return False
    return True


def _choice(value: dict[str, Any], name: str, node: Node, kind: Type, place: str) -> Iterator[Issue]:
    allowed = [one for one in kind.elements.values() if one.choice == name]
    found = [one for one in allowed if one.name in value or f"_{one.name}" in value]
    yield from _count(len(found), node.least, node.most, f"{name}[x]", f"{place}.{name}", "")
    for one in found:
        if node.kinds and one.type not in node.kinds:
            text = f"a {one.type}, which may not stand here; expected {_or(sorted(node.kinds))}"
            yield Issue("value", text, f"{place}.{one.name}")
        elif node.targets and isinstance(value.get(one.name), dict):
            yield from target(value[one.name], node.targets, f"{place}.{one.name}")


def _count(there: int, least: int, most: int | None, what: str, place: str, plural: str) -> Iterator[Issue]:
    if there < least:
        number = "one" if least == 1 else f"{least}"
        yield Issue("required", f"{what} is missing; expected {'at least ' if plural else ''}{number}", place)
    elif most is not None and there > most:
        wanted = {0: "none", 1: "one at most"}.get(most, f"{most} at most")
        yield Issue("structure", f"{there} of {what}; expected {wanted}", place)


def _bound(value: Any, binding: Binding, element: Element, place: str) -> Iterator[Issue]:
    if binding.strength not in ("required", "extensible"):
        return
    systems = {system for system, _ in binding.codes}
    codings = codings_of(value, element)
    if codings is None or any(one in binding.codes for one in codings) or said_absent(value, codings):
        return
    foreign = bool(codings) and not any(system in systems for system, _ in codings)
    only_text = not codings
    if binding.strength == "extensible" and (foreign or only_text):
        text = f"a code of another system; expected one of {binding.url} where it has one that fits"
        yield Issue("code-invalid", text, place, severity="warning")
        return
    codes = sorted(code for _, code in binding.codes)
    listed = ", ".join(codes) if len(codes) <= 12 else f"one of its {len(codes)} codes"
    yield Issue("code-invalid", f"a code that is not in {binding.url}; expected {listed}", place)


def codings_of(value: Any, element: Element) -> list[tuple[str | None, str | None]] | None:
    """(system, code) of a Coding or of those in a CodeableConcept; None for a value of another type. What is no text there
    is told of by the schema, and is no code."""
    if element.type == "CodeableConcept" and isinstance(value, dict):
        inside = value.get("coding")
        return [_coding(one) for one in (inside if isinstance(inside, list) else ()) if isinstance(one, dict)]
    if element.type == "Coding" and isinstance(value, dict):
        return [_coding(value)]
    return None


def _coding(value: dict[str, Any]) -> tuple[str | None, str | None]:
    system, code = value.get("system"), value.get("code")
    return system if isinstance(system, str) else None, code if isinstance(code, str) else None


def said_absent(value: dict[str, Any], codings: Sequence[tuple[str | None, str | None]]) -> bool:
    """Whether it is said why there is no code, where a profile binds what the standard demands."""
    told = any(isinstance(one, dict) and one.get("url") == ABSENT for one in value.get("extension") or ())
    return told and all(coding == (None, None) for coding in codings)


def matches(value: Any, pattern: Any) -> bool:
    """Whether a value has everything that a pattern has, https://hl7.org/fhir/R4/elementdefinition-definitions.html."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(name in value and matches(value[name], p) for name, p in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(matches(one, p) for one in value) for p in pattern)
    return bool(value == pattern)


def _told(pattern: Any) -> str:
    if isinstance(pattern, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in pattern.items())
    return ", ".join(map(_told, pattern)) if isinstance(pattern, list) else str(pattern).lower()


def _or(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else ([] if value is None else [value])
