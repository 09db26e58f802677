"""Is a resource what its type says: elements, cardinality, types, formats, required codes, reference targets.

https://hl7.org/fhir/R4/validation.html. Every fault is found, each with its FHIRPath expression; no value is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any

from app.fhir.elements import Element, Type, lookup, resource_type
from app.fhir.faults import nearest, shown
from app.fhir.outcome import Issue
from app.fhir.primitives import PRIMITIVES
from app.fhir.required_codes import REQUIRED_CODES

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
MOST_ISSUES = 200
DEEPEST = 40

# What a narrative begins with, and what makes it more than text: for JSON Schema, Rust and Python alike.
NARRATIVE = r"^[ \t\r\n]*<div[ \t\r\n>]"
ACTIVE = (
    r"(?i)<[ \t\r\n]*(?:script|iframe|object|embed|form|input|style|link|meta|svg|base)\b"
    r"|[ \t\r\n]on[a-z]+[ \t\r\n]*=|javascript:|<!ENTITY|<!DOCTYPE"
)
_NARRATIVE, _ACTIVE = re.compile(NARRATIVE), re.compile(ACTIVE)


@dataclass(frozen=True, slots=True)
class Binding:
    """What the models' metadata say of an element beyond its type."""

    codes: frozenset[str]
    targets: frozenset[str]


# Marks of a list of codes that the models give in part ("final | +"), or as prose (MIME types).
UNFINISHED = frozenset(("+", "mime"))
NOTHING = Binding(frozenset(), frozenset())


@cache
def bindings(type_name: str) -> Mapping[str, Binding]:
    """Required codes and reference targets by element name."""
    models = import_module("fhir.resources.R4B.fhirtypes")
    path: str = getattr(models, f"{type_name}Type")._model_klass
    module, _, name = path.rpartition(".")
    fields = getattr(import_module(module), name).model_fields
    found = {}
    for key, field in fields.items():
        extra = field.json_schema_extra or {}
        codes, targets = extra.get("enum_values"), extra.get("enum_reference_types")
        if codes and not UNFINISHED.isdisjoint(codes):
            codes = None
        codes = codes or REQUIRED_CODES.get((name, field.alias or key))
        if codes or targets:
            found[field.alias or key] = Binding(frozenset(codes or ()), frozenset(targets or ()))
    return found


@cache
def _pattern(primitive: str) -> re.Pattern[str] | None:
    schema, _ = PRIMITIVES.get(primitive, ({}, ""))
    # In Python a final $ would let a line break through that JSON Schema and Rust refuse.
    return re.compile(schema["pattern"].removesuffix("$") + r"\Z") if "pattern" in schema else None


def faults(resource: dict[str, Any]) -> list[Issue]:
    """Everything that is wrong with the structure of a resource, at most MOST_ISSUES."""
    name = resource.get("resourceType")
    found = resource_type(name) if isinstance(name, str) else None
    if found is None:
        return [Issue("structure", "the resource type is not known; expected one of FHIR R4", "resourceType")]
    issues: list[Issue] = []
    for issue in _object(resource, found, found.name, 0):
        issues.append(issue)
        if len(issues) == MOST_ISSUES:
            break
    return issues


def _object(value: dict[str, Any], kind: Type, path: str, depth: int) -> Iterator[Issue]:
    if depth > DEEPEST:
        yield Issue("structure", f"nested too deep; expected at most {DEEPEST} levels", path)
        return
    if not value:
        yield Issue("structure", "an empty object; expected at least one element", path)
        return
    choices: dict[str, list[str]] = {}
    for key, inner in value.items():
        if key == "resourceType" and kind.resource:
            continue
        name = key.removeprefix("_")
        element = kind.elements.get(name)
        if element is None or (key.startswith("_") and not element.primitive):
            hint = f"expected one of that type: {nearest(name, kind.elements)}"
            yield Issue("structure", f"the element {shown(key)} is not known in {kind.name}; {hint}", path)
            continue
        if element.choice:
            choices.setdefault(element.choice, []).append(name)
        yield from _element(inner, element, kind, f"{path}.{name}", depth, beside=key.startswith("_"))
        if element.primitive and element.many and isinstance(inner, list):
            yield from _holes(inner, value.get(name if key.startswith("_") else f"_{name}"), f"{path}.{name}")
    for choice, names in choices.items():
        if len(set(names)) > 1:
            yield Issue("structure", f"more than one of {choice}[x]; expected one", f"{path}.{choice}")
    if kind.name == "Extension" and ("extension" in value) == ("value" in choices):
        yield Issue("invariant", "neither or both of a value and extensions; expected one of them (ext-1)", path)
    yield from _missing(value, kind, path, choices)


def _holes(items: list[Any], others: Any, path: str) -> Iterator[Issue]:
    """A null in a list holds the place of an item of which the list beside says more."""
    for number, item in enumerate(items):
        if item is None and not (isinstance(others, list) and number < len(others) and others[number] is not None):
            yield Issue("structure", "null in place of a value; expected one, or no item", f"{path}[{number}]")


def _missing(value: dict[str, Any], kind: Type, path: str, choices: Mapping[str, list[str]]) -> Iterator[Issue]:
    asked = set()
    for element in kind.elements.values():
        name = element.choice or element.name
        if not element.required or name in asked:
            continue
        asked.add(name)
        there = name in choices if element.choice else (name in value or f"_{name}" in value)
        if not there:
            yield Issue(
                "required", f"{name}{'[x]' if element.choice else ''} is missing; expected one", f"{path}.{name}"
            )


def _element(value: Any, element: Element, kind: Type, path: str, depth: int, *, beside: bool) -> Iterator[Issue]:
    if element.many != isinstance(value, list):
        what = "one value, not a list; expected a list" if element.many else "a list; expected one value"
        yield Issue("structure", what, path)
        return
    if not element.many:
        yield from _one(value, element, kind, path, depth, beside=beside)
        return
    if not value:
        yield Issue("structure", "an empty list; expected at least one item, or no element", path)
    for number, item in enumerate(value):
        if item is None and element.primitive:
            continue  # the place of an item whose other half stands in the list beside
        yield from _one(item, element, kind, f"{path}[{number}]", depth, beside=beside)


def _one(value: Any, element: Element, kind: Type, path: str, depth: int, *, beside: bool) -> Iterator[Issue]:
    if element.primitive and not beside:
        yield from _primitive(value, element, kind, path)
        return
    if not isinstance(value, dict):
        yield Issue("structure", "not an object; expected one", path)
        return
    if element.kind == "resource":
        inner = resource_type(str(value.get("resourceType", "")))
        if inner is None:
            yield Issue("structure", "a resource of no known type; expected one of FHIR R4", path)
            return
        yield from _object(value, inner, path, depth + 1)
        return
    found = lookup("Element" if beside else element.type) or (lookup("Extension") if beside else None)
    if beside:
        wrong = value.keys() - {"id", "extension"}
        if wrong or not value:
            yield Issue("structure", "expected an id or extensions beside a value", path)
        extension = lookup("Extension")
        for number, one in enumerate(value.get("extension") or ()):
            if isinstance(one, dict) and extension is not None:
                yield from _object(one, extension, f"{path}.extension[{number}]", depth + 2)
        return
    if found is not None:
        yield from _object(value, found, path, depth + 1)
    targets = bindings(kind.name).get(element.name, NOTHING).targets
    if element.type == "Reference":
        yield from _reference(value, targets, path)


def _primitive(value: Any, element: Element, kind: Type, path: str) -> Iterator[Issue]:
    schema, expected = PRIMITIVES.get(element.type, ({"type": "string"}, "text"))
    wanted = schema.get("type", "string")
    if wanted == "boolean":
        right = isinstance(value, bool)
    elif wanted in ("integer", "number"):
        right = isinstance(value, int if wanted == "integer" else (int, float, Decimal)) and not isinstance(value, bool)
        right = right and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    else:
        right = isinstance(value, str) and len(value) <= schema.get("maxLength", len(value))
        pattern = _pattern(element.type)
        right = right and value != "" and (pattern is None or pattern.match(value) is not None)
    if not right:
        yield Issue("value", f"not {_an(element.type)}; expected {expected}", path)
        return
    codes = bindings(kind.name).get(element.name, NOTHING).codes
    if codes and element.type == "code" and value not in codes:
        yield Issue("code-invalid", f"the code is not one of those required; expected {', '.join(sorted(codes))}", path)
    if element.kind == "xhtml" and (_ACTIVE.search(value) or not _NARRATIVE.match(value)):
        yield Issue(
            "invariant", "the narrative is not a plain div; expected XHTML without script or active content", path
        )


def _an(name: str) -> str:
    return f"an {name}" if name[0] in "aeio" else f"a {name}"


def _reference(reference: Mapping[str, Any], targets: frozenset[str], path: str) -> Iterator[Issue]:
    if targets and "Resource" not in targets:
        yield from target(reference, targets, path)


def target(reference: Mapping[str, Any], targets: frozenset[str], path: str) -> Iterator[Issue]:
    """Whether a reference, by its text or its stated type, leads to one of the types; one that names none is right."""
    text, kind = reference.get("reference"), reference.get("type")
    typed = _TYPED.search(text) if isinstance(text, str) else None
    named = {typed[1] or typed[2]} if typed else set()
    if isinstance(kind, str):
        named.add(kind)
    if named - targets:
        expected = ", ".join(sorted(targets))
        yield Issue("value", f"a reference to a type that may not stand here; expected {expected}", path)


def typed(types: str) -> str:
    """A pattern that finds the type which a reference names, literal or conditional, if it is one of `types`."""
    return rf"(?:^|/)({types})/[^/?#]+(?:/_history/[^/?#]+)?$|^({types})\?"


_TYPED = re.compile(typed("[A-Z][A-Za-z]+").replace("$", r"\Z"))
