"""What a search condition finds at the very edge of what it asks for, and one step to either side of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.fhir.registry import TYPES
from app.fhir.search import parse
from app.fhir.temporal import format_instant, interval
from app.policy.grant import Everything, Grant
from app.storage import resources, search
from app.storage.engine import Store, Tx

BASE = "https://registry.example/fhir"
AT = 1_773_136_800_000_000
EVERYTHING = Grant("d", AT, {name: (Everything(),) for name in TYPES}, writer="ods:RXA")

# The second that is asked for is [LOW, HIGH).
ASKED = "2026-01-10T12:00:00Z"
LOW, HIGH = interval(ASKED)

# Rows as [low, high) in microseconds from LOW; None is an open end. Each is a microsecond off another.
S = HIGH - LOW
ROWS: dict[str, tuple[int | None, int | None]] = {
    "same": (0, S),
    "inside": (1, S - 1),
    "early": (-1, S),
    "late": (0, S + 1),
    "first": (0, 1),
    "last": (S - 1, S),
    "meets": (-9, 0),
    "enters": (-9, 1),
    "follows": (S, S + 9),
    "leaves": (S - 1, S + 9),
    "open-start": (None, 0),
    "open-start-in": (None, 1),
    "open-start-all": (None, S),
    "open-end": (S, None),
    "open-end-in": (S - 1, None),
    "open-end-all": (0, None),
}
WITHIN = {"same", "inside", "first", "last"}
ABOVE = {"late", "follows", "leaves", "open-end", "open-end-in", "open-end-all"}
BELOW = {"early", "meets", "enters", "open-start", "open-start-in", "open-start-all"}
FOUND = {
    "eq": WITHIN,
    "ne": set(ROWS) - WITHIN,
    "gt": ABOVE,
    "lt": BELOW,
    "ge": ABOVE | WITHIN,
    "le": BELOW | WITHIN,
    "sa": {"follows", "open-end"},
    "eb": {"meets", "open-start"},
    "ap": set(ROWS) - {"meets", "follows", "open-start", "open-end"},  # asked for at LOW, it reaches no further
}


@pytest.fixture
def tx(store: Store) -> Iterator[Tx]:
    store.base_url = BASE
    with store.begin() as tx:
        yield tx


def keep(tx: Tx, type: str, id: str, **elements: Any) -> None:
    resources.create(tx, EVERYTHING, {"resourceType": type, **elements}, id)


def find(tx: Tx, type: str, name: str, value: str) -> set[str]:
    query = parse(type, [(name, value), ("_count", "50")], base_url=BASE, at=LOW)
    return {entry.id for entry in search.run(tx, EVERYTHING, query).entries}


def period(low: int | None, high: int | None) -> dict[str, str]:
    """The Period that is [low, high) from LOW: it covers the microsecond that its end states."""
    stated = {} if low is None else {"start": format_instant(LOW + low)}
    return stated if high is None else stated | {"end": format_instant(LOW + high - 1)}


@pytest.mark.parametrize("prefix", sorted(FOUND))
def test_a_date_is_found_to_the_microsecond_by_the_row_and_by_the_index(tx: Tx, prefix: str) -> None:
    for id, (low, high) in ROWS.items():
        keep(tx, "EpisodeOfCare", id, period=period(low, high))
        keep(tx, "Consent", id, provision={"period": period(low, high)})
    keep(tx, "EpisodeOfCare", "undated")
    keep(tx, "Consent", "undated")
    assert find(tx, "EpisodeOfCare", "date", prefix + ASKED) == FOUND[prefix]
    assert find(tx, "Consent", "period", prefix + ASKED) == FOUND[prefix]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("100", {"100"}),
        ("1e2", {"95", "100", "104"}),
        ("ne1e2", {"89", "90", "94", "105", "109", "110"}),
        ("ap100", {"90", "94", "95", "100", "104", "105", "109"}),
        ("gt100", {"104", "105", "109", "110"}),
        ("ge100", {"100", "104", "105", "109", "110"}),
        ("lt100", {"89", "90", "94", "95"}),
        ("le100", {"89", "90", "94", "95", "100"}),
        ("sa100", {"104", "105", "109", "110"}),
        ("eb100", {"89", "90", "94", "95"}),
    ],
)
def test_a_number_is_found_from_the_lower_end_of_its_precision_to_before_the_upper(
    tx: Tx, asked: str, found: set[str]
) -> None:
    for number in (89, 90, 94, 95, 100, 104, 105, 109, 110):
        keep(tx, "ImagingStudy", str(number), numberOfSeries=number)
    assert find(tx, "ImagingStudy", "number-of-series", asked) == found


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("eq", {"first", "last"}),
        ("ne", {"before", "after"}),
        ("lt", {"before"}),
        ("eb", {"before"}),
        ("le", {"before", "first", "last"}),
        ("gt", {"after"}),
        ("sa", {"after"}),
        ("ge", {"after", "first", "last"}),
        ("ap", {"first", "last"}),
    ],
)
def test_when_a_resource_was_written_is_found_to_the_microsecond(tx: Tx, prefix: str, found: set[str]) -> None:
    for id, at in (("before", LOW - 1), ("first", LOW), ("last", HIGH - 1), ("after", HIGH)):
        tx.at = at
        keep(tx, "Endpoint", id)
    assert find(tx, "Endpoint", "_lastUpdated", prefix + ASKED) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("x", {"without", "one", "other"}),
        ("|x", {"without"}),
        ("http://one.example|x", {"one"}),
        ("http://one.example|", {"one", "one-else"}),
        ("http://none.example|x", set()),
        ("|y", set()),
    ],
)
def test_a_code_or_an_identifier_without_a_system_is_not_one_of_any_system(tx: Tx, asked: str, found: set[str]) -> None:
    rows = {
        "without": ("x", {}),
        "one": ("x", {"system": "http://one.example"}),
        "other": ("x", {"system": "http://other.example"}),
        "one-else": ("y", {"system": "http://one.example"}),
    }
    for id, (value, system) in rows.items():
        coding, identifier = {"code": value, **system}, {"value": value, **system}
        keep(tx, "ImagingStudy", id, reasonCode=[{"coding": [coding]}], identifier=[identifier])
    assert find(tx, "ImagingStudy", "reason", asked) == found
    assert find(tx, "ImagingStudy", "identifier", asked) == found


def test_has_is_not_held_by_what_refers_to_another_type_of_the_same_id(tx: Tx) -> None:
    for id in ("meant", "same-id"):
        keep(tx, "ImagingStudy", id)
        keep(tx, "ServiceRequest", id)
    keep(tx, "Task", "of-study", status="requested", focus={"reference": "ImagingStudy/meant"})
    keep(tx, "Task", "of-request", status="requested", focus={"reference": "ServiceRequest/same-id"})
    assert find(tx, "ImagingStudy", "_has:Task:focus:status", "requested") == {"meant"}
    assert find(tx, "ServiceRequest", "_has:Task:focus:status", "requested") == {"same-id"}


def test_a_chain_does_not_lead_to_another_type_of_the_same_id(tx: Tx) -> None:
    keep(tx, "ImagingStudy", "x", status="available")
    keep(tx, "ServiceRequest", "x", status="active")
    keep(tx, "Task", "of-study", focus={"reference": "ImagingStudy/x"})
    keep(tx, "Task", "of-request", focus={"reference": "ServiceRequest/x"})
    assert find(tx, "Task", "focus:ImagingStudy.status", "available") == {"of-study"}
    assert find(tx, "Task", "focus:ServiceRequest.status", "active") == {"of-request"}
