"""From the JSON form of a resource to XML, as text. https://hl7.org/fhir/R4/xml.html"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.fhir.elements import Element, Type, lookup, resource_type
from app.fhir.faults import shown
from app.fhir.lossless import number_text, root_name
from app.fhir.outcome import Fault
from app.fhir.xml_tree import FHIR, narrative

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


class Writer:
    """Writes one document. Each element begins on a line of its own if `pretty`."""

    def __init__(self, pretty: bool) -> None:
        self.pretty = pretty
        self.level = 0
        self.out: list[str] = []

    def document(self, resource: dict[str, Any]) -> bytes:
        place = root_name(resource)
        try:
            self._resource(resource, place, f' xmlns="{FHIR}"')
        except RecursionError:
            raise _unfit("nested too deep", place) from None
        return ('<?xml version="1.0" encoding="UTF-8"?>' + "".join(self.out) + ("\n" if self.pretty else "")).encode()

    def _resource(self, resource: Any, place: str, space: str = "") -> None:
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        kind = resource_type(name) if isinstance(name, str) else None
        if kind is None:
            raise _unfit("a resource of a type that is not known", place)
        self._open(f"{kind.name}{space}")
        self._children(resource, kind, place)
        self._close(kind.name)

    def _children(self, value: dict[str, Any], kind: Type, place: str) -> None:
        attributes = _attribute_names(kind)
        for name in value:
            element = kind.elements.get(name.removeprefix("_"))
            if element is None and not (name == "resourceType" and kind.resource):
                raise _unfit(f"the element {shown(name)} that XML has no place for", place)
            if element is not None and name.startswith("_") and (not element.primitive or name[1:] in attributes):
                raise _unfit(f"the element {shown(name)} that XML has no place for", place)
        for name, element in kind.elements.items():
            if name in attributes or (name not in value and "_" + name not in value):
                continue
            here = f"{place}.{name}"
            inner = value.get(name)
            if element.primitive:
                self._primitives(inner, value.get("_" + name), element, here)
            elif element.many:
                if not isinstance(inner, list):
                    raise _unfit("one value where a list belongs", here)
                for index, one in enumerate(inner):
                    self._inner(one, element, f"{here}[{index}]")
            else:
                self._inner(inner, element, here)

    def _inner(self, value: Any, element: Element, place: str) -> None:
        if not isinstance(value, dict):
            raise _unfit("a value where an object belongs", place)
        kind = None if element.kind == "resource" else lookup(element.type)
        attributes = "" if kind is None else _written(value, _attribute_names(kind), place)
        self._open(element.name + attributes)
        if kind is None:
            self._resource(value, place)
        else:
            self._children(value, kind, place)
        self._close(element.name)

    def _primitives(self, values: Any, beside: Any, element: Element, place: str) -> None:
        if not element.many:
            self._primitive(values, beside, element, place)
            return
        values = [] if values is None else values
        beside = [] if beside is None else beside
        if not isinstance(values, list) or not isinstance(beside, list):
            raise _unfit("one value where a list belongs", place)
        for index in range(max(len(values), len(beside))):
            value = values[index] if index < len(values) else None
            more = beside[index] if index < len(beside) else None
            self._primitive(value, more, element, f"{place}[{index}]")

    def _primitive(self, value: Any, beside: Any, element: Element, place: str) -> None:
        if element.kind == "xhtml":
            self._div(value, beside, place)
            return
        if beside is not None and not (isinstance(beside, dict) and beside.keys() <= {"id", "extension"}):
            raise _unfit("more than id and extension beside a value", place)
        said = {"value": _text(value, element, place)} if value is not None else {}
        more = beside or {}
        attributes = _written({**more, **said}, ("id", "value"), place)
        if not attributes and "extension" not in more:
            raise _unfit("no value", place)
        extensions = more.get("extension")
        if extensions is None:
            self._line(f"<{element.name}{attributes}/>")
            return
        if not isinstance(extensions, list):
            raise _unfit("one value where a list belongs", f"{place}.extension")
        self._open(element.name + attributes)
        for index, one in enumerate(extensions):
            self._inner(one, _EXTENSION, f"{place}.extension[{index}]")
        self._close(element.name)

    def _div(self, value: Any, beside: Any, place: str) -> None:
        div = narrative(value) if isinstance(value, str) and beside is None else None
        if div is None or _NOT_XML.search(div):
            raise _unfit("a narrative that is not XHTML", place)
        self._line(div)

    def _open(self, tag: str) -> None:
        self._line(f"<{tag}>")
        self.level += 1

    def _close(self, name: str) -> None:
        self.level -= 1
        self._line(f"</{name}>")

    def _line(self, text: str) -> None:
        self.out.append("\n" + "  " * self.level + text if self.pretty else text)


def _attribute_names(kind: Type) -> tuple[str, ...]:
    if kind.resource:
        return ()
    return ("id", "url") if kind.name == "Extension" else ("id",)


def _written(value: Mapping[str, Any], names: tuple[str, ...], place: str) -> str:
    said = ""
    for name in names:
        text = value.get(name)
        if text is None:
            continue
        if not isinstance(text, str) or _NOT_XML.search(text):
            raise _unfit("text with a character that XML cannot hold", f"{place}.{name}")
        said += f' {name}="{text.translate(_ESCAPES)}"'
    return said


def _text(value: Any, element: Element, place: str) -> str:
    if element.kind == "boolean":
        if isinstance(value, bool):
            return "true" if value else "false"
    elif element.kind == "number":
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            return number_text(value)
    elif isinstance(value, str):
        return value
    raise _unfit("a value of another kind than the element's", place)


def _unfit(what: str, place: str) -> Fault:
    return Fault("not-acceptable", f"{what}; expected application/fhir+json to be asked for", place or None)


_EXTENSION = Element("extension", "complex", "Extension", many=True, summary=False, required=False, choice="")
