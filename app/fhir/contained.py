"""Resources inside a resource, and references to them: https://hl7.org/fhir/R4/references.html#contained (`ref-1`,
`dom-2` to `dom-5`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.fhir.outcome import Issue
from app.fhir.resource import dump


def faults(resource: dict[str, Any]) -> Iterator[Issue]:
    """What the resource as a whole gets wrong about what it contains."""
    if "contained" not in resource and not _refers_inside(resource):
        return
    name = str(resource.get("resourceType"))
    contained = [one for one in resource.get("contained") or () if isinstance(one, dict)]
    ids = {one.get("id") for one in contained}
    named: set[str] = set()
    fragments: list[tuple[str, str, int | None]] = []
    _gather(resource, name, None, named, fragments)
    for place, text, inside in fragments:
        if text != "#" and text[1:] not in ids:
            yield Issue(
                "invariant",
                "a reference to a contained resource that is not there; expected the id of one (ref-1)",
                place,
            )
        elif text == "#" and inside is None:
            yield Issue("invariant", "a reference to the resource itself; expected one to another (ref-1)", place)
    up = {inside for _, text, inside in fragments if text == "#"}
    for number, one in enumerate(contained):
        place = f"{name}.contained[{number}]"
        if "contained" in one:
            yield Issue(
                "invariant",
                "a contained resource that contains others; expected them beside it (dom-2)",
                f"{place}.contained",
            )
        if "id" not in one or (f"#{one['id']}" not in named and number not in up):
            yield Issue(
                "invariant", "a contained resource to which nothing refers; expected a reference to it (dom-3)", place
            )
        meta = one.get("meta") or {}
        if isinstance(meta, dict) and meta.keys() & {"versionId", "lastUpdated"}:
            yield Issue(
                "invariant", "a contained resource with a version of its own; expected none (dom-4)", f"{place}.meta"
            )
        if isinstance(meta, dict) and "security" in meta:
            yield Issue(
                "invariant",
                "a contained resource with a security label of its own; expected it on the resource (dom-5)",
                f"{place}.meta.security",
            )


def _refers_inside(node: dict[str, Any]) -> bool:
    """Whether any reference is to a contained resource."""
    return b'"reference":"#' in dump(node)


def _gather(
    node: Any, place: str, inside: int | None, named: set[str], fragments: list[tuple[str, str, int | None]]
) -> None:
    if isinstance(node, dict):
        for name, inner in node.items():
            if isinstance(inner, str):
                if inner[:1] == "#":
                    named.add(inner)
                    if name == "reference":
                        fragments.append((f"{place}.reference", inner, inside))
            elif isinstance(inner, (dict, list)):
                _gather(inner, f"{place}.{name}", inside, named, fragments)
    else:
        direct = inside is None and place.endswith(".contained") and place.count(".") == 1
        for number, inner in enumerate(node):
            if isinstance(inner, (dict, list)):
                _gather(inner, f"{place}[{number}]", number if direct else inside, named, fragments)
            elif isinstance(inner, str) and inner[:1] == "#":
                named.add(inner)
