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

MOST_ISSUES = 200
DEEPEST = 40

_SCRIPT = re.compile(
    r"<\s*(script|iframe|object|embed|form|input|style|link|meta|svg|base)\b|\son\w+\s*=|javascript:|<!ENTITY|<!DOCTYPE",
    re.IGNORECASE,
)


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
        if codes or targets:
            found[field.alias or key] = Binding(frozenset(codes or ()), frozenset(targets or ()))
    return found


@cache
def _pattern(primitive: str) -> re.Pattern[str] | None:
    schema, _ = PRIMITIVES.get(primitive, ({}, ""))
    return re.compile(schema["pattern"]) if "pattern" in schema else None


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
            near = nearest(name, kind.elements)
            hint = f"; the nearest known is {shown(near)}" if near else ""
            yield Issue("structure", f"the element {shown(key)} is not known in {kind.name}{hint}", path)
            continue
        if element.choice:
            choices.setdefault(element.choice, []).append(name)
        yield from _element(inner, element, kind, f"{path}.{key}", depth, beside=key.startswith("_"))
    for choice, names in choices.items():
        if len(set(names)) > 1:
            yield Issue("structure", f"more than one of {choice}[x]; expected one", f"{path}.{choice}")
    yield from _missing(value, kind, path, choices)


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
        what = "a list" if element.many else "one value"
        yield Issue("structure", f"expected {what} here", path)
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
        yield Issue("value", f"not a {element.type}; expected {expected}", path)
        return
    codes = bindings(kind.name).get(element.name, NOTHING).codes
    if codes and element.type == "code" and value not in codes:
        yield Issue("code-invalid", f"the code is not one of those required; expected {', '.join(sorted(codes))}", path)
    if element.kind == "xhtml" and (_SCRIPT.search(value) or not value.lstrip().startswith("<div")):
        yield Issue(
            "invariant", "the narrative is not a plain div; expected XHTML without script or active content", path
        )


def _reference(value: dict[str, Any], targets: frozenset[str], path: str) -> Iterator[Issue]:
    text = value.get("reference")
    if not isinstance(text, str):
        return
    parts = text.split("?")[0].split("/")
    name = parts[0] if len(parts) in (1, 2, 4) else (parts[-2] if len(parts) > 4 else "")
    if targets and "Resource" not in targets and name[:1].isupper() and name not in targets:
        yield Issue(
            "value", f"a reference to a type that may not stand here; expected {', '.join(sorted(targets))}", path
        )
