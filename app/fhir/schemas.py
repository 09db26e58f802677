"""A JSON Schema for each type, hardened: made from the elements of the standard and from the profiles.

https://json-schema.org/draft/2020-12. It holds what the standard's own schema leaves open: no null but beside an
extension, no empty object or list, whole numbers in their range, codes of required bindings, one of a choice, types of
references, narratives without script. It tells right from wrong fast; what is wrong is said by `app.fhir.structure` and
`app.fhir.conformance`, which read the same tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.fhir.elements import Element, Type, lookup
from app.fhir.primitives import LONGEST, PRIMITIVES
from app.fhir.profiles import Node, Profile, schema_of
from app.fhir.structure import ABSENT, ACTIVE, NARRATIVE, NOTHING, bindings, typed

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: Type, profiles: Iterable[Profile] = ()) -> Schema:
    """The schema of a resource type and of the profiles that all its resources meet. Draft 2020-12, closed."""
    definitions: dict[str, Schema] = {}
    _define(kind, definitions)
    overlays = [_overlay(one.root, kind, definitions) for profile in profiles for one in profile.whole]
    return {
        "$schema": DIALECT,
        "allOf": [{"$ref": f"#/$defs/{kind.name}"}, *(one for one in overlays if one)],
        "$defs": definitions,
    }


def _define(kind: Type, definitions: dict[str, Schema]) -> None:
    if kind.name in definitions:
        return
    made: Schema = {"type": "object", "minProperties": 2 if kind.resource else 1, "additionalProperties": False}
    definitions[kind.name] = made
    properties: dict[str, Schema] = {}
    choices: dict[str, list[Element]] = {}
    both: list[Schema] = []
    required = []
    if kind.resource:
        properties["resourceType"] = {"const": kind.name}
        required.append("resourceType")
        del made["minProperties"]
    for element in kind.elements.values():
        properties[element.name] = _element(element, kind, definitions)
        if element.primitive:
            _beside(element, properties, both, definitions)
        if element.choice:
            choices.setdefault(element.choice, []).append(element)
        elif element.required and element.primitive:
            both.append({"anyOf": [{"required": [element.name]}, {"required": [f"_{element.name}"]}]})
        elif element.required:
            required.append(element.name)
    for alike in choices.values():
        both.append(_one_of(alike))
    made["properties"] = properties
    if required:
        made["required"] = required
    if kind.name == "Extension":
        both.append({"oneOf": [{"required": ["extension"]}, _any_of(choices["value"])]})
    if both:
        made["allOf"] = both


def _beside(
    element: Element, properties: dict[str, Schema], both: list[Schema], definitions: dict[str, Schema]
) -> None:
    """The id and extensions of a primitive, and where a null may stand in a list of them."""
    extension = lookup("Extension")
    if extension is not None:
        _define(extension, definitions)
    definitions["Beside"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "extension": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Extension"}},
        },
    }
    one: Schema = {"$ref": "#/$defs/Beside"}
    if element.many:
        one = {"type": "array", "minItems": 1, "items": {"anyOf": [one, {"type": "null"}]}}
        holed = {"required": [element.name], "properties": {element.name: {"contains": {"type": "null"}}}}
        both.append({"if": holed, "then": {"required": [f"_{element.name}"]}})
    properties[f"_{element.name}"] = one


def _one_of(alike: list[Element]) -> Schema:
    """Exactly one of a choice, or at most one; a value and what stands beside it are the same one."""
    if any(one.required for one in alike):
        return {"allOf": [_any_of(alike), _at_most_one(alike)]}
    return _at_most_one(alike)


def _at_most_one(alike: list[Element]) -> Schema:
    apart = {}
    for one in alike:
        others = [name for other in alike if other is not one for name in (other.name, f"_{other.name}")]
        for name in (one.name, f"_{one.name}"):
            apart[name] = {"propertyNames": {"not": {"enum": others}}}
    return {"dependentSchemas": apart}


def _there(element: Element) -> Schema:
    if not element.primitive:
        return {"required": [element.name]}
    return {"anyOf": [{"required": [element.name]}, {"required": [f"_{element.name}"]}]}


def _any_of(alike: list[Element]) -> Schema:
    found = []
    for one in alike:
        found.append({"required": [one.name]})
        if one.primitive:
            found.append({"required": [f"_{one.name}"]})
    return {"anyOf": found}


def _element(element: Element, kind: Type, definitions: dict[str, Schema]) -> Schema:
    one = _one(element, kind, definitions)
    if not element.many:
        return one
    if element.primitive:
        one = {"anyOf": [one, {"type": "null"}]}
    return {"type": "array", "minItems": 1, "items": one}


def _one(element: Element, kind: Type, definitions: dict[str, Schema]) -> Schema:
    extra = bindings(kind.name).get(element.name, NOTHING)
    if element.kind == "resource":
        return {"type": "object", "required": ["resourceType"]}  # checked by the schema of its own type
    if element.primitive:
        if element.type == "code" and extra.codes:
            return {"enum": sorted(extra.codes)}
        if element.kind == "xhtml":
            return {"type": "string", "maxLength": LONGEST, "pattern": NARRATIVE, "not": {"pattern": ACTIVE}}
        return PRIMITIVES.get(element.type, ({"type": "string", "minLength": 1}, ""))[0]
    below = lookup(element.type)
    if below is None:
        return {"type": "object", "minProperties": 1}
    _define(below, definitions)
    one: Schema = {"$ref": f"#/$defs/{below.name}"}
    if element.type == "Reference" and extra.targets and "Resource" not in extra.targets:
        return {"allOf": [one, _target(extra.targets)]}
    return one


def _target(targets: frozenset[str]) -> Schema:
    """A reference names one of the types, or no type."""
    right, any_type = typed("|".join(sorted(targets))), typed("[A-Z][A-Za-z]+")
    return {
        "properties": {
            "reference": {"anyOf": [{"pattern": right}, {"not": {"pattern": any_type}}]},
            "type": {"enum": sorted(targets)},
        }
    }


def _overlay(node: Node, kind: Type, definitions: dict[str, Schema]) -> Schema:
    """What a node of a profile adds for a value of its kind; empty where it adds nothing."""
    made: Schema = {}
    properties: dict[str, Schema] = {}
    if node.again:
        definitions[f"{kind.name}-{id(node)}"] = made
    parts: list[Schema] = []
    for name, child in node.children.items():
        if name.endswith("[x]"):
            parts += _choice(child, [one for one in kind.elements.values() if one.choice == name[:-3]])
            continue
        element = kind.elements[name]
        if child.least and element.primitive:
            parts.append(_there(element))
        elif child.least:
            made.setdefault("required", []).append(name)
        if child.most == 0:
            properties |= {name: False, f"_{name}": False}  # type: ignore[dict-item]
            continue
        one = _value(child, element, definitions)
        if element.many:
            several: Schema = {"items": one} if one else {}
            several |= {"minItems": child.least} if child.least > 1 else {}
            several |= {"maxItems": child.most} if child.most is not None else {}
            slices = [_slice(slice_, element, definitions) for slice_ in child.slices.values()]
            one = several | ({"allOf": slices} if slices else {})
        if one:
            properties[name] = one
    for name in node.again:
        again: Schema = {"items": {"$ref": f"#/$defs/{kind.name}-{id(node)}"}}
        properties[name] = {"allOf": [again, properties[name]]} if name in properties else again
    if properties:
        made["properties"] = properties
    if parts:
        made["allOf"] = parts
    return made


def _value(node: Node, element: Element, definitions: dict[str, Schema]) -> Schema:
    below = lookup(element.type)
    parts = [_overlay(node, below, definitions)] if below is not None else []
    if node.fixed is not None:
        parts.append({"const": node.fixed})
    if node.pattern is not None:
        parts.append(_pattern(node.pattern))
    if node.binding is not None and node.binding.strength == "required":
        parts.append(_bound(node.binding.codes, element))
    parts += [dict(told) for one in node.constraints if (told := schema_of(one)) is not None]
    if node.targets and element.type == "Reference":
        parts.append(_target(node.targets))
    parts = [one for one in parts if one]
    return parts[0] if len(parts) == 1 else ({"allOf": parts} if parts else {})


def _slice(node: Node, element: Element, definitions: dict[str, Schema]) -> Schema:
    matched: Schema = {}
    for steps, pattern in node.match():
        matched = {"allOf": [matched, _at(steps, _pattern(pattern))]} if matched else _at(steps, _pattern(pattern))
    made: Schema = {}
    if node.least or node.most is not None:
        made = {"contains": matched, "minContains": node.least}
        made |= {"maxContains": node.most} if node.most is not None else {}
    if inner := _value(node, element, definitions):
        made["items"] = {"if": matched, "then": inner}
    return made


def _at(steps: tuple[str, ...], inner: Schema) -> Schema:
    for step in reversed(steps):
        inner = {"required": [step], "properties": {step: inner}}
    return inner


def _choice(node: Node, alike: list[Element]) -> list[Schema]:
    parts = [_any_of(alike)] if node.least else []
    for one in alike:
        if (node.kinds and one.type not in node.kinds) or node.most == 0:
            parts.append({"properties": {one.name: False, f"_{one.name}": False}})
        elif node.targets and one.type == "Reference":
            parts.append({"properties": {one.name: _target(node.targets)}})
    return parts


def _pattern(pattern: Any) -> Schema:
    if isinstance(pattern, dict):
        return {"required": sorted(pattern), "properties": {name: _pattern(one) for name, one in pattern.items()}}
    if isinstance(pattern, list):
        return {"allOf": [{"contains": _pattern(one)} for one in pattern]}
    return {"const": pattern}


def _bound(codes: Iterable[tuple[str, str]], element: Element) -> Schema:
    by_system: dict[str, list[str]] = {}
    for system, code in sorted(codes):
        by_system.setdefault(system, []).append(code)
    if element.type == "code":
        return {"enum": sorted(code for _, code in codes)}
    coding: Schema = {
        "required": ["system", "code"],
        "anyOf": [{"properties": {"system": {"const": s}, "code": {"enum": c}}} for s, c in by_system.items()],
    }
    bound = (
        coding if element.type == "Coding" else {"required": ["coding"], "properties": {"coding": {"contains": coding}}}
    )
    told = {"contains": {"properties": {"url": {"const": ABSENT}}}}
    absent = {
        "required": ["extension"],
        "properties": {"extension": told, "system": False, "code": False, "coding": False},
    }
    return {"anyOf": [bound, absent]}
