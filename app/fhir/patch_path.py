"""Where a FHIRPath leads in a resource: https://hl7.org/fhir/R4/fhirpatch.html

FHIRPath yields values and a patch needs places, so the steps that lead to one are walked here: elements (a choice by its
common name), `[n]`, `where()`, `first()`, `last()`, `extension()`, `ofType()`. Only the criterion inside `where()` is a
whole expression, and that is given to the FHIRPath engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from app.fhir.elements import Element, Type, lookup
from app.fhir.outcome import Fault

MOST_CHARACTERS = 1000

_WORD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|`[A-Za-z_][A-Za-z0-9_]*`)")
_INDEX = re.compile(r"\[\s*([0-9]{1,6})\s*\]")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_TYPE = re.compile(r"\s*(?:FHIR\.)?`?([A-Za-z][A-Za-z0-9]*)`?\s*\Z")
_CALL = re.compile(r"([A-Za-z]\w*)\s*\(")

# What a criterion may call. Regular expressions and walks through everything take time out of proportion.
_ALLOWED = (
    "all allTrue as contains count empty endsWith exists extension first hasValue iif indexOf is last length lower not"
    " ofType single startsWith substring toString upper where"
)
CALLS = frozenset(_ALLOWED.split())

Step = tuple[str, Any]  # (name, argument): element, index, where, first, last, extension, ofType


@dataclass(frozen=True, slots=True)
class Place:
    """One value in a resource: `holder[key]`, or `holder[key][index]` where the element repeats."""

    holder: dict[str, Any]
    key: str
    index: int | None
    element: Element

    @property
    def value(self) -> Any:
        found = self.holder.get(self.key)
        if self.index is None:
            return found
        return found[self.index] if isinstance(found, list) and self.index < len(found) else None


@dataclass(frozen=True, slots=True)
class Node:
    """An object whose elements are known, and where it is; the resource itself is at no place."""

    content: dict[str, Any]
    type: Type
    place: Place | None = None


def beside(key: str) -> str:
    """The property that holds what extends a primitive."""
    return f"_{key}"


@lru_cache(maxsize=256)
def steps(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises Fault "invalid" for one that is not understood."""
    if len(path) > MOST_CHARACTERS:
        raise Fault("too-costly", f"the path is too long; expected at most {MOST_CHARACTERS} characters")
    found: list[Step] = []
    at = 0
    while True:
        word = _WORD.match(path, at)
        if word is None:
            raise _not_understood()
        name, at = word[1].strip("`"), word.end()
        if path[at : at + 1] == "(":
            inner, at = _argument(path, at)
            found.append(_function(name, inner))
        else:
            found.append(("element", name))
        while index := _INDEX.match(path, at):
            found.append(("index", int(index[1])))
            at = index.end()
        if at == len(path):
            return tuple(found)
        if path[at] != ".":
            raise _not_understood()
        at += 1


def walk(resource: dict[str, Any], path: tuple[Step, ...]) -> list[Place | Node]:
    """What the steps lead to: places, or the resource itself as the one Node without a place."""
    kind = lookup(str(resource.get("resourceType")))
    if kind is None:
        raise Fault("unprocessable", "the resource type is not known; expected one of FHIR R4")
    found: list[Place | Node] = [Node(resource, kind)]
    for number, (step, argument) in enumerate(path):
        if number == 0 and step == "element" and argument in (kind.name, "Resource", "DomainResource"):
            continue
        found = list(_step(found, step, argument))
    return found


def inside(found: Place | Node, *, make: bool = False) -> Node | None:
    """The object that holds the elements of what was found: itself, or what stands beside a primitive.

    With `make` the latter comes into being where there is none.
    """
    if isinstance(found, Node):
        return found
    if not found.element.primitive:
        value = found.value
        name = value.get("resourceType") if isinstance(value, dict) and found.element.kind == "resource" else None
        kind = lookup(str(name or found.element.type))
        return Node(value, kind, found) if isinstance(value, dict) and kind is not None else None
    content = _beside(found, make=make)
    return Node(content, _ELEMENT, found) if content is not None else None


def _step(found: list[Place | Node], step: str, argument: Any) -> Iterator[Place | Node]:
    match step:
        case "element":
            for one in found:
                node = inside(one)
                if node is not None:
                    yield from _children(node, argument)
        case "index":
            yield from found[argument : argument + 1]
        case "first":
            yield from found[:1]
        case "last":
            yield from found[-1:]
        case "extension":
            for one in found:
                node = inside(one)
                places = _children(node, "extension") if node is not None else ()
                yield from (place for place in places if place.value.get("url") == argument)
        case "ofType":
            yield from (one for one in found if isinstance(one, Place) and _is(one, argument))
        case _:
            yield from (one for one in found if _holds(argument, one))


def _children(node: Node, name: str) -> Iterator[Place]:
    for key, element in node.type.elements.items():
        if (name not in (key, element.choice)) or (key not in node.content and beside(key) not in node.content):
            continue
        if not element.many:
            yield Place(node.content, key, None, element)
            continue
        size = max(len(node.content.get(one) or ()) for one in (key, beside(key)))
        yield from (Place(node.content, key, index, element) for index in range(size))


def _is(place: Place, name: str) -> bool:
    value = place.value
    kind = value.get("resourceType") if isinstance(value, dict) and place.element.kind == "resource" else None
    return name == (kind or place.element.type)


def _holds(criterion: Callable[[Any], Any], one: Place | Node) -> bool:
    value = one.content if isinstance(one, Node) else one.value
    try:
        return bool(criterion(value) == [True])
    except Exception:  # the engine raises what it likes
        raise Fault("unprocessable", "the criterion in where() cannot be evaluated; expected a true or false") from None


def _function(name: str, inner: str) -> Step:
    text = _TEXT.fullmatch(inner.strip())
    kind = _TYPE.match(inner)
    if name in ("first", "last") and not inner.strip():
        return name, None
    if name == "where" and inner.strip():
        return name, _criterion(inner)
    if name == "extension" and text:
        return name, text[0][1:-1]
    if name in ("ofType", "as") and kind:
        return "ofType", kind[1]
    raise Fault(
        "invalid",
        "a function that no patch path may have; expected where, first, last, extension or ofType in the path",
    )


def _criterion(text: str) -> Callable[[Any], Any]:
    if set(_CALL.findall(_TEXT.sub("''", text))) - CALLS:
        raise Fault("invalid", f"a function that no where() may have here; expected one of {', '.join(sorted(CALLS))}")
    import fhirpathpy  # a fifth of a second, and most processes never patch

    try:
        if _is_expression(text):
            compiled: Callable[[Any], Any] = fhirpathpy.compile(text)  # type: ignore[assignment]
            return compiled
    except Exception:  # the parser raises what it likes
        pass
    raise _not_understood()


def _is_expression(text: str) -> bool:
    """Whether the whole text is FHIRPath: the engine itself passes over what it cannot read."""
    from antlr4 import CommonTokenStream, InputStream, Token
    from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
    from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

    lexer = FHIRPathLexer(InputStream(text))
    lexer.removeErrorListeners()
    tokens = CommonTokenStream(lexer)
    parser = FHIRPathParser(tokens)
    parser.removeErrorListeners()
    parser.expression()
    return bool(parser.getNumberOfSyntaxErrors() == 0 and tokens.LA(1) == Token.EOF)


def _argument(path: str, at: int) -> tuple[str, int]:
    """What stands between the bracket at `at` and the one that closes it, and where the path goes on."""
    depth, begin = 0, at + 1
    while at < len(path):
        if path[at] == "'":
            text = _TEXT.match(path, at)
            if text is None:
                break
            at = text.end()
            continue
        depth += {"(": 1, ")": -1}.get(path[at], 0)
        at += 1
        if depth == 0:
            return path[begin : at - 1], at
    raise _not_understood()


def _beside(place: Place, *, make: bool) -> dict[str, Any] | None:
    key = beside(place.key)
    if place.index is None:
        if make and not isinstance(place.holder.get(key), dict):
            place.holder[key] = {}
        content = place.holder.get(key)
    else:
        if make and not isinstance(place.holder.get(key), list):
            place.holder[key] = [None] * len(place.holder.get(place.key) or ())
        row = place.holder.get(key) or []
        if make and place.index < len(row) and row[place.index] is None:
            row[place.index] = {}
        content = row[place.index] if place.index < len(row) else None
    return content if isinstance(content, dict) else None


def _not_understood() -> Fault:
    return Fault("invalid", "the path is not understood; expected a FHIRPath like Patient.name[0].given")


def _element_alone() -> Type:
    extension = lookup("Extension")
    assert extension is not None
    kept = {name: extension.elements[name] for name in ("id", "extension")}
    return Type("Element", False, False, MappingProxyType(kept))


_ELEMENT = _element_alone()
