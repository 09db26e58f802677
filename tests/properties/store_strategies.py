"""Small worlds of resources that could be stored, and searches over them, made from the table of search parameters.

Every element has the cardinality and type that FHIR gives it; ids and alphabets are small, so that references meet and
what is asked is often there.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.fhir.elements import Element, lookup
from app.fhir.index import extract
from app.fhir.matches_values import references
from app.fhir.query import Param
from app.fhir.registry import PREFIXES, TYPES, followed, modifiers
from app.fhir.temporal import format_instant, interval
from tests.properties.search_strategies import (
    BASE,
    BY_SHAPE,
    CODING,
    DATE_TEXTS,
    DATES,
    PERIOD,
    SYSTEMS,
    WORDS,
    _some,
    _value,
    asking,
    escaped,
)

# The types that are written; those most referred to more often.
KINDS = sorted(name for name, row in TYPES.items() if "create" in row.interactions)
OFTEN = ["Patient", "ImagingStudy", "Practitioner", "Organization", "Endpoint", "ServiceRequest", "DiagnosticReport"]
IDS = ["a", "b"]

Pair = tuple[str, str]
CONCEPT = _some(coding=st.lists(CODING, min_size=1, max_size=2), text=WORDS)
LOGICAL = _some(system=SYSTEMS, value=WORDS)


def places(targets: tuple[str, ...], here: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """Literal references to one of the types: mostly to what is `here`; by our own address, at a version, elsewhere."""
    near = [place for place in here if not targets or place.partition("/")[0] in targets]
    if near:
        return st.sampled_from(near) | st.sampled_from(near).map(f"{BASE}/{{}}".format) | places(targets)
    kinds = st.sampled_from(sorted(targets) or [*OFTEN, "Encounter"])
    ids = st.sampled_from(IDS)
    return (
        st.builds("{}/{}".format, kinds, ids)
        | st.builds("{}/{}".format, kinds, ids)
        | st.builds(f"{BASE}/{{}}/{{}}".format, kinds, ids)
        | st.builds("{}/{}/_history/1".format, kinds, ids)
        | st.builds("https://other.example/{}/{}".format, kinds, ids)
    )


def _fitting(param: Param, element: Element, here: tuple[str, ...]) -> st.SearchStrategy[Any]:
    match element.type:
        case "Coding":
            return CODING
        case "CodeableConcept":
            return CONCEPT
        case "Period":
            return PERIOD
        case "Timing":
            return _some(event=st.lists(DATES, min_size=1, max_size=2), repeat=_some(boundsPeriod=PERIOD))
        case "Reference":
            named = st.fixed_dictionaries({"reference": places(param.targets, here)}, optional={"identifier": LOGICAL})
            logical = _some(identifier=LOGICAL, type=st.sampled_from(sorted(param.targets) or ["Patient"]))
            return st.integers(0, 4).flatmap(lambda rare: named if rare else logical)
        case "date" | "dateTime" | "instant":
            return DATES
        case "boolean":
            return st.booleans()
        case "integer" | "decimal" | "positiveInt" | "unsignedInt":
            return st.sampled_from([0, 1, 2, 100])
        case _ if param.shape == "canonical":
            return places(param.targets) | st.just("http://q.example/Questionnaire/q1|2")
        case _:
            return BY_SHAPE[param.shape or param.kind]


@st.composite
def resources(draw: st.DrawFn, kind: str, here: tuple[str, ...]) -> dict[str, Any]:
    """A resource of a type with values at some of the paths of its parameters."""
    resource: dict[str, Any] = {"resourceType": kind}
    rows = [param for param in TYPES[kind].params.values() if param.name not in ("_id", "_lastUpdated")]
    links = [param for param in rows if followed(param)] or rows
    for param in draw(st.lists(st.sampled_from(rows) | st.sampled_from(links), min_size=2, max_size=8, unique=True)):
        path, _, condition = draw(st.sampled_from(param.paths)).partition("[")
        _put(draw, resource, kind, path.split("."), param, condition.rstrip("]"), here)
    return resource


def _put(
    draw: st.DrawFn,
    node: dict[str, Any],
    kind: str,
    names: list[str],
    param: Param,
    condition: str,
    here: tuple[str, ...],
) -> None:
    name, *rest = names
    row = lookup(kind)
    element = row.elements[name] if row else None
    assert element is not None, (kind, name)
    if element.choice and any(name != other and other.startswith(element.choice) for other in node):
        return  # a choice has one type
    if rest:
        inner: dict[str, Any] = {}
        _put(draw, inner, element.type, rest, param, condition, here)
        if element.many:
            node.setdefault(name, []).append(inner)
        else:
            node[name] = node.get(name, {}) | inner
        return
    value = draw(_fitting(param, element, here))
    if condition:
        value = value | dict([condition.split("=")])
    if element.many:
        node.setdefault(name, []).append(value)
    else:
        node[name] = value


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to ten resources, ids used once for each type, in any order of making."""
    kinds = draw(st.lists(st.sampled_from([*OFTEN, *KINDS]), min_size=3, max_size=10))
    here = tuple(f"{kind}/{id}" for kind in dict.fromkeys(kinds) for id in IDS[: kinds.count(kind)])
    return [draw(resources(place.partition("/")[0], here)) | {"id": place.partition("/")[2]} for place in here]


@st.composite
def conditions(draw: st.DrawFn, kind: str, depth: int = 0) -> Pair:
    """One search parameter of a type: plain, chained or reversed, up to three references deep."""
    form = draw(st.sampled_from(["plain", "plain", "chain", "chain", "has"])) if depth < 3 else "plain"
    if form == "chain":
        rows = [param for param in TYPES[kind].params.values() if followed(param)]
        if rows:
            param = draw(st.sampled_from(rows))
            target = draw(st.sampled_from([name for name in followed(param) if name in OFTEN] or followed(param)))
            name, value = draw(conditions(target, depth + 1))
            return f"{param.name}:{target}.{name}", value
    if form == "has":
        sources = [
            (source, param.name)
            for source in KINDS
            for param in TYPES[source].params.values()
            if kind in followed(param) and (source in OFTEN or param.name in ("patient", "subject", "target"))
        ]
        if sources:
            source, by = draw(st.sampled_from(sources))
            name, value = draw(conditions(source, depth + 1))
            return f"_has:{source}:{by}:{name}", value
    return draw(plain(kind))


@st.composite
def plain(draw: st.DrawFn, kind: str) -> Pair:
    params = TYPES[kind].params
    param = params[draw(st.sampled_from(sorted(params)))]
    modifier = draw(st.sampled_from(["", "", "", *modifiers(param)]))
    if modifier == "[type]":
        modifier = draw(st.sampled_from(sorted(param.targets) or ["Patient"]))
        value: st.SearchStrategy[str] = st.sampled_from(IDS)
    elif param.kind == "reference" and not modifier:
        value = places(param.targets) | st.sampled_from(IDS)
    elif param.name == "_id":
        value = st.sampled_from(IDS)
    elif param.shape == "canonical" and not modifier:
        value = places(param.targets).map(escaped)
    else:
        value = _value(param, modifier)
    values = draw(st.lists(value, min_size=1, max_size=1 if modifier == "missing" else 2))
    return (f"{param.name}:{modifier}" if modifier else param.name), ",".join(values)


Edge = tuple[dict[str, Any], str, dict[str, Any]]


def edges(world: list[dict[str, Any]]) -> list[Edge]:
    """Which resource refers by which parameter to which."""
    by_name = {(one["resourceType"], one["id"]): one for one in world}
    return [
        (one, param.name, by_name[kind, id])
        for one in world
        for param in TYPES[one["resourceType"]].params.values()
        if followed(param)
        for kind, id, *_ in references(one, param, BASE)
        if (kind, id) in by_name
    ]


@st.composite
def aimed(draw: st.DrawFn, links: list[Edge], one: dict[str, Any], depth: int = 0) -> Pair:
    """A condition that holds for a resource of the world: by what it says, by what it refers to, by what refers to it;
    now and then turned round by `:not`."""
    ways = [(link, True) for link in links if link[0] is one] + [(link, False) for link in links if link[2] is one]
    if ways and depth < 3 and draw(st.integers(0, 3)):
        (source, by, target), forward = draw(st.sampled_from(ways))
        if forward:
            name, value = draw(aimed(links, target, depth + 1))
            return f"{by}:{target['resourceType']}.{name}", value
        name, value = draw(aimed(links, source, depth + 1))
        return f"_has:{source['resourceType']}:{by}:{name}", value
    kind, index = one["resourceType"], extract(one, base_url=BASE)
    if index.dates and not draw(st.integers(0, 2)):
        # At and beside the limits of what it says, under every prefix.
        name, *limits = draw(st.sampled_from(index.dates))
        edges = [format_instant(limit + by) for limit in limits if limit is not None for by in (-1, 0)]
        alike = [text for text in DATE_TEXTS if set(interval(text)) & set(limits)] or DATE_TEXTS
        asked = st.sampled_from(alike) | st.sampled_from(alike) | DATES | st.sampled_from(edges)
        return name, draw(st.sampled_from(PREFIXES)) + draw(asked)
    if index.numbers and draw(st.booleans()):
        name, low, _ = draw(st.sampled_from(index.numbers))
        return name, f"{draw(st.sampled_from(PREFIXES))}{low + draw(st.sampled_from([-1, -0.5, 0, 0.5, 1]))}"
    name, value = draw(st.sampled_from([("_id", one["id"]), *asking(kind, index)]))
    if (
        "not" in modifiers(TYPES[kind].params[name.partition(":")[0]])
        and ":" not in name
        and not draw(st.integers(0, 4))
    ):
        name += ":not"
    return name, value


@st.composite
def searches(draw: st.DrawFn, kind: str, world: list[dict[str, Any]]) -> list[Pair]:
    """Conditions, an order and includes for a search on a type: aimed at what is there, or at random."""
    links, here = edges(world), [one for one in world if one["resourceType"] == kind]
    pairs = draw(st.lists(st.sampled_from(here).flatmap(lambda one: aimed(links, one)), max_size=2))
    pairs += draw(st.lists(conditions(kind), max_size=1 if len(pairs) < 2 else 0))
    sortable = sorted(name for name, param in TYPES[kind].params.items() if param.shape != "uid")
    keys = draw(st.lists(st.builds("{}{}".format, st.sampled_from(["", "-"]), st.sampled_from(sortable)), max_size=3))
    if keys:
        pairs.append(("_sort", ",".join(keys)))
    for name, row in (("_include", TYPES[kind].includes), ("_revinclude", TYPES[kind].rev_includes)):
        if row and draw(st.booleans()):
            pairs.append((name, draw(st.sampled_from(row))))
    return pairs
