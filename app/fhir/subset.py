"""Parts of a resource: what redaction takes away, and what `_summary` and `_elements` leave.

https://hl7.org/fhir/R4/search.html#summary and #elements. A part is marked SUBSETTED, so that nobody takes it for the
whole and writes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from app.fhir.elements import Type, lookup, resource_type
from app.fhir.lossless import dump, reload

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}

_ALWAYS = frozenset(("resourceType", "id", "meta"))


def without(content: bytes, elements: Sequence[str], *, tag: bool = True) -> bytes:
    """The stored resource less `elements`, dotted paths that go through lists: `endpoint`, `series.endpoint`.

    A last step may choose among the entries of a list: `identifier[system=urn:dicom:uid]`. What becomes empty goes
    too. Marked SUBSETTED if anything was taken and `tag`.
    """
    resource = reload(content)
    taken = [_take(resource, steps) for steps in _steps(tuple(elements))]
    if not any(taken):
        return content
    return dump(_marked(resource) if tag else resource)


def pick(content: bytes, elements: Iterable[str]) -> bytes:
    """The stored resource with only the top-level `elements`, the mandatory ones, `id` and `meta`.

    A choice is named with its type or without: `deceased` keeps `deceasedBoolean`.
    """
    resource = reload(content)
    kind = resource_type(str(resource.get("resourceType")))
    wanted = set(elements) | _ALWAYS
    if kind is not None:
        wanted |= {one.name for one in kind.elements.values() if one.required or (one.choice and one.choice in wanted)}
    return dump(_marked({name: value for name, value in resource.items() if name.removeprefix("_") in wanted}))


def summarise(content: bytes, mode: str) -> bytes:
    """The stored resource as `_summary` asks: `true`, `text` or `data`; as it is for anything else."""
    if mode == "text":
        return pick(content, ("text",))
    if mode == "data":
        resource = reload(content)
        resource.pop("text", None)
        return dump(_marked(resource))
    if mode == "true":
        resource = reload(content)
        kind = resource_type(str(resource.get("resourceType")))
        return dump(_marked(resource if kind is None else _summary(resource, kind)))
    return content


class _Step(NamedTuple):
    name: str
    key: str  # of the filter, empty for none
    value: str


@lru_cache(maxsize=256)
def _steps(elements: tuple[str, ...]) -> tuple[tuple[_Step, ...], ...]:
    """Each path as steps. The filter is cut off first: its value may hold dots."""
    found = []
    for path in elements:
        path, _, condition = path.partition("[")
        key, _, value = condition.removesuffix("]").partition("=")
        *outer, last = path.split(".")
        found.append((*(_Step(name, "", "") for name in outer), _Step(last, key, value)))
    return tuple(found)


def _take(node: Any, steps: tuple[_Step, ...]) -> bool:
    """Take out of `node` what stands at `steps`; whether anything did."""
    taken = False
    if isinstance(node, list):
        for one in node:
            taken = _take(one, steps) or taken
        return taken
    if not isinstance(node, dict):
        return False
    step, rest = steps[0], steps[1:]
    if rest:
        taken = _take(node.get(step.name), rest)
    elif step.key:
        inner = node.get(step.name)
        if isinstance(inner, list):
            left = [one for one in inner if not _chosen(one, step)]
            taken = len(left) < len(inner)
            inner[:] = left
    else:
        had = node.pop(step.name, None), node.pop("_" + step.name, None)
        return any(value is not None for value in had)
    if taken:
        _tidy(node, step.name)
    return taken


def _chosen(one: Any, step: _Step) -> bool:
    return isinstance(one, dict) and one.get(step.key) == step.value


def _tidy(node: dict[str, Any], name: str) -> None:
    """FHIR has no empty list or object: what is empty now goes."""
    inner = node.get(name)
    if isinstance(inner, list):
        inner[:] = [one for one in inner if one != {}]
    if inner in ([], {}):
        del node[name]


def _marked(resource: dict[str, Any]) -> dict[str, Any]:
    meta = resource.get("meta")
    if not isinstance(meta, dict):
        meta = {}
        rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
        first: dict[str, Any] = {name: resource[name] for name in ("resourceType", "id") if name in resource}
        resource = {**first, "meta": meta, **rest}
    tags = meta.setdefault("tag", [])
    if not any(isinstance(tag, dict) and tag.get("code") == SUBSETTED["code"] for tag in tags):
        tags.append(dict(SUBSETTED))
    return resource


def _summary(value: dict[str, Any], kind: Type) -> dict[str, Any]:
    kept = {}
    for name, inner in value.items():
        element = kind.elements.get(name.removeprefix("_"))
        if name not in ("resourceType", "id") and (element is None or not (element.summary or element.required)):
            continue
        part = lookup(element.type) if element is not None and element.kind == "complex" else None
        if part is not None and part.backbone and _flagged(part):
            inner = _summaries(inner, part)
        kept[name] = inner
    return kept


def _summaries(inner: Any, part: Type) -> Any:
    if isinstance(inner, list):
        return [_summary(one, part) if isinstance(one, dict) else one for one in inner]
    return _summary(inner, part) if isinstance(inner, dict) else inner


def _flagged(part: Type) -> bool:
    """Whether the summary chooses among the elements of a backbone; where it flags none, it means all of them."""
    return any(one.summary or one.required for one in part.elements.values() if one.name != "modifierExtension")
