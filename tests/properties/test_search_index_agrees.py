"""Index and meaning agree: what the rows say of a resource is what `matches` says of it, and both find it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.fhir.index import Index, extract, normalise
from app.fhir.matches import matches
from app.fhir.outcome import Fault
from app.fhir.query import Clause, Condition, Range, Reference, Text, Token, Typed, Value
from app.fhir.registry import TYPES
from app.fhir.search import parse
from tests.properties.search_strategies import BASE, JUNK, asking, clauses, resources

NOW = 1_773_000_000_000_000
VALUESETS = {"http://values": [("http://s", "a"), ("http://s", "b c"), (None, "A")]}
COLUMNS = ("_id", "_lastUpdated")


@settings(max_examples=200, deadline=None)
@given(JUNK)
def test_no_json_is_too_odd_to_index(resource: Any) -> None:
    assert isinstance(extract(resource), Index)


@settings(max_examples=150, deadline=None)
@given(resources())
def test_a_resource_is_found_by_everything_in_its_own_index(resource: dict[str, Any]) -> None:
    kind = resource["resourceType"]
    for name, value in asking(kind, extract(resource, base_url=BASE)):
        query = parse(kind, [(name, value)], base_url=BASE, at=NOW)
        assert matches(resource, query.where, base_url=BASE), (name, value)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_rows_say_of_a_resource_what_the_resource_says(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(TYPES)))
    resource = data.draw(resources(kind))
    index = extract(resource, base_url=BASE)
    name, value = data.draw(clauses(kind, tuple(row[0] for table in tables(index) for row in table)))
    try:
        query = parse(kind, [(name, value)], base_url=BASE, at=NOW, valuesets=VALUESETS)
    except Fault:
        return
    (condition,) = query.where
    expected = matches(resource, condition, base_url=BASE)
    assert by_rows(index, resource, condition) == expected, (name, value)


def tables(index: Index) -> list[list[tuple[Any, ...]]]:
    found = (index.tokens, index.identifiers, index.references, index.dates, index.strings, index.numbers, index.uris)
    return [list(table) for table in found]


def by_rows(index: Index, resource: dict[str, Any], condition: Condition) -> bool:
    """A clause over index rows alone, as a database would answer it."""
    assert isinstance(condition, Clause)
    param = condition.param
    if param.name in COLUMNS:
        return matches(resource, condition)
    if condition.modifier == "missing":
        held = any(row[0] == param.name for table in tables(index) for row in table)
        return condition.values == (not held,)
    found = any(_by_row(index, condition, value) for value in condition.values)
    return not found if condition.modifier == "not" else found


def _by_row(index: Index, clause: Clause, value: Value) -> bool:
    name = clause.param.name
    match value:
        case Token() if clause.modifier == "identifier":
            return any(row[0] == name and _is(value, row[4], row[5]) for row in index.references)
        case Token() if clause.param.shape == "identifier":
            return any(row[0] == name and _is(value, row[1], row[2]) for row in index.identifiers)
        case Token():
            return any(row[0] == name and _is(value, row[1], row[2]) for row in index.tokens)
        case Typed(system, code, text):
            return any((row[0], *row[2:]) == (name, text, system, code) for row in index.identifiers)
        case Reference(kind, id, None):
            return any(row[0] == name and row[2] == id and kind in (None, row[1]) for row in index.references)
        case Reference(_, _, url):
            return any(row[0] == name and row[3] == url for row in index.references)
        case Range() if clause.param.kind == "number":
            return any(row[0] == name and _number(value, row[1]) for row in index.numbers)
        case Range():
            return any(row[0] == name and _date(value, *row[1:]) for row in index.dates)
        case Text(text) if clause.modifier == "text":
            return any(
                row[0] == name and row[3] and normalise(row[3]).startswith(normalise(text)) for row in index.tokens
            )
        case Text(text) if clause.param.kind == "uri":
            return (name, text) in index.uris
        case Text(text) if clause.modifier == "exact":
            return (name, text) in index.strings
        case Text(text) if clause.modifier == "contains":
            return any(row[0] == name and normalise(text) in normalise(row[1]) for row in index.strings)
        case Text(text):
            return any(row[0] == name and normalise(row[1]).startswith(normalise(text)) for row in index.strings)
        case _:
            raise AssertionError(value)


def _is(asked: Token, system: str | None, code: str | None) -> bool:
    return code is not None and asked.code in (None, code) and (asked.system is None or asked.system == (system or ""))


def _number(asked: Range, value: float) -> bool:
    return {
        "eq": asked.low <= value < asked.high,
        "ap": asked.low <= value < asked.high,
        "ne": not asked.low <= value < asked.high,
        "gt": value > asked.low,
        "lt": value < asked.low,
        "ge": value >= asked.low,
        "le": value <= asked.low,
    }[asked.prefix]


def _date(asked: Range, first: int | None, last: int | None) -> bool:
    low = float("-inf") if first is None else first
    high = float("inf") if last is None else last
    return {
        "eq": low >= asked.low and high <= asked.high,
        "ne": low < asked.low or high > asked.high,
        "gt": high > asked.high,
        "lt": low < asked.low,
        "ge": high > asked.high or (low >= asked.low and high <= asked.high),
        "le": low < asked.low or (low >= asked.low and high <= asked.high),
        "sa": low >= asked.high,
        "eb": high <= asked.low,
        "ap": low < asked.high and high > asked.low,
    }[asked.prefix]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_text_that_was_normalised_stays_as_it_is(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
