"""FHIRPath Patch: https://hl7.org/fhir/R4/fhirpatch.html. add, insert, delete, replace and move, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from app.fhir.elements import Element, Type, lookup
from app.fhir.outcome import Fault
from app.fhir.patch import MOST_OPERATIONS
from app.fhir.patch_path import Node, Place, beside, inside, steps, walk

MOST_DEPTH = 20

# operation: the parts it needs beside `type` and `path`. https://hl7.org/fhir/R4/fhirpatch.html#concept
NEEDED = {
    "add": ("name", "value"),
    "insert": ("index", "value"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `value` is the part that holds it, as it came."""

    kind: str
    path: str
    name: str = ""
    index: int = 0
    source: int = 0
    destination: int = 0
    value: dict[str, Any] | None = None


def fhirpath_patch(resource: dict[str, Any], parameters: Any) -> dict[str, Any]:
    """The resource with the operations applied; the given one stays as it is.

    Raises Fault "invalid" for what is no patch, "unprocessable" where an operation cannot be applied, naming it.
    """
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise Fault("invalid", "not a FHIRPath Patch; expected a Parameters resource", "resourceType")
    given = parameters.get("parameter", [])
    if not isinstance(given, list):
        raise Fault("invalid", "parameter is not a list; expected a list of operations", "Parameters.parameter")
    if len(given) > MOST_OPERATIONS:
        raise Fault("too-costly", f"more than {MOST_OPERATIONS} operations; expected fewer", "Parameters.parameter")
    changed = deepcopy(resource)
    for number, one in enumerate(given):
        try:
            operation = _read(one)
            _APPLY[operation.kind](changed, operation)
        except Fault as fault:
            place = f"Parameters.parameter[{number}]"
            raise Fault(fault.kind, fault.text, place) from None
        changed = _pruned(changed)
    return changed


def _read(parameter: Any) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise Fault("invalid", "not an operation; expected a parameter with the name operation and its parts")
    parts: dict[str, dict[str, Any]] = {}
    for part in parameter.get("part") or ():
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name in parts:
            raise Fault("invalid", "a part without a name, or one given twice; expected each once")
        parts[name] = part
    kind = _text(parts, "type")
    if kind not in NEEDED:
        raise Fault("invalid", f"the type of operation is not known; expected {', '.join(NEEDED)}")
    wanted = NEEDED[kind]
    if "value" in wanted and "value" not in parts:
        raise Fault("invalid", f"the part value is missing; expected one with {kind}")
    return Operation(
        kind,
        _text(parts, "path"),
        name=_text(parts, "name") if "name" in wanted else "",
        value=parts.get("value"),
        **{name: _number(parts, name) for name in ("index", "source", "destination") if name in wanted},
    )


def _text(parts: dict[str, dict[str, Any]], name: str) -> str:
    value = next((value for key, value in parts.get(name, {}).items() if key.startswith("value")), None)
    if not isinstance(value, str) or not value:
        raise Fault("invalid", f"the part {name} is missing or no text; expected one")
    return value


def _number(parts: dict[str, dict[str, Any]], name: str) -> int:
    value = next((value for key, value in parts.get(name, {}).items() if key.startswith("value")), None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Fault("invalid", f"the part {name} is missing or no index; expected a whole number from 0")
    return value


# The operations --------------------------------------------------------------------------------------------------


def _add(resource: dict[str, Any], operation: Operation) -> None:
    found = _single(resource, operation.path)
    node = inside(found, make=isinstance(found, Place) and operation.name in ("id", "extension"))
    if node is None:
        raise Fault("unprocessable", "nothing can be added to this element; expected an object")
    key, element = _named(node, operation)
    value, extra = _value(operation.value, element, 0)
    if element.many:
        _put_in(node.content, key, element, max(_sizes(node.content, key)), value, extra)
    elif _there(node, operation.name):
        raise Fault("unprocessable", "the element is there already and does not repeat; expected replace")
    else:
        _set(node.content, key, value, extra)


def _insert(resource: dict[str, Any], operation: Operation) -> None:
    node, key, element = _list(resource, operation.path)
    if operation.index > max(_sizes(node.content, key)):
        raise Fault("unprocessable", "the index is beyond the end of the list; expected at most its length")
    value, extra = _value(operation.value, element, 0)
    _put_in(node.content, key, element, operation.index, value, extra)


def _delete(resource: dict[str, Any], operation: Operation) -> None:
    found = walk(resource, steps(operation.path))
    if not found:
        return
    place = _place(_one(found))
    if place.index is None:
        place.holder.pop(place.key, None)
        place.holder.pop(beside(place.key), None)
        return
    for row in _rows(place.holder, place.key):
        if place.index < len(row):
            del row[place.index]


def _replace(resource: dict[str, Any], operation: Operation) -> None:
    place = _place(_single(resource, operation.path))
    key, element = place.key, place.element
    if element.choice and operation.value is not None:
        suffix = _suffix(operation.value)
        key = f"{element.choice}{suffix}" if suffix else key
    value, extra = _value(operation.value, element, 0)
    if place.index is not None:
        place.holder.setdefault(key, [])
        if extra is not None or beside(key) in place.holder:
            place.holder.setdefault(beside(key), [])
        for row, item in zip(_rows(place.holder, key), (value, extra), strict=False):
            row += [None] * (place.index + 1 - len(row))
            row[place.index] = item
        return
    place.holder.pop(beside(place.key), None)
    kept = list(place.holder.items())
    place.holder.clear()
    for name, old in kept:  # the element keeps its place among the others
        if name == place.key:
            _set(place.holder, key, value, extra)
        else:
            place.holder[name] = old
    if key not in place.holder:
        _set(place.holder, key, value, extra)


def _move(resource: dict[str, Any], operation: Operation) -> None:
    node, key, _ = _list(resource, operation.path)
    size = max(_sizes(node.content, key))
    if operation.source >= size or operation.destination >= size:
        raise Fault("unprocessable", "source or destination is beyond the list; expected places in it")
    for row in _rows(node.content, key):
        row += [None] * (size - len(row))
        row.insert(operation.destination, row.pop(operation.source))


_APPLY: dict[str, Callable[[dict[str, Any], Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


# Where ------------------------------------------------------------------------------------------------------------


def _single(resource: dict[str, Any], path: str) -> Place | Node:
    found = walk(resource, steps(path))
    if not found:
        raise Fault("unprocessable", "the path leads nowhere in the resource; expected one element")
    return _one(found)


def _one(found: list[Place | Node]) -> Place | Node:
    if len(found) > 1:
        raise Fault("unprocessable", f"the path leads to {len(found)} elements; expected one")
    return found[0]


def _place(found: Place | Node) -> Place:
    if isinstance(found, Node):
        raise Fault("unprocessable", "the path leads to the resource itself; expected an element of it")
    return found


def _list(resource: dict[str, Any], path: str) -> tuple[Node, str, Element]:
    """The list that a path names: its holder, its key, and what it repeats."""
    *before, (step, name) = steps(path)
    if step != "element":
        raise Fault("invalid", "the path does not end with an element; expected the name of a list, without an index")
    found = walk(resource, tuple(before))
    if not found:
        raise Fault("unprocessable", "the path leads nowhere in the resource; expected a list")
    node = inside(_one(found))
    element = node.type.elements.get(name) if node is not None else None
    if node is None or element is None or not element.many:
        raise Fault("unprocessable", "the path names no list; expected an element that repeats")
    return node, name, element


def _known(name: str) -> Type:
    found = lookup(name)
    if found is None:
        raise Fault("unprocessable", "the type is not known; expected one of FHIR R4")
    return found


def _named(node: Node, operation: Operation) -> tuple[str, Element]:
    """The element that is to be added, and its name in JSON: a choice is named by the type of its value."""
    name = operation.name.removesuffix("[x]")
    suffix = _suffix(operation.value or {})
    for key in (name, f"{name}{suffix}"):
        element = node.type.elements.get(key)
        if element is not None and (key == name or element.choice == name):
            return key, element
    raise Fault("unprocessable", f"the element is not known in {node.type.name}; expected one that its type has")


def _there(node: Node, name: str) -> bool:
    name = name.removesuffix("[x]")
    element = node.type.elements.get(name)
    choice = element.choice if element is not None and element.choice else name
    return any(
        choice in (key, one.choice) and (key in node.content or beside(key) in node.content)
        for key, one in node.type.elements.items()
    )


# What -------------------------------------------------------------------------------------------------------------


def _suffix(part: dict[str, Any]) -> str:
    """`Quantity` of a part with a valueQuantity."""
    return next((key.removeprefix("_").removeprefix("value") for key in part if "value" in key[:6]), "")


def _value(part: Any, element: Element, depth: int) -> tuple[Any, Any]:
    """The value in a part, and what stands beside it where it is a primitive with an id or extensions."""
    if not isinstance(part, dict) or depth > MOST_DEPTH:
        raise Fault(
            "invalid", f"a value that is no part or is nested deeper than {MOST_DEPTH}; expected value[x] or parts"
        )
    if "resource" in part:
        return part["resource"], None
    if part.get("part"):
        return _anonymous(part["part"], element, depth), None
    key = f"value{_suffix(part)}"
    value, extra = part.get(key), part.get(beside(key))
    if value in (None, {}, [], "") and extra in (None, {}):
        raise Fault("invalid", "the value is missing or empty; expected value[x] or parts")
    return value, extra


def _anonymous(parts: Any, element: Element, depth: int) -> dict[str, Any]:
    """A value whose type has no name: each part is one of its elements, fhirpatch.html#concept."""
    kind = _known(element.type)
    made: dict[str, Any] = {}
    for part in parts if isinstance(parts, list) else ():
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise Fault("invalid", "a part without a name; expected that of an element")
        key, inner = _named(Node(made, kind), Operation("add", "", name, value=part))
        value, extra = _value(part, inner, depth + 1)
        if inner.many:
            _put_in(made, key, inner, max(_sizes(made, key)), value, extra)
        elif key in made or beside(key) in made:
            raise Fault("invalid", "an element that does not repeat is given twice; expected it once")
        else:
            _set(made, key, value, extra)
    return made


# Lists whose items have two halves, https://hl7.org/fhir/R4/json.html#primitive ----------------------------------------


def _rows(holder: dict[str, Any], key: str) -> list[list[Any]]:
    return [holder[name] for name in (key, beside(key)) if isinstance(holder.get(name), list)]


def _sizes(holder: dict[str, Any], key: str) -> list[int]:
    return [0, *(len(row) for row in _rows(holder, key))]


def _set(holder: dict[str, Any], key: str, value: Any, extra: Any) -> None:
    if value is not None:
        holder[key] = value
    if extra is not None:
        holder[beside(key)] = extra


def _put_in(holder: dict[str, Any], key: str, element: Element, index: int, value: Any, extra: Any) -> None:
    size = max(_sizes(holder, key))
    for name, item in ((key, value), (beside(key), extra)):
        if name == key or (element.primitive and (item is not None or name in holder)):
            row = holder.setdefault(name, [])
            row += [None] * (size - len(row))
            row.insert(index, item)


def _pruned(value: Any) -> Any:
    """Without what a deletion left empty: FHIR has no empty object and no empty list."""
    if isinstance(value, list):
        return [one for one in map(_pruned, value) if one != {}]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, inner in value.items():
        if name.startswith("_") and isinstance(inner, list):
            inner = [_pruned(one) or None for one in inner]  # what is beside another item keeps its place
        else:
            inner = _pruned(inner)
        if inner != {} and not (isinstance(inner, list) and all(one is None for one in inner)):
            made[name] = inner
    return made
