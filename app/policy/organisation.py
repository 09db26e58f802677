"""Organisations: their keys, and who counts as whom (P7).

A site and its trust count as each other; siblings only through the parent trust; an integrated care board never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.identifier import ODS_ORGANISATION, ODS_SITE

ODS_SYSTEMS = frozenset({ODS_ORGANISATION, "https://fhir.nhs.uk/Id/ods-organisation-code", ODS_SITE})

# Commissioning bodies answer for many trusts and treat nobody: they join no tree.
COMMISSIONERS = frozenset({"RO261", "RO318", "RO98", "RO209", "RO210", "icb", "ICB", "govt", "ins", "pay"})

SUCCESSOR = "organization-successor"


@dataclass(frozen=True, slots=True)
class Entry:
    """One Organization as the tree needs it. `parent` and `successor` are keys."""

    key: str
    parent: str | None = None
    kinds: frozenset[str] = frozenset()
    successor: str | None = None


def key_from(system: str | None, value: str | None) -> str | None:
    """`ods:CODE` in its one canonical form, when the system is one of ODS."""
    code = (value or "").strip().upper()
    return f"ods:{code}" if system in ODS_SYSTEMS and code else None


def key_of(resource: Mapping[str, Any]) -> str:
    """The key of an Organization resource: its ODS code, else its id."""
    for identifier in resource.get("identifier") or ():
        if isinstance(identifier, dict) and (key := key_from(identifier.get("system"), identifier.get("value"))):
            return key
    return f"Organization/{resource.get('id')}"


def questions(reference: Mapping[str, Any]) -> Iterator[str]:
    """What to ask a resolver to learn the key of the organisation that a Reference names, best first."""
    text = reference.get("reference")
    if isinstance(text, str) and text.startswith("Organization/"):
        yield "/".join(text.split("/")[:2])
    identifier = reference.get("identifier")
    if isinstance(identifier, dict):
        yield f"identifier:{identifier.get('system', '')}|{identifier.get('value', '')}"


def entry_of(resource: Mapping[str, Any], resolve: Callable[[str], str | None]) -> Entry:
    """The tree's entry for an Organization resource."""
    kinds = {
        str(coding.get("code"))
        for concept in resource.get("type") or ()
        for coding in concept.get("coding") or ()
        if isinstance(coding, dict)
    }
    successors = [
        extension.get("valueReference") or {}
        for extension in resource.get("extension") or ()
        if str(extension.get("url", "")).endswith(SUCCESSOR)
    ]
    return Entry(
        key_of(resource),
        _first(resource.get("partOf") or {}, resolve),
        frozenset(kinds),
        _first(successors[0], resolve) if successors else None,
    )


def _first(reference: Mapping[str, Any], resolve: Callable[[str], str | None]) -> str | None:
    return next((key for asked in questions(reference) if (key := resolve(asked))), None)


def tree(entries: Iterable[Entry], key: str) -> frozenset[str]:
    """The keys that count as the organisation `key`: itself, what it succeeds, its sites below, its trust above.

    What it succeeds brings its sites, but not the trust that was above it; a commissioning body is itself alone.
    """
    listed = list(entries)
    by_key = {entry.key: entry for entry in listed}
    children: dict[str, set[str]] = {}
    predecessors: dict[str, set[str]] = {}
    for entry in listed:
        if entry.parent:
            children.setdefault(entry.parent, set()).add(entry.key)
        if entry.successor:
            predecessors.setdefault(entry.successor, set()).add(entry.key)
    if key in by_key and by_key[key].kinds & COMMISSIONERS:
        return frozenset({key})
    start = {key} | _reach({key}, predecessors)
    below = _reach(start, {k: children.get(k, set()) | predecessors.get(k, set()) for k in children | predecessors})
    return frozenset(start | below | set(_ancestors(by_key, key)))


def ancestors(entries: Iterable[Entry], key: str) -> frozenset[str]:
    """The organisations that a choice may name and mean `key`: those above it, and those that it succeeds with those
    above them (a refusal of sharing with a trust is not undone by its merger). Commissioners are left out."""
    listed = list(entries)
    by_key = {entry.key: entry for entry in listed}
    predecessors: dict[str, set[str]] = {}
    for entry in listed:
        if entry.successor:
            predecessors.setdefault(entry.successor, set()).add(entry.key)
    found: set[str] = set()
    pending = {key}
    while pending:
        one = pending.pop()
        more = (set(_ancestors(by_key, one)) | predecessors.get(one, set())) - found - {key}
        found |= more
        pending |= more
    return frozenset(found)


def _ancestors(by_key: Mapping[str, Entry], key: str) -> Iterator[str]:
    seen = {key}
    entry = by_key.get(key)
    while entry is not None and entry.parent and entry.parent not in seen:
        parent = by_key.get(entry.parent)
        if parent is None or parent.kinds & COMMISSIONERS:
            return
        seen.add(entry.parent)
        yield entry.parent
        entry = parent


def _reach(start: set[str], edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = list(start)
    while pending:
        for nxt in edges.get(pending.pop(), ()):
            if nxt not in found:
                found.add(nxt)
                pending.append(nxt)
    return found


def components(edges: Mapping[int, set[int]]) -> list[set[int]]:
    """The connected groups of a graph given as node -> neighbours, directions ignored."""
    both: dict[int, set[int]] = {}
    for node, others in edges.items():
        both.setdefault(node, set())
        for other in others:
            both[node].add(other)
            both.setdefault(other, set()).add(node)
    groups, seen = [], set()
    for node in both:
        if node in seen:
            continue
        group, pending = set(), [node]
        while pending:
            current = pending.pop()
            if current not in group:
                group.add(current)
                pending.extend(both[current] - group)
        seen |= group
        groups.append(group)
    return groups


def has_cycle(edges: Mapping[int, set[int]]) -> bool:
    """Whether following the edges can come back to where it started."""
    done: set[int] = set()
    for start in edges:
        path: list[tuple[int, list[int]]] = [(start, list(edges.get(start, ())))]
        on_path = {start}
        while path:
            node, rest = path[-1]
            if rest:
                nxt = rest.pop()
                if nxt in on_path:
                    return True
                if nxt not in done:
                    on_path.add(nxt)
                    path.append((nxt, list(edges.get(nxt, ()))))
            else:
                done.add(node)
                on_path.discard(node)
                path.pop()
    return False
