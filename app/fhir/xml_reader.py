"""From a tree of XML elements to the JSON form of a resource. https://hl7.org/fhir/R4/json.html#primitive"""

from __future__ import annotations

from typing import Any

from app.fhir import lossless
from app.fhir.elements import Element, Type, lookup, resource_type
from app.fhir.faults import nearest, shown
from app.fhir.outcome import Fault
from app.fhir.xml_tree import FHIR, XHTML, Node

_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_IGNORED = frozenset((f"{_SCHEMA} schemaLocation", f"{_SCHEMA} noNamespaceSchemaLocation"))
_PRIMITIVE = frozenset(("id", "value"))


def resource_of(node: Node, max_depth: int) -> dict[str, Any]:
    """The resource whose element is `node`."""
    resource = _resource(node, node.name)
    if lossless.depth(resource) > max_depth:
        raise Fault("too-costly", f"nested too deep; expected at most {max_depth} levels in JSON")
    return resource


def _resource(node: Node, place: str) -> dict[str, Any]:
    kind = resource_type(node.name) if node.namespace == FHIR else None
    if kind is None:
        what = f"the element {shown(node.name)} is no resource"
        if node.namespace != FHIR:
            what = f'the element {shown(node.name)} is not in the namespace "{FHIR}"'
        raise _wrong(node, "", f"{what}; expected a resource type")
    _attributes(node, place, frozenset())
    return {"resourceType": kind.name, **_children(node, kind, place)}


def _complex(node: Node, kind: Type, place: str) -> dict[str, Any]:
    _attributes(node, place, frozenset(("id", "url") if kind.name == "Extension" else ("id",)))
    made: dict[str, Any] = {name: node.attributes[name] for name in ("id", "url") if name in node.attributes}
    made.update(_children(node, kind, place))
    if not made:
        raise _wrong(node, place, "the element is empty; expected content")
    return made


def _children(node: Node, kind: Type, place: str) -> dict[str, Any]:
    groups: dict[str, list[Node]] = {}
    for child in node.children:
        groups.setdefault(child.name, []).append(child)
    made: dict[str, Any] = {}
    for name, nodes in groups.items():
        element = _element(nodes[0], name, kind, place)
        for one in nodes:
            if one.namespace != (XHTML if element.kind == "xhtml" else FHIR):
                raise _wrong(one, place, f"the element {shown(name)} is in another namespace; expected that of FHIR")
        if not element.many and len(nodes) > 1:
            raise _wrong(nodes[1], place, f"the element {shown(name)} is given {len(nodes)} times; expected it once")
        here = f"{place}.{name}"
        if element.primitive:
            _primitives(made, nodes, element, here)
        else:
            read = [_inner(one, element, f"{here}[{at}]" if element.many else here) for at, one in enumerate(nodes)]
            made[name] = read if element.many else read[0]
    return made


def _element(node: Node, name: str, kind: Type, place: str) -> Element:
    element = kind.elements.get(name)
    attribute = not kind.resource and (name == "id" or (name == "url" and kind.name == "Extension"))
    if element is None or attribute:
        expected = "expected it as an attribute" if attribute else nearest(name, kind.elements)
        raise _wrong(node, place, f"the element {shown(name)} is not known here; {expected}")
    return element


def _inner(node: Node, element: Element, place: str) -> dict[str, Any]:
    if element.kind == "resource":
        _attributes(node, place, frozenset())
        if len(node.children) != 1:
            raise _wrong(node, place, f"{len(node.children)} resources in one element; expected exactly one")
        return _resource(node.children[0], place)
    kind = lookup(element.type)
    if kind is None:
        raise _wrong(node, place, "the element's type is not known; expected one of FHIR R4")
    return _complex(node, kind, place)


def _primitives(made: dict[str, Any], nodes: list[Node], element: Element, place: str) -> None:
    read = []
    for index, node in enumerate(nodes):
        here = f"{place}[{index}]" if element.many else place
        read.append((node.raw, None) if element.kind == "xhtml" else _primitive(node, element, here))
    values, beside = [value for value, _ in read], [more for _, more in read]
    name = element.name
    if any(value is not None for value in values):
        made[name] = values if element.many else values[0]
    if any(more is not None for more in beside):
        made["_" + name] = beside if element.many else beside[0]


def _primitive(node: Node, element: Element, place: str) -> tuple[Any, dict[str, Any] | None]:
    """A primitive's value, and what stands beside it: its id and extensions."""
    _attributes(node, place, _PRIMITIVE)
    beside: dict[str, Any] = {"id": node.attributes["id"]} if "id" in node.attributes else {}
    extension = lookup("Extension")
    for index, child in enumerate(node.children):
        if child.name != "extension" or child.namespace != FHIR or extension is None:
            raise _wrong(child, place, f"the element {shown(child.name)} in a primitive; expected extensions only")
        beside.setdefault("extension", []).append(_complex(child, extension, f"{place}.extension[{index}]"))
    text = node.attributes.get("value")
    if text is None:
        if not beside:
            raise _wrong(node, place, "no value; expected a value or an extension")
        return None, beside
    return _value(node, text, element, place), beside or None


def _value(node: Node, text: str, element: Element, place: str) -> Any:
    if element.kind == "boolean":
        if text not in ("true", "false"):
            raise _wrong(node, place, "not a boolean; expected true or false")
        return text == "true"
    if element.kind == "number":
        number = lossless.number(text)
        if number is None:
            raise _wrong(node, place, "not a number; expected one like 12 or 1.50")
        return number
    return text


def _attributes(node: Node, place: str, allowed: frozenset[str]) -> None:
    for name, value in node.attributes.items():
        if name in _IGNORED:
            continue
        if name not in allowed:
            raise _wrong(node, place, f"the attribute {shown(name)} is not known here; {nearest(name, allowed)}")
        if not value:
            raise _wrong(node, place, f"the attribute {shown(name)} is empty; expected a value or none")


def _wrong(node: Node, place: str, text: str) -> Fault:
    what, _, expected = text.partition("; ")
    return Fault("structure", f"{what}, at line {node.line}; {expected}", place or None)
