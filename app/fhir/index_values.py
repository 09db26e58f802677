"""How each kind of element becomes index rows: one small function for each kind and shape of parameter.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.fhir.identifier import bare_uid, canonical, canonical_system
from app.fhir.query import Index, Param
from app.fhir.reference import place
from app.fhir.temporal import interval


class Sink:
    """Where rows are gathered: as the keys of dictionaries, so that each is kept once and in order."""

    __slots__ = (
        "base_url",
        "dates",
        "identifiers",
        "numbers",
        "references",
        "strings",
        "tokens",
        "uris",
        "zone",
    )

    def __init__(self, base_url: str, zone: str) -> None:
        self.base_url = base_url
        self.zone = zone
        self.tokens: dict[tuple[str, str | None, str | None, str | None], None] = {}
        self.identifiers: dict[tuple[str, str | None, str, str | None, str | None], None] = {}
        self.references: dict[tuple[str, str | None, str | None, str | None, str | None, str | None], None] = {}
        self.dates: dict[tuple[str, int | None, int | None], None] = {}
        self.strings: dict[tuple[str, str], None] = {}
        self.numbers: dict[tuple[str, float, float], None] = {}
        self.uris: dict[tuple[str, str], None] = {}

    def index(self) -> Index:
        return Index(
            list(self.tokens),
            list(self.identifiers),
            list(self.references),
            list(self.dates),
            list(self.strings),
            list(self.numbers),
            list(self.uris),
        )


Emit = Callable[[Any, Sink], None]
Bounds = tuple[int | None, int | None]


def emitter(param: Param) -> Emit:
    """The function that tells of one element found at a path of `param`."""
    return _BY_SHAPE[param.shape or param.kind](param)


def _said(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _system(value: Any) -> str | None:
    return canonical_system(value) if isinstance(value, str) and value else None


def _concept(param: Param) -> Emit:
    name = param.name

    def coding(element: Any, sink: Sink) -> None:
        if not isinstance(element, dict):
            return
        code, display = _said(element.get("code")), _said(element.get("display"))
        if code is not None or display is not None:
            sink.tokens[name, _system(element.get("system")) if code else None, code, display] = None

    def concept(element: Any, sink: Sink) -> None:
        if not isinstance(element, dict):
            return
        if "coding" in element:
            codings = element["coding"]
            for one in codings if isinstance(codings, list) else ():
                coding(one, sink)
        else:
            coding(element, sink)
        text = _said(element.get("text"))
        if text:
            sink.tokens[name, None, None, text] = None

    return concept


def _code(param: Param) -> Emit:
    name = param.name

    def code(element: Any, sink: Sink) -> None:
        if isinstance(element, str) and element:
            sink.tokens[name, None, element, None] = None

    return code


def _boolean(param: Param) -> Emit:
    name = param.name

    def boolean(element: Any, sink: Sink) -> None:
        if isinstance(element, bool):
            sink.tokens[name, None, "true" if element else "false", None] = None

    return boolean


def _exists(param: Param) -> Emit:
    name, paths = param.name, param.paths

    def exists(resource: Any, sink: Sink) -> None:
        held = any(resource.get(path) is True or isinstance(resource.get(path), str) for path in paths)
        sink.tokens[name, None, "true" if held else "false", None] = None

    return exists


def _uid(param: Param) -> Emit:
    name = param.name

    def uid(element: Any, sink: Sink) -> None:
        if isinstance(element, str):
            bare = bare_uid(element)
            if bare:
                sink.tokens[name, None, bare, None] = None

    return uid


def _contact(param: Param) -> Emit:
    name = param.name

    def contact(element: Any, sink: Sink) -> None:
        if isinstance(element, dict):
            value = _said(element.get("value"))
            if value:
                sink.tokens[name, _said(element.get("system")), value, None] = None

    return contact


def _identifier(param: Param) -> Emit:
    name = param.name

    def identifier(element: Any, sink: Sink) -> None:
        if not isinstance(element, dict):
            return
        kind = element.get("type")
        kinds: list[Any] = []
        if isinstance(kind, dict):
            text = _said(kind.get("text"))
            if text:
                sink.tokens[name, None, None, text] = None
            codings = kind.get("coding")
            kinds = codings if isinstance(codings, list) else []
        value = _said(element.get("value"))
        if value is None:
            return
        system, value = canonical(_said(element.get("system")), value)
        if not value:
            return
        typed = False
        for one in kinds:
            code = _said(one.get("code")) if isinstance(one, dict) else None
            if code:
                sink.identifiers[name, system, value, _system(one.get("system")), code] = None
                typed = True
        if not typed:
            sink.identifiers[name, system, value, None, None] = None

    return identifier


def _reference(param: Param) -> Emit:
    name, targets = param.name, frozenset(param.targets)

    def reference(element: Any, sink: Sink) -> None:
        if not isinstance(element, dict):
            return
        kind = id = url = system = value = None
        literal = element.get("reference")
        if isinstance(literal, str):
            found = place(literal, sink.base_url)
            if found is not None:
                kind, id, url = found
        logical = element.get("identifier")
        if isinstance(logical, dict):
            value = _said(logical.get("value"))
            if value:
                system, value = canonical(_said(logical.get("system")), value)
        if kind is None:
            kind = _said(element.get("type"))
        if not (id or url or value) or (kind and targets and kind not in targets):
            return
        sink.references[name, kind, id, url, system if value else None, value or None] = None

    return reference


def _canonical(param: Param) -> Emit:
    name, targets = param.name, frozenset(param.targets)

    def canonical_url(element: Any, sink: Sink) -> None:
        if not isinstance(element, str):
            return
        bare, _, version = element.partition("|")
        found = place(bare, sink.base_url)
        if found is None:
            return
        kind, id, url = found
        if id and kind not in targets:
            return
        sink.references[name, kind, id, url, None, None] = None
        if url and version:
            sink.references[name, kind, None, f"{url}|{version}", None, None] = None

    return canonical_url


def _date(param: Param) -> Emit:
    name = param.name

    def date(element: Any, sink: Sink) -> None:
        bounds: Bounds | None = None
        if isinstance(element, str):
            bounds = _interval(element, sink.zone)
        elif isinstance(element, dict):
            timed = "event" in element or "repeat" in element
            bounds = _timing(element, sink.zone) if timed else _period(element, sink.zone)
        if bounds is not None:
            sink.dates[name, bounds[0], bounds[1]] = None

    return date


def _interval(text: Any, zone: str) -> tuple[int, int] | None:
    if not isinstance(text, str):
        return None
    try:
        return interval(text, zone)
    except ValueError:
        return None


def _period(element: dict[str, Any], zone: str) -> Bounds | None:
    start, end = _interval(element.get("start"), zone), _interval(element.get("end"), zone)
    low = start[0] if start else None
    high = end[1] if end else None
    if (low is None and high is None) or (low is not None and high is not None and low >= high):
        return None
    # A bound that cannot be read is not an open one: what is said would be wider than what was meant.
    if (start is None and "start" in element) or (end is None and "end" in element):
        return None
    return low, high


def _timing(element: dict[str, Any], zone: str) -> Bounds | None:
    """The outer limits: from the earliest event or start of the bounds to the latest."""
    found: list[Bounds] = []
    events = element.get("event")
    for event in events if isinstance(events, list) else []:
        bounds = _interval(event, zone)
        if bounds:
            found.append(bounds)
    repeat = element.get("repeat")
    period = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(period, dict):
        limits = _period(period, zone)
        if limits:
            found.append(limits)
    if not found:
        return None
    lows = [low for low, _ in found]
    highs = [high for _, high in found]
    return (
        None if None in lows else min(low for low in lows if low is not None),
        None if None in highs else max(high for high in highs if high is not None),
    )


def _number(param: Param) -> Emit:
    name = param.name

    def number(element: Any, sink: Sink) -> None:
        if isinstance(element, (int, float, Decimal)) and not isinstance(element, bool):
            try:
                value = float(element)
            except (OverflowError, ValueError):
                return
            if value - value == 0:  # neither infinite nor not a number
                sink.numbers[name, value, value] = None

    return number


def _text(param: Param) -> Emit:
    name = param.name

    def text(element: Any, sink: Sink) -> None:
        if isinstance(element, str) and element:
            sink.strings[name, element] = None

    return text


def _parts(*elements: str) -> Callable[[Param], Emit]:
    """A HumanName or an Address: each of its strings is searched on its own."""

    def of(param: Param) -> Emit:
        name = param.name

        def parts(element: Any, sink: Sink) -> None:
            if not isinstance(element, dict):
                return
            for one in elements:
                value = element.get(one)
                for text in value if isinstance(value, list) else (value,):
                    if isinstance(text, str) and text:
                        sink.strings[name, text] = None

        return parts

    return of


def _uri(param: Param) -> Emit:
    name = param.name

    def uri(element: Any, sink: Sink) -> None:
        if isinstance(element, str) and element:
            sink.uris[name, element] = None
            bare, _, version = element.partition("|")
            if bare and version:
                sink.uris[name, bare] = None

    return uri


_BY_SHAPE: dict[str, Callable[[Param], Emit]] = {
    "concept": _concept,
    "code": _code,
    "boolean": _boolean,
    "exists": _exists,
    "uid": _uid,
    "contact": _contact,
    "identifier": _identifier,
    "reference": _reference,
    "canonical": _canonical,
    "date": _date,
    "number": _number,
    "text": _text,
    "name": _parts("text", "family", "given", "prefix", "suffix"),
    "address": _parts("text", "line", "city", "district", "state", "postalCode", "country"),
    "uri": _uri,
}
