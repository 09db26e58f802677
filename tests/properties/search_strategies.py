"""Resources and queries made at random from the table of search parameters.

Alphabets are small, so that what is asked is often what is there; a part of every element is not of its shape.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.fhir.index import Index, normalise
from app.fhir.query import Param
from app.fhir.registry import PREFIXES, TYPES, modifiers
from app.fhir.temporal import format_instant

BASE = "https://registry.example/fhir"

WORDS = st.sampled_from(
    ["a", "A", "b c", "B-C", "é", "1.2", "1.2.3", "x,y", "x|y", "x\\y", "x$", "Ada O'Neill", " ", "2"]
)
SYSTEMS = st.sampled_from(
    [
        "http://s",
        "urn:dicom:uid",
        "https://fhir.nhs.uk/Id/ods-organisation-code",
        "https://fhir.nhs.uk/Id/ods-organization-code",
        "https://fhir.nhs.uk/Id/nhs-number",
    ]
)
DATE_TEXTS = [
    "2025",
    "2026",
    "2026-01",
    "2026-01-01",
    "2026-03-29",
    "2026-03-29T01:30:00",
    "2026-10-25T01:30:00",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.5Z",
    "2026-01-01T10:20:30+01:00",
]
DATES = st.sampled_from(DATE_TEXTS)
PLACES = st.sampled_from(
    [
        "Patient/p1",
        "Patient/p2/_history/1",
        f"{BASE}/Patient/p1",
        "https://other.example/Patient/p1",
        "urn:uuid:1",
        "#p1",
        "Group/p1",
        "Endpoint/e1",
        "Practitioner/p1",
        "Questionnaire/q1",
        "http://q.example/Questionnaire/q1|2",
        "http://q.example/Questionnaire/q1",
        "nonsense",
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "value", "system", "start", "event", "reference", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def _some(**elements: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of the elements."""
    return st.fixed_dictionaries({}, optional=elements)


CODING = _some(system=SYSTEMS, code=WORDS, display=WORDS)
CONCEPT = _some(coding=st.lists(CODING, max_size=2), text=WORDS)
IDENTIFIER = _some(system=SYSTEMS, value=WORDS, type=CONCEPT)
PERIOD = _some(start=DATES, end=DATES)

BY_SHAPE: dict[str, st.SearchStrategy[Any]] = {
    "concept": CONCEPT | CODING,
    "code": WORDS,
    "boolean": st.booleans(),
    "exists": st.booleans() | DATES,
    "id": st.sampled_from(["p1", "p2"]),
    "contact": _some(system=st.sampled_from(["email", "phone"]), value=WORDS),
    "identifier": IDENTIFIER,
    "uid": st.sampled_from(["1.2", "1.2.3", "urn:oid:1.2.3"]),
    "reference": _some(reference=PLACES, type=st.sampled_from(["Patient", "Group"]), identifier=IDENTIFIER),
    "canonical": PLACES,
    "text": WORDS,
    "name": _some(family=WORDS, given=st.lists(WORDS, max_size=2), text=WORDS),
    "address": _some(line=st.lists(WORDS, max_size=2), city=WORDS, use=st.just("home")),
    "date": DATES | PERIOD | _some(event=st.lists(DATES, max_size=2), repeat=_some(boundsPeriod=PERIOD)),
    "number": st.sampled_from([0, 1, 2, 100]),
    "uri": PLACES | WORDS,
}


@st.composite
def resources(draw: st.DrawFn, kind: str | None = None) -> dict[str, Any]:
    """A resource with values at some of the paths of its parameters, and junk at others."""
    kind = kind or draw(st.sampled_from(sorted(TYPES)))
    resource: dict[str, Any] = {"resourceType": kind, "id": draw(st.sampled_from(["p1", "p2", "e1"]))}
    rows = [param for param in TYPES[kind].params.values() if param.name not in ("_id", "_lastUpdated")]
    for param in draw(st.lists(st.sampled_from(rows), max_size=6, unique=True)):
        path = draw(st.sampled_from(param.paths)).partition("[")[0]
        fitting = BY_SHAPE[param.shape or param.kind]
        value = draw(fitting) if draw(st.integers(0, 9)) else draw(JUNK)
        _put(draw, resource, path.split("."), value)
    return resource


def _put(draw: st.DrawFn, element: dict[str, Any], names: list[str], value: Any) -> None:
    name, *rest = names
    there = element.get(name)
    if not rest:
        if isinstance(there, list):
            there.append(value)
        else:
            element[name] = [value] if draw(st.booleans()) else value
        return
    if isinstance(there, list) and there and isinstance(there[-1], dict):
        _put(draw, there[-1], rest, value)
    elif isinstance(there, dict):
        _put(draw, there, rest, value)
    elif there is None:
        inner: dict[str, Any] = {}
        element[name] = [inner] if draw(st.booleans()) else inner
        _put(draw, inner, rest, value)


def escaped(text: str) -> str:
    """`text` as the value of a parameter."""
    for mark in "\\,|$":
        text = text.replace(mark, "\\" + mark)
    return text


@st.composite
def clauses(draw: st.DrawFn, kind: str, likely: tuple[str, ...] = ()) -> tuple[str, str]:
    """The name and value of one parameter of a type, more often one of `likely`; now and then one that is refused."""
    params = TYPES[kind].params
    among: bool = draw(st.booleans())
    names = sorted(set(likely)) if among and likely else sorted(params)
    param = params[draw(st.sampled_from(names))]
    modifier = draw(st.sampled_from(["", "", *modifiers(param)]))
    modifier = "Patient" if modifier == "[type]" else modifier
    values = draw(st.lists(_value(param, modifier), min_size=1, max_size=1 if modifier == "missing" else 2))
    return (f"{param.name}:{modifier}" if modifier else param.name), ",".join(values)


def _value(param: Param, modifier: str) -> st.SearchStrategy[str]:
    text = WORDS.map(escaped)
    token = text | st.builds("{}|{}".format, SYSTEMS, text) | text.map("|{}".format) | SYSTEMS.map("{}|".format)
    if modifier == "missing":
        return st.sampled_from(["true", "false"])
    if modifier == "of-type":
        return st.builds("{}|{}|{}".format, SYSTEMS, text, text)
    if modifier == "in":
        return st.just("http://values")
    if modifier in ("text", "exact", "contains"):
        return text
    if modifier == "identifier":
        return token
    if param.shape in ("boolean", "exists"):
        return st.sampled_from(["true", "false"])
    if param.shape in ("uid", "id"):
        return st.sampled_from(["p1", "p2", "1.2", "urn:oid:1.2.3"])
    return {
        "token": token,
        "reference": PLACES | st.sampled_from(["p1", "q1"]),
        "date": st.builds("{}{}".format, st.sampled_from(["", *PREFIXES]), DATES),
        "number": st.builds("{}{}".format, st.sampled_from(["", *PREFIXES]), st.sampled_from(["0", "1", "2.0", "1e2"])),
        "uri": (PLACES | WORDS).map(escaped),
        "string": text,
    }[param.kind]


def asking(kind: str, index: Index) -> list[tuple[str, str]]:
    """One parameter for each row, that must find the resource again."""
    asked: list[tuple[str, str]] = []
    for name, system, code, display in index.tokens:
        if code and code.strip():
            asked.append((name, f"{escaped(system)}|{escaped(code)}" if system else escaped(code)))
        if display and normalise(display) and TYPES[kind].params[name].shape in ("concept", "identifier"):
            asked.append((f"{name}:text", escaped(display)))
    for name, system, value, kind_system, kind_code in index.identifiers:
        if value.strip():
            asked.append((name, f"{escaped(system)}|{escaped(value)}" if system else escaped(value)))
        if kind_system and kind_code:
            asked.append((f"{name}:of-type", "|".join(map(escaped, (kind_system, kind_code, value)))))
    for name, target, id, url, system, logical in index.references:
        if id:
            asked.append((name, f"{target}/{id}"))
        if url:
            asked.append((name, escaped(url)))
        if logical and logical.strip():
            asked.append(
                (f"{name}:identifier", f"{escaped(system)}|{escaped(logical)}" if system else escaped(logical))
            )
    for name, low, high in index.dates:
        if low is not None:
            asked += [(name, f"ge{format_instant(low)}"), (name, f"ap{format_instant(low)}")]
        if high is not None:
            asked.append((name, f"le{format_instant(high - 1)}"))
    for name, text in index.strings:
        if text.strip():
            asked.append((f"{name}:exact", escaped(text)))
        if normalise(text):
            asked += [(name, escaped(text)), (f"{name}:contains", escaped(text))]
    asked += [(name, f"{low:.1f}") for name, low, _ in index.numbers]
    asked += [(name, escaped(uri)) for name, uri in index.uris if uri.strip() and " " not in uri]
    return asked
