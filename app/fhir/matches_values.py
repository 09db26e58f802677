"""The values of a search parameter in a resource, found the plain way: path by path, element by element.

Written apart from the index, so that the two can be held against each other. https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from math import isfinite
from typing import Any

from app.fhir.identifier import bare_uid, canonical, canonical_system
from app.fhir.query import Param
from app.fhir.reference import place
from app.fhir.temporal import interval

Span = tuple[float | int | None, float | int | None]

NAME = ("text", "family", "given", "prefix", "suffix")
ADDRESS = ("text", "line", "city", "district", "state", "postalCode", "country")


def walk(resource: Any, path: str) -> Iterator[Any]:
    """The elements at a path; a list stands for each of its items."""
    path, _, condition = path.partition("[")
    found = [resource]
    for name in path.split("."):
        inner = [element.get(name) for element in found if isinstance(element, dict)]
        found = list(chain.from_iterable(one if isinstance(one, list) else [one] for one in inner))
    name, _, value = condition.rstrip("]").partition("=")
    for element in found:
        if element is not None and (not condition or (isinstance(element, dict) and element.get(name) == value)):
            yield element


def _each(resource: dict[str, Any], param: Param) -> Iterator[Any]:
    return chain.from_iterable(walk(resource, path) for path in param.paths)


def _text(element: Any, name: str) -> str | None:
    """The string `name` of an element, None where it is absent, empty or something else."""
    value = element.get(name) if isinstance(element, dict) else None
    return value if isinstance(value, str) and value != "" else None


def _system(coding: Any) -> str | None:
    system = _text(coding, "system")
    return canonical_system(system) if system else None


def _list(element: Any, name: str) -> list[Any]:
    value = element.get(name) if isinstance(element, dict) else None
    return value if isinstance(value, list) else []


def concepts(resource: dict[str, Any], param: Param) -> Iterator[tuple[str | None, str | None, str | None]]:
    """(system, code, text) of a token parameter that is neither an identifier nor a contact."""
    if param.shape == "exists":
        there = [value for value in map(resource.get, param.paths) if value is True or isinstance(value, str)]
        yield None, "true" if there else "false", None
        return
    for element in _each(resource, param):
        if param.shape == "boolean":
            if isinstance(element, bool):
                yield None, str(element).lower(), None
        elif param.shape == "concept":
            codings = _list(element, "coding") if isinstance(element, dict) and "coding" in element else [element]
            for coding in codings:
                yield _system(coding), _text(coding, "code"), _text(coding, "display")
            yield None, None, _text(element, "text")
        elif isinstance(element, str) and element:
            yield None, bare_uid(element) if param.shape == "uid" else element, None


def contacts(resource: dict[str, Any], param: Param) -> Iterator[tuple[str | None, str | None, str | None]]:
    """(system, value, no text) of each ContactPoint."""
    for element in _each(resource, param):
        yield _text(element, "system"), _text(element, "value"), None


def identifiers(
    resource: dict[str, Any], param: Param
) -> Iterator[tuple[str | None, str | None, list[tuple[str | None, str | None]], str | None]]:
    """(system, value, the codings of its type, the text of its type) of each Identifier."""
    for element in _each(resource, param):
        kind = element.get("type") if isinstance(element, dict) else None
        kinds = [(_system(coding), _text(coding, "code")) for coding in _list(kind, "coding")]
        system, value = _text(element, "system"), _text(element, "value")
        if value is not None:
            system, value = canonical(system, value)
        yield system, value or None, kinds, _text(kind, "text")


Found = tuple[str | None, str | None, str | None, str | None, str | None]


def references(resource: dict[str, Any], param: Param, base_url: str) -> Iterator[Found]:
    """(type, id, url, identifier system, identifier value) of each reference that can be told, to a type it may name."""
    for element in _each(resource, param):
        if param.shape == "canonical":
            bare, _, version = element.partition("|") if isinstance(element, str) else ("", "", "")
            spot = place(bare, base_url)
            if spot is not None:
                kind, id, url = spot
                if url or kind in param.targets:
                    yield kind, id, f"{url}|{version}" if url and version else url, None, None
            continue
        kind, id, url = place(_text(element, "reference") or "", base_url) or (None, None, None)
        kind = kind or _text(element, "type")
        logical = element.get("identifier") if isinstance(element, dict) else None
        system, value = _text(logical, "system"), _text(logical, "value")
        if value is not None:
            system, value = canonical(system, value)
        if (id or url or value) and (not kind or not param.targets or kind in param.targets):
            yield kind, id, url, system, value or None


def strings(resource: dict[str, Any], param: Param) -> Iterator[str]:
    """Each string, or each part of a name or an address."""
    parts = {"name": NAME, "address": ADDRESS}.get(param.shape)
    for element in _each(resource, param):
        found = list(chain.from_iterable(walk(element, part) for part in parts)) if parts else [element]
        yield from (text for text in found if isinstance(text, str) and text)


def spans(resource: dict[str, Any], param: Param, zone: str) -> Iterator[Span]:
    """[low, high) of each date, period or timing; a number twice."""
    for element in _each(resource, param):
        if param.kind == "number":
            yield from _points(element)
        elif isinstance(element, str):
            yield from _moments([element], zone)
        elif isinstance(element, dict):
            yield from _outer(element, zone) if "event" in element or "repeat" in element else _period(element, zone)


def _points(element: Any) -> Iterator[Span]:
    if isinstance(element, (int, float, Decimal)) and not isinstance(element, bool):
        try:
            value = float(element)
        except (OverflowError, ValueError):
            return
        if isfinite(value):
            yield value, value


def _moments(texts: list[Any], zone: str) -> Iterator[tuple[int, int]]:
    for text in texts:
        try:
            yield interval(text, zone)
        except (TypeError, ValueError):
            continue


def _period(element: dict[str, Any], zone: str) -> Iterator[tuple[int | None, int | None]]:
    """One span, or none where a side is given but cannot be read, or the end is before the start."""
    given = [name for name in ("start", "end") if name in element]
    read = {name: span for name in given for span in _moments([element[name]], zone)}
    if not given or len(read) != len(given):
        return
    low = read["start"][0] if "start" in read else None
    high = read["end"][1] if "end" in read else None
    if low is None or high is None or low < high:
        yield low, high


def _outer(element: dict[str, Any], zone: str) -> Iterator[Span]:
    """The outer limits of a Timing: its events, and the period that bounds its repeats."""
    limits: list[tuple[int | None, int | None]] = list(_moments(_list(element, "event"), zone))
    for bounds in walk(element, "repeat.boundsPeriod"):
        if isinstance(bounds, dict):
            limits += _period(bounds, zone)
    if limits:
        lows = [low for low, _ in limits]
        highs = [high for _, high in limits]
        low = None if None in lows else min(one for one in lows if one is not None)
        high = None if None in highs else max(one for one in highs if one is not None)
        yield low, high
